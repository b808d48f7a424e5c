"""What a seed promises: the same events, and the same faults, whatever goes on beside."""

from collections.abc import Iterator, Mapping
from typing import Any

from tests.faults.story import Size, events
from tests.faults.world import Plan

SIZE = Size(50, 5)


def drawn(plan: Plan) -> Iterator[Mapping[str, Any]]:
    """Events without the moment at which they happened, which is always about now."""
    for event in events(plan.chance("events"), SIZE):
        yield {**event, "occurred_at": None}


def test_a_seed_makes_the_same_events_whatever_else_is_drawn_meanwhile() -> None:
    one, other = Plan("embedded", 7), Plan("embedded", 7)
    alone = list(drawn(one))

    disturbed = [(event, other.chance("faults").random())[0] for event in drawn(other)]

    assert alone == disturbed


def test_another_seed_and_another_respect_are_another_chance() -> None:
    drawings = {Plan("embedded", seed).chance(of).random() for seed in (7, 8) for of in ("events", "faults")}

    assert len(drawings) == 4
