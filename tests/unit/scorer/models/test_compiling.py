"""A compiled model finds the rules that reading its document finds, and asks only those of the event's type."""

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from benchmarks import interpreter, workload
from services.scorer.domain.counting.matching import matched
from services.scorer.domain.events.event import Event
from services.scorer.domain.models.document import parse_model
from tests.support.builders import an_event, an_event_on_the_wire
from tests.support.conditions import conditions, properties
from tests.unit.scorer.histories import MODEL, MODEL_DOCUMENT, histories

_limits = st.none() | st.sampled_from(["type", "source", "properties.a", "properties.a.b"]).map(
    lambda field: {"count": 1, "per": "day", "by": field}
)
_types = st.lists(st.sampled_from(["clicked", "viewed"]), min_size=1, max_size=2, unique=True)


@st.composite
def models(draw: st.DrawFn) -> dict[str, Any]:
    """Documents with two event-built scores and rules of all sorts."""
    return {"model": "any", "scores": {score: {"rules": _rules(draw)} for score in ("one", "two")}}


def _rules(draw: st.DrawFn) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 3))):
        rule: dict[str, Any] = {"id": f"r{number}", "on": draw(_types), "points": 1}
        condition, limit = draw(st.none() | conditions()), draw(_limits)
        rules.append(rule | ({"if": condition} if condition else {}) | ({"limit": limit} if limit else {}))
    return rules


@given(models(), st.lists(st.tuples(st.sampled_from(["clicked", "viewed", "other"]), properties()), max_size=8))
def test_any_model_matches_as_a_plain_interpreter_of_its_document(
    document: dict[str, Any], events: list[tuple[str, dict[str, Any]]]
) -> None:
    model = parse_model(document)

    for event_type, given_properties in events:
        event = Event("e", "a", event_type, an_event().occurred_at, given_properties, {})
        assert matched(model, event) == interpreter.matches(document, event)


@given(histories())
def test_a_model_of_the_contracts_kinds_does_too(history: list[dict[str, Any]]) -> None:
    for event in map(an_event_on_the_wire, history):
        assert matched(MODEL, event) == interpreter.matches(MODEL_DOCUMENT, event)


def test_the_events_of_the_benchmark_are_matched_alike() -> None:
    random, model = Random(1), parse_model(dict(workload.MODEL))

    for number in range(1000):
        event = workload.an_event(random, number)
        assert matched(model, event) == interpreter.matches(workload.MODEL, event)


def test_there_is_a_function_for_each_type_that_rules_are_about_and_for_no_other() -> None:
    assert MODEL.matchers.keys() == {"page_viewed", "email_clicked", "unsubscribed"}
