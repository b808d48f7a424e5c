"""A filter says no only of what it never held."""

from hypothesis import given
from hypothesis import strategies as st

from services.scorer.domain.states.forgotten import NOTHING, forget, may_be_forgotten


@given(st.lists(st.text(), max_size=50), st.lists(st.text(), max_size=50))
def test_what_was_forgotten_is_never_denied(first: list[str], then: list[str]) -> None:
    held = forget(forget(NOTHING, first), then)

    assert all(may_be_forgotten(held, text) for text in first + then)


def test_nothing_was_forgotten_at_first() -> None:
    assert not may_be_forgotten(NOTHING, "")


def test_strangers_are_seldom_taken_for_what_was_forgotten() -> None:
    held = forget(NOTHING, (f"known {number}" for number in range(1000)))

    assert len(held) <= 2048
    assert sum(may_be_forgotten(held, f"stranger {number}") for number in range(1000)) < 10
