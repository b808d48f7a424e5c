"""What comes to pass with a lead by itself, and what words that come late mean."""

from datetime import timedelta

import pytest

from services.pipeline.domain import lead as domain
from services.pipeline.domain.facts import Fact, Judged, Moved, MoveRefused, Stalled
from services.pipeline.domain.lead import Lead
from services.pipeline.domain.stages import Move
from shared.events.json import Json
from shared.events.scores import RecordedEvent
from tests.support.pipeline import LEAD, NOON, OTHER, a_pipeline, a_recorded_event, a_score_change, merged, recorded

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOBODY = Lead("default", LEAD)
QUALIFICATION: dict[str, Json] = {
    "criteria": {
        "budget": {"if": {"attributes.budget": {"gte": 10}}, "expires_after": "10d"},
        "need": {"if": {"attributes.use_case": {"exists": True}}},
    },
    "qualified": {"at_least": 2},
}
STAGES: list[Json] = [
    {"id": "new", "initial": True, "due": "30d"},
    {"id": "sql", "enter_when": {"qualified": True}},
    {"id": "proposal"},
    {"id": "lost", "terminal": "lost", "on_enter": {"reset_scores": ["engagement", "product"]}},
]
PIPELINE = a_pipeline(qualification=QUALIFICATION, stages=STAGES, business_hours=None)
KNOWN: dict[str, Json] = {"budget": 20, "use_case": "x"}


def seen(lead: Lead, *events: RecordedEvent, attributes: dict[str, Json] | None = None) -> tuple[Lead, list[Fact]]:
    message = recorded(1, *events, attributes={**lead.attributes, **(attributes or {})})
    after, facts = domain.after_events(lead, message.data, PIPELINE)
    return after, list(facts)


def verdicts(facts: list[Fact] | tuple[Fact, ...]) -> list[tuple[str, str]]:
    return [(f"{fact.at - NOON}", fact.verdict.state) for fact in facts if isinstance(fact, Judged)]


def test_a_verdict_falls_back_at_the_moment_its_evidence_expires() -> None:
    lead, facts = seen(NOBODY, a_recorded_event("page_viewed"), attributes=KNOWN)
    assert verdicts(facts) == [("0:00:00", "qualified")]
    assert lead.next_moment == NOON + 10 * DAY

    before, nothing = domain.after_moments(lead, PIPELINE, NOON + 10 * DAY - timedelta(microseconds=1))
    after, told = domain.after_moments(lead, PIPELINE, NOON + 25 * DAY)

    assert (before, nothing) == (lead, ())
    (judged,) = told
    assert isinstance(judged, Judged)
    assert (judged.at, judged.verdict.state, judged.previous.state) == (NOON + 10 * DAY, "open", "qualified")
    assert judged.lapsed == ("budget",)
    assert after.lapses_at is None
    assert after.stay == lead.stay


def test_what_comes_to_pass_by_itself_does_so_in_the_order_of_its_moments() -> None:
    stages: list[Json] = [{"id": "new", "initial": True, "due": "20d"}]
    pipeline = a_pipeline(qualification=QUALIFICATION, stages=stages, business_hours=None)
    lead, _ = domain.after_events(NOBODY, recorded(1, a_recorded_event("x"), attributes=KNOWN).data, pipeline)

    _, facts = domain.after_moments(lead, pipeline, NOON + 100 * DAY)

    assert [(type(fact).__name__, fact.at - NOON) for fact in facts] == [("Judged", 10 * DAY), ("Stalled", 20 * DAY)]


def test_evidence_that_is_renewed_does_not_expire_at_its_first_moment() -> None:
    lead, _ = seen(NOBODY, a_recorded_event("page_viewed"), attributes=KNOWN)

    lead, _ = seen(lead, a_recorded_event("form_submitted", NOON + 8 * DAY), attributes={"budget": 30})
    lead, nothing = domain.after_moments(lead, PIPELINE, NOON + 17 * DAY)
    _, told = domain.after_moments(lead, PIPELINE, NOON + 19 * DAY)

    assert nothing == ()
    assert verdicts(told) == [("18 days, 0:00:00", "open")]


def test_the_same_fact_again_is_no_new_evidence_but_a_word_is() -> None:
    lead, _ = seen(NOBODY, a_recorded_event("page_viewed"), attributes=KNOWN)

    again, _ = seen(lead, a_recorded_event("page_viewed", NOON + 8 * DAY), attributes=KNOWN)
    said, _ = seen(lead, a_recorded_event("criterion_confirmed", NOON + 8 * DAY, criterion="budget"))

    assert again.lapses_at == NOON + 10 * DAY
    assert said.lapses_at == NOON + 18 * DAY


def test_a_word_that_expires_lets_the_rule_speak_again() -> None:
    lead, _ = seen(NOBODY, a_recorded_event("page_viewed", NOON + 5 * DAY), attributes=KNOWN)
    lead, refuted = seen(lead, a_recorded_event("criterion_refuted", NOON + 6 * DAY, criterion="need", actor="bo"))

    assert verdicts(refuted) == [("6 days, 0:00:00", "open")]
    assert lead.lapses_at == NOON + 15 * DAY


def test_a_late_word_is_judged_as_of_the_newest_verdict_and_never_before() -> None:
    lead, _ = seen(NOBODY, a_recorded_event("page_viewed", NOON + 40 * DAY), attributes={"use_case": "x"})

    after, facts = seen(lead, a_recorded_event("criterion_confirmed", NOON, criterion="budget"))

    assert verdicts(facts) == []
    assert after.verdict.state == "open"


def test_an_older_word_of_a_crm_moves_nobody_back() -> None:
    lead, _ = seen(NOBODY, a_recorded_event("stage_changed", NOON + HOUR, source="crm", stage="proposal"))

    after, facts = seen(lead, a_recorded_event("stage_changed", NOON, source="crm", stage="sql", amount=7))

    assert [fact.code for fact in facts if isinstance(fact, MoveRefused)] == ["outdated"]
    assert after.stay == lead.stay
    assert after.deal["amount"].value == 7


@pytest.mark.parametrize("by_event", [True, False], ids=["by a CRM", "by a person"])
def test_entering_a_stage_resets_the_scores_that_it_names(by_event: bool) -> None:
    lead, _ = seen(NOBODY, a_recorded_event("page_viewed"))

    if by_event:
        _, facts = seen(lead, a_recorded_event("deal_lost", NOON + HOUR, source="crm", reason="too dear"))
    else:
        _, fact = domain.after_request(lead, Move("lost", "person", "ada", "no"), PIPELINE, NOON + HOUR)
        facts = [fact]

    (moved,) = [fact for fact in facts if isinstance(fact, Moved)]
    assert (moved.to.id, moved.resets) == ("lost", ("engagement", "product"))


def test_a_stage_that_came_with_a_merge_resets_nothing_again() -> None:
    absorbed, _ = domain.after_events(
        Lead("default", OTHER), recorded(1, a_recorded_event("deal_lost", reason="x"), lead=OTHER).data, PIPELINE
    )

    _, facts = domain.after_merge(NOBODY, absorbed, merged(1).data, pipeline=PIPELINE, at=NOON + HOUR)

    (moved,) = [fact for fact in facts if isinstance(fact, Moved)]
    assert (moved.to.id, moved.merged, moved.resets) == ("lost", OTHER, ())


def test_what_the_pipeline_lets_happen_itself_is_no_touch_of_the_lead() -> None:
    lost, reset = (a_recorded_event(kind, source=source) for kind, source in RESETTING)

    lead, _ = seen(NOBODY, lost, reset)

    assert lead.first_touch is not None
    assert lead.first_touch.source == "salesforce"


RESETTING = (("deal_lost", "salesforce"), ("score_reset", "leadflow-pipeline"))
RENAMED = a_pipeline(
    qualification=None,
    stages=[
        {"id": "start", "initial": True},
        {"id": "hot", "enter_when": {"any": [{"event": "demo_requested"}, {"threshold": "mql"}]}},
        {"id": "deal"},
    ],
    moves={"back": "refused", "skip": "refused", "from_terminal": "refused"},
)


def test_a_lead_whose_stage_is_gone_is_left_alone_by_rules_and_still_stalls() -> None:
    lead, _ = seen(NOBODY, a_recorded_event("page_viewed"))

    after, facts = domain.after_events(lead, recorded(2, a_recorded_event("demo_requested")).data, RENAMED)
    _, late = domain.after_moments(after, RENAMED, NOON + 31 * DAY)

    assert after.stay == lead.stay
    assert not [fact for fact in facts if isinstance(fact, Moved | MoveRefused)]
    assert late == (Stalled(NOON + 30 * DAY, "new", NOON),)


def test_people_and_crms_bring_a_lead_whose_stage_is_gone_anywhere() -> None:
    lead, _ = seen(NOBODY, a_recorded_event("page_viewed"))

    after, fact = domain.after_request(lead, Move("deal", "person", "ada"), RENAMED, NOON + HOUR)

    assert isinstance(fact, Moved)
    assert (fact.from_stage, fact.to.id) == ("new", "deal")
    assert after.stay is not None


def test_a_rule_that_asks_for_such_a_lead_would_be_refused() -> None:
    lead, _ = seen(NOBODY, a_recorded_event("page_viewed"))

    _, fact = domain.after_request(lead, Move("hot", "rule", reason="x"), RENAMED, NOON + HOUR)

    assert isinstance(fact, MoveRefused)
    assert fact.code == "rule_not_forward"


def test_a_score_that_changed_nothing_leaves_the_moments_alone() -> None:
    lead, _ = seen(NOBODY, a_recorded_event("page_viewed"), attributes=KNOWN)

    after, _ = domain.after_score(lead, a_score_change(3, NOON + HOUR, attributes=KNOWN).data, PIPELINE)

    assert after.next_moment == lead.next_moment
