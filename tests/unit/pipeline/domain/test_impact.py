"""What another version would do to a lead, without doing it."""

from datetime import timedelta

from services.pipeline.domain import lead as domain
from services.pipeline.domain.impact import Impact, Summary, impact
from services.pipeline.domain.lead import Lead
from shared.events.json import Json
from tests.support.pipeline import (
    LEAD,
    NOON,
    QUALIFYING,
    a_pipeline,
    a_position,
    a_recorded_event,
    a_score_change,
    recorded,
)

ACTIVE = a_pipeline()
SOFTER = a_pipeline(
    stages=[
        {"id": "new", "initial": True},
        {"id": "ready", "enter_when": {"qualified": True}},
        {"id": "warm", "enter_when": {"threshold": "warm", "stage_in": ["ready"]}},
    ],
)


def a_lead(stage_by: str = "warm", attributes: dict[str, Json] | None = None) -> Lead:
    change = a_score_change(1, thresholds={stage_by: a_position("reached")}, attributes=attributes).data
    return domain.after_score(Lead("default", LEAD), change, ACTIVE)[0]


def test_a_version_that_changes_nothing_touches_nobody() -> None:
    found = impact(a_lead(), ACTIVE, ACTIVE, NOON)

    assert found == Impact(LEAD, "engaged", False, None, None, "open", "open")
    assert not found.is_touched


def test_rules_are_tried_with_all_that_is_true_now() -> None:
    lead, _ = domain.after_events(Lead("default", LEAD), recorded(1, a_recorded_event("x")).data, ACTIVE)
    known, _ = domain.after_score(
        lead, a_score_change(2, thresholds={"warm": a_position("reached")}, attributes=QUALIFYING).data, None
    )

    found = impact(known, SOFTER, ACTIVE, NOON)

    assert found is not None
    assert (found.stage, found.to, found.to_now) == ("new", "warm", "engaged")
    assert (found.verdict, found.verdict_now) == ("qualified", "qualified")


def test_a_lead_in_a_stage_that_is_gone_stays_there() -> None:
    found = impact(a_lead(), SOFTER, ACTIVE, NOON)

    assert found is not None
    assert (found.stage, found.stage_missing, found.to) == ("engaged", True, None)
    assert found.is_touched


def test_a_verdict_that_would_change_is_told() -> None:
    criteria: dict[str, Json] = {"age": {"if": {"attributes.age": {"gte": 3}}}}
    stricter = a_pipeline(qualification={"criteria": criteria}, stages=[{"id": "engaged", "initial": True}])

    found = impact(a_lead(attributes=QUALIFYING), stricter, ACTIVE, NOON + timedelta(days=1))

    assert found is not None
    assert (found.verdict, found.verdict_now) == ("open", "qualified")


def test_who_is_in_no_stage_or_is_no_more_is_not_looked_at() -> None:
    assert impact(Lead("default", LEAD), ACTIVE, None, NOON) is None
    assert impact(domain.gone(a_lead(), "someone"), ACTIVE, None, NOON) is None


def test_impacts_are_counted_and_pages_add_up() -> None:
    moved = Impact("1", "new", False, "ready", None, "qualified", "open")
    stuck = Impact("2", "engaged", True, None, "mql", "open", "open")

    both = Summary().with_impacts([moved, stuck])
    one_by_one = Summary().with_impacts([moved]).with_summary(Summary().with_impacts([stuck]))

    assert both == one_by_one
    assert both.looked_at == 2
    assert both.moves == {("new", "ready"): 1}
    assert both.moves_now == {("engaged", "mql"): 1}
    assert both.missing == {"engaged": 1}
    assert both.verdicts == {("open", "qualified"): 1}
