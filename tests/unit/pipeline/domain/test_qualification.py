"""Evidence, whose word counts, and the verdict."""

from datetime import timedelta

from services.pipeline.domain.criteria import fields_of
from services.pipeline.domain.qualification import (
    OPEN,
    Basis,
    Verdict,
    Word,
    evidence,
    rebased,
    verdict,
    with_word,
)
from shared.events.json import Json
from tests.support.pipeline import NOON, QUALIFYING, a_pipeline

POLICY = a_pipeline().policy
DAY = timedelta(days=1)


def a_word(criterion: str = "budget", *, confirmed: bool = True, days: int = 0) -> Word:
    return Word(criterion, confirmed, "person", "ada", "asked them", NOON + days * DAY)


def states(attributes: dict[str, Json], *words: Word, days: int = 0) -> dict[str, tuple[str, str | None]]:
    """State and source of each criterion, `days` after NOON, when the attributes became known."""
    basis = rebased(POLICY, fields_of(attributes), {}, NOON)
    said = {word.criterion: word for word in words}
    return {item.criterion: (item.state, item.source) for item in evidence(POLICY, basis, said, NOON + days * DAY)}


def test_a_criterion_is_unknown_until_its_field_is_there() -> None:
    assert states({"budget": 1})["budget"] == ("not_met", "rule")
    assert states({"budget": 20_000})["budget"] == ("met", "rule")
    assert states({})["budget"] == ("unknown", None)


def test_a_persons_word_outweighs_the_rule() -> None:
    assert states({"budget": 1}, a_word())["budget"] == ("met", "person")
    assert states({"budget": 20_000}, a_word(confirmed=False))["budget"] == ("not_met", "person")


def test_a_word_expires_and_then_the_rule_counts_again() -> None:
    word = Word("timeline", False, "crm", None, None, NOON + 10 * DAY)

    assert states({"timeline_months": 3}, word, days=80)["timeline"] == ("not_met", "crm")
    assert states({"timeline_months": 3}, word, days=101)["timeline"] == ("unknown", None)


def test_what_a_rule_says_expires_until_the_field_changes() -> None:
    assert states({"timeline_months": 3}, days=89)["timeline"] == ("met", "rule")
    assert states({"timeline_months": 3}, days=90)["timeline"] == ("unknown", None)


def test_a_state_that_has_not_changed_keeps_its_date() -> None:
    first = rebased(POLICY, fields_of({"budget": 20_000}), {}, NOON)

    again = rebased(POLICY, fields_of({"budget": 30_000}), first, NOON + DAY)

    assert again["budget"] == Basis("met", NOON)


def test_the_latest_word_stands_however_late_an_older_one_comes() -> None:
    words = with_word(with_word({}, a_word(days=2)), a_word(confirmed=False, days=1))

    assert words["budget"].confirmed


def test_enough_criteria_met_qualify() -> None:
    fields = fields_of(QUALIFYING)
    found = evidence(POLICY, rebased(POLICY, fields, {}, NOON), {}, NOON)

    assert verdict(POLICY, fields, found) == Verdict("qualified")
    assert verdict(POLICY, fields, found[:2]) == OPEN


def test_an_exclusion_outweighs_all_evidence_and_names_its_reason() -> None:
    fields = fields_of({**QUALIFYING, "email_domain": "competitor.example"})
    found = evidence(POLICY, rebased(POLICY, fields, {}, NOON), {}, NOON)

    assert verdict(POLICY, fields, found) == Verdict("disqualified", "competitor")


def test_a_document_without_criteria_qualifies_nobody() -> None:
    policy = a_pipeline(qualification=None, stages=[{"id": "new", "initial": True}]).policy

    assert verdict(policy, {}, ()) == OPEN
