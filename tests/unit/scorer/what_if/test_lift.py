"""What would lift a lead: advice that does what it says, in as few events as it takes, or an honest no."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from hypothesis import given, settings

from services.scorer.domain.counting.matching import state_of
from services.scorer.domain.events.event import Event
from services.scorer.domain.models.model import Model
from services.scorer.domain.scores.standing import standing_of
from services.scorer.domain.states.state import LeadState, combine, combine_all
from services.scorer.domain.what_if.lift import Goal, Lift, Way, default_score, goals, lift
from shared.events.json import Json
from tests.support.builders import a_model, a_rule, a_state, an_event, an_event_on_the_wire, at
from tests.unit.scorer.histories import MODEL, START, histories

NOW = at("2026-03-20T12:00")
BANDS: dict[str, Json] = {"engagement": {"hot": 50, "warm": 20, "cold": 0}}


def lifted(model: Model, state: LeadState, way: Way, moment: datetime) -> LeadState:
    """The state after the steps of `way`, made from its examples alone."""
    events: list[Event] = []
    for step in way.steps:
        for _ in range(step.count):
            number = len(events)
            attributes = step.option.example if step.option.kind == "facts" else {}
            given: dict[str, Any] = dict(step.option.example) if step.option.kind == "event" else {}
            properties = dict(given.get("properties", {}))
            for steps in step.option.distinct:
                properties[steps[-1]] = f"other {number}"
            kind = given.get("type", "facts_learnt")
            events.append(Event(f"x{number}", given.get("source", "s"), kind, moment, properties, attributes))
    return combine(state, combine_all(state_of(model, event) for event in events))


def fewer(way: Way) -> Way:
    """The same with one event less of its first kind."""
    first, *rest = way.steps
    shorter = [replace(first, count=first.count - 1)] if first.count > 1 else []
    return replace(way, steps=(*shorter, *rest))


def advice(model: Model, *events: Event, score: str = "engagement") -> dict[str, Lift]:
    state = a_state(model, *events)
    return {goal.name: lift(model, state, NOW, goal) for goal in goals(model, standing_of(model, state, NOW), score)}


def words(found: Lift) -> list[str]:
    return [way.words() for way in found.ways]


def test_the_fewest_events_come_first_of_one_kind_or_of_several() -> None:
    plain = a_model(a_rule("demo_requested", 15), a_rule("page_viewed", 4), bands=BANDS)
    once = a_rule("demo_requested", 15, limit={"count": 1, "per": "day"})
    limited = a_model(once, a_rule("page_viewed", 6), bands=BANDS)

    assert words(advice(plain)["warm"]) == ["2 x Demo requested", "5 x Page viewed"]
    assert words(advice(limited)["warm"]) == ["Demo requested, Page viewed", "4 x Page viewed"]


def test_what_a_limit_would_withhold_is_not_advised() -> None:
    rule = a_rule("demo_requested", 15, limit={"count": 1, "per": "week"})
    model = a_model(rule, a_rule("page_viewed", 6), bands=BANDS)

    found = advice(model, an_event("2026-03-19T12:00", "demo_requested"))["warm"]

    assert words(found) == ["Page viewed"]
    assert advice(a_model(rule, bands=BANDS), an_event("2026-03-19T12:00", "demo_requested"))["warm"].ways == ()


def test_a_limit_by_a_field_is_met_by_other_values_of_it() -> None:
    rule = a_rule("webinar_attended", 10, limit={"count": 1, "per": "ever", "by": "properties.webinar_id"})

    assert words(advice(a_model(rule, bands=BANDS))["warm"]) == ["2 x Webinar attended"]


def test_a_condition_is_told_in_words_and_met_by_the_example() -> None:
    pricing: Json = {"properties.path": {"starts_with": "/pricing"}}
    rule = {**a_rule("page_viewed", 20), "if": pricing}
    model = a_model(rule, bands=BANDS)

    (way,) = advice(model)["warm"].ways

    assert way.words() == "Page viewed (path starts with /pricing)"
    assert way.steps[0].option.example == {"type": "page_viewed", "properties": {"path": "/pricing"}}


def test_a_cap_that_nothing_passes_is_told() -> None:
    model = a_model(a_rule("page_viewed", 4, group="web"), score={"groups": {"web": {"max": 12}}}, bands=BANDS)

    found = advice(model)["warm"]

    assert (found.ways, found.with_facts) == ((), ())
    assert found.most is not None
    assert found.most.scores == {"engagement": 12}
    assert found.held_back == ("Group web is capped at 12",)


def test_facts_to_learn_are_apart_and_known_ones_are_not_advised() -> None:
    fit: Json = {
        "rules": [
            {"id": "boss", "if": {"attributes.title": "boss"}, "points": 30},
            {"id": "large", "if": {"attributes.size": {"gte": 50}}, "points": 30},
        ]
    }
    total: Json = {"combine": {"engagement": 0.5, "fit": 0.5}}
    bands: Json = {"total": {"hot": 40, "warm": 15, "cold": 0}}
    model = a_model(
        a_rule(points=1, limit={"count": 1, "per": "ever"}), scores={"fit": fit, "total": total}, bands=bands
    )

    found = advice(model, an_event(attributes={"title": "clerk"}), score="total")

    assert words(found["warm"]) == []
    assert [way.words() for way in found["warm"].with_facts] == ["learn: Large (size is at least 50)"]
    (hot,) = [lift(model, a_state(model), NOW, Goal("band", "hot", "total", 40))]
    assert (hot.ways, hot.with_facts) == ((), ())


def test_a_threshold_on_grades_is_a_goal_too() -> None:
    found = advice(MODEL, score="total")

    assert {"hot", "top"} <= found.keys()
    top = found["top"]
    assert all(way.standing.grade in {"A1", "A2"} for way in (*top.ways, *top.with_facts))
    assert top.with_facts


def test_the_score_that_matters_most_is_the_last_combined_one_with_bands() -> None:
    assert default_score(MODEL) == "total"
    assert default_score(a_model()) == "engagement"
    assert default_score(a_model(scores={"last": {"rules": [a_rule()]}})) == "last"


@settings(max_examples=25)
@given(histories(max_size=12))
def test_advice_comes_true_and_one_event_less_would_not_do(
    history: list[dict[str, Any]],
) -> None:
    state = a_state(MODEL, *(an_event_on_the_wire(event) for event in history))
    moment = START.replace(month=4)

    for goal in goals(MODEL, standing_of(MODEL, state, moment), "total"):
        found = lift(MODEL, state, moment, goal)
        for way in (*found.ways, *found.with_facts):
            after = standing_of(MODEL, lifted(MODEL, state, way, moment), moment)
            assert goal.is_reached(MODEL, after)
            assert after == way.standing
            if len(way.steps) == 1:
                less = standing_of(MODEL, lifted(MODEL, state, fewer(way), moment), moment)
                assert not goal.is_reached(MODEL, less)
