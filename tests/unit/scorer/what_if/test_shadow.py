"""Two versions of a model on one lead, at one moment."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings

from services.scorer.domain.models.model import Model
from services.scorer.domain.scores.standing import standing_of
from services.scorer.domain.states.state import EMPTY
from services.scorer.domain.what_if.shadow import Comparison, Reason, Seen, compare, reasons
from shared.events.json import Json
from tests.support.builders import a_model, a_rule, a_state, an_event, an_event_on_the_wire, at
from tests.unit.scorer.histories import MODEL, histories, moments

NOW = at("2026-03-02T12:00")
SECTIONS: dict[str, Json] = {
    "scores": {"fit": {"rules": [{"id": "boss", "if": {"attributes.title": "boss"}, "points": 40}]}},
    "bands": {"engagement": {"1": 15, "2": 0}, "fit": {"A": 40, "B": 0}},
    "grade": ["fit", "engagement"],
    "thresholds": {"hot": {"score": "engagement", "enter": 15, "exit": 12}},
}
ACTIVE = a_model(a_rule("page_viewed", 10), **SECTIONS)
DOUBLED = a_model(a_rule("page_viewed", 20, half_life="1d"), **SECTIONS)
PAGE = an_event("2026-03-02T12:00")


def compared(active: Model, shadow: Model, *, moment: str = "2026-03-02T12:00") -> Comparison:
    """How the two see a lead that viewed a page at noon."""
    return compare(Seen(active, a_state(active, PAGE)), Seen(shadow, a_state(shadow, PAGE)), at(moment), due_at=None)


def test_what_differs_is_told_with_both_sides() -> None:
    found = compared(ACTIVE, DOUBLED)

    assert found.scores == {"engagement": (10, 20), "fit": (0, 0)}
    assert found.bands == {"engagement": ("2", "1")}
    assert found.grades == ("B2", "B1")
    assert found.thresholds == {"hot": ("below", "reached")}
    assert (found.at, found.widest) == (NOW, 10)


def test_a_model_does_not_differ_from_itself() -> None:
    found = compared(ACTIVE, ACTIVE)

    assert (found.bands, found.grades, found.thresholds, found.widest) == ({}, None, {}, 0)


def test_scores_and_bands_that_only_one_has_are_left_out_but_its_thresholds_are_below_for_the_other() -> None:
    other = a_model(
        a_rule("page_viewed", 10),
        scores={"interest": {"rules": [a_rule("page_viewed", 90)]}},
        bands={"interest": {"high": 50}},
        thresholds={"keen": {"score": "interest", "enter": 50}, "hot": {"score": "engagement", "enter": 10}},
    )

    found = compared(ACTIVE, other)

    assert found.scores == {"engagement": (10, 10)}
    assert found.bands == {}
    assert found.grades == ("B2", None)
    assert found.thresholds == {"keen": ("below", "reached"), "hot": ("below", "reached")}


def test_the_next_change_is_the_first_under_either() -> None:
    leaving = compared(ACTIVE, DOUBLED).changes_at
    assert leaving is not None

    before, after = (
        standing_of(DOUBLED, a_state(DOUBLED, PAGE), leaving + step) for step in (-timedelta(seconds=1), timedelta(0))
    )
    known = compare(
        Seen(ACTIVE, a_state(ACTIVE, PAGE)),
        Seen(DOUBLED, a_state(DOUBLED, PAGE)),
        NOW,
        due_at=NOW + timedelta(minutes=1),
    )

    assert (before.bands["engagement"], after.bands["engagement"]) == ("1", "2")
    assert known.changes_at == NOW + timedelta(minutes=1)


@pytest.mark.parametrize("due", [NOW, NOW - timedelta(days=1)], ids=["now", "past"])
def test_a_forecast_whose_moment_has_come_is_made_again(due: datetime) -> None:
    decaying = Seen(DOUBLED, a_state(DOUBLED, PAGE))
    still = Seen(ACTIVE, a_state(ACTIVE, PAGE))

    found = compare(decaying, still, NOW, due_at=due)

    assert found.changes_at == compared(ACTIVE, DOUBLED).changes_at


def test_the_ledger_says_which_rules_make_the_difference() -> None:
    found = reasons(Seen(ACTIVE, a_state(ACTIVE, PAGE)), Seen(DOUBLED, a_state(DOUBLED, PAGE)), NOW)

    assert found == (Reason("engagement", "rule", "page_viewed", 10, 20),)


def test_a_lead_to_whom_nothing_happened_is_nothing_to_either() -> None:
    found = compare(Seen(ACTIVE, EMPTY), Seen(DOUBLED, EMPTY), NOW, due_at=None)

    assert (found.widest, found.changes_at) == (0, None)


@settings(max_examples=60)
@given(histories(), moments())
def test_seen_from_the_other_side_the_sides_are_swapped(events: list[dict[str, Json]], moment: datetime) -> None:
    history = [an_event_on_the_wire(event) for event in events]
    other = a_model(a_rule("page_viewed", 3), thresholds={"hot": {"score": "engagement", "enter": 5}})
    one, two = Seen(MODEL, a_state(MODEL, *history)), Seen(other, a_state(other, *history))

    there = compare(one, two, moment, due_at=moment)
    back = compare(two, one, moment, due_at=moment)

    assert back.scores == {name: (theirs, ours) for name, (ours, theirs) in there.scores.items()}
    assert back.thresholds == {name: (theirs, ours) for name, (ours, theirs) in there.thresholds.items()}
    assert (back.widest, back.changes_at) == (there.widest, there.changes_at)
