"""The laws of the monoid: order, batches, repetition and merges never matter."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.scorer.domain.states.state import EMPTY, LeadState, combine, combine_all
from tests.support.builders import a_state, an_event_on_the_wire
from tests.unit.scorer.histories import MODEL, histories


def state_of_all(history: list[dict[str, Any]]) -> LeadState:
    return a_state(MODEL, *(an_event_on_the_wire(event) for event in history))


@given(histories(), histories())
def test_combining_is_commutative(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    left, right = state_of_all(one), state_of_all(_renamed(other))

    assert combine(left, right) == combine(right, left)


@given(histories(8), histories(8), histories(8))
def test_combining_is_associative(
    one: list[dict[str, Any]], two: list[dict[str, Any]], three: list[dict[str, Any]]
) -> None:
    first, second, third = state_of_all(one), state_of_all(_renamed(two)), state_of_all(three)

    assert combine(combine(first, second), third) == combine(first, combine(second, third))


@given(histories())
def test_the_empty_state_changes_nothing(history: list[dict[str, Any]]) -> None:
    state = state_of_all(history)

    assert combine(state, EMPTY) == combine(EMPTY, state) == state


@given(st.data(), histories())
def test_any_order_any_batches_and_any_repetition_give_the_same_state(
    data: st.DataObject, history: list[dict[str, Any]]
) -> None:
    shuffled = data.draw(st.permutations(history * 2))
    cut = data.draw(st.integers(0, len(shuffled)))

    batched = combine_all([state_of_all(shuffled[cut:]), EMPTY, state_of_all(shuffled[:cut])])

    assert batched == state_of_all(history)


def _renamed(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**event, "id": f"other-{event['id']}"} for event in history]
