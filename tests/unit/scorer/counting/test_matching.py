"""From one event to its state."""

import pytest

from services.scorer.domain.counting.matching import state_of
from services.scorer.domain.states.state import EMPTY, EventKey, LimitKey
from shared.events.json import Json
from tests.support.builders import a_model, a_retraction, a_rule, an_adjustment, an_event

COMBINED: dict[str, Json] = {"total": {"combine": {"engagement": 1}}}
FIT: dict[str, Json] = {"fit": {"rules": [{"id": "x", "if": {"attributes.a": 1}, "points": 1}]}}
MODEL = a_model(a_rule(), scores={**COMBINED, **FIT})


def test_an_event_that_no_rule_wants_leaves_no_trace() -> None:
    assert state_of(MODEL, an_event(event_type="unheard_of")) == EMPTY


def test_an_event_may_match_several_rules() -> None:
    model = a_model(a_rule(id="a"), {**a_rule(id="b"), "if": {"properties.path": {"starts_with": "/pricing"}}})

    rules = [key.rule for key in state_of(model, an_event(path="/pricing/x")).occurrences]

    assert rules == ["a", "b"]


def test_a_limit_by_a_field_keeps_its_values_apart() -> None:
    model = a_model(a_rule(limit={"count": 1, "per": "ever", "by": "properties.topic"}))

    keys = state_of(model, an_event(topic="a")).occurrences.keys() | state_of(model, an_event()).occurrences.keys()

    assert keys == {LimitKey("engagement", "page_viewed", '"a"'), LimitKey("engagement", "page_viewed", "")}


def test_any_event_may_bring_facts_about_the_lead() -> None:
    state = state_of(MODEL, an_event(event_type="unheard_of", attributes={"country": None}))

    assert [fact.value for fact in state.facts["country"]] == [None]


def test_a_retraction_names_an_event_of_its_own_source() -> None:
    assert state_of(MODEL, a_retraction("e1", source="mailer")).voided == {EventKey("mailer", "e1")}


def test_an_adjustment_counts_in_the_score_it_names() -> None:
    event = an_adjustment(half_life="1d", expires_after="2w")

    (given,) = state_of(MODEL, event).adjustments

    assert (given.score, given.points, given.expires_after_days, given.actor) == ("engagement", 5, 14, "kim")


@pytest.mark.parametrize(
    "changes",
    [
        {"score": "total"},
        {"score": "nowhere"},
        {"score": None},
        {"points": "5"},
        {"points": True},
        {"half_life": "soon"},
        {"expires_after": "5h"},
    ],
    ids=str,
)
def test_an_adjustment_that_means_nothing_counts_nowhere(changes: dict[str, Json]) -> None:
    event = an_adjustment("2026-03-02T10:00", **changes)

    assert state_of(MODEL, event).adjustments == ()


@pytest.mark.parametrize(("score", "count"), [("engagement", 1), ("fit", 0), ("total", 0), ("nowhere", 0)])
def test_only_an_event_built_score_can_be_reset(score: str, count: int) -> None:
    assert len(state_of(MODEL, an_event(event_type="score_reset", score=score)).resets) == count
