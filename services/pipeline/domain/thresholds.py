"""Thresholds with a memory: hysteresis decides whether a lead is inside, cooldown whether it is told."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

Position = Literal["reached", "between", "below"]
Direction = Literal["entered", "left"]


class ThresholdState(Struct, frozen=True, gc=False):
    """What is remembered of a lead and a threshold.

    `told` is false while the entering was suppressed by the cooldown: whoever was not told of the entering is
    not told of the leaving either, so that what is emitted alternates. `entered_at` is the last entering,
    suppressed ones included.
    """

    inside: bool = False
    told: bool = False
    entered_at: datetime | None = None


class Crossing(Struct, frozen=True, gc=False):
    """A change of side; a suppressed one changes the state and is counted, but not emitted."""

    direction: Direction
    suppressed: bool


OUTSIDE = ThresholdState()


def cross(
    state: ThresholdState, position: Position, *, at: datetime, cooldown: timedelta | None
) -> tuple[ThresholdState, Crossing | None]:
    """The state after standing at `position` at the moment `at`, and the crossing if it is one."""
    if position == "reached" and not state.inside:
        suppressed = _is_cooling(state, at, cooldown)
        entered = ThresholdState(inside=True, told=not suppressed, entered_at=at)
        return entered, Crossing("entered", suppressed)
    if position == "below" and state.inside:
        return replace(state, inside=False, told=False), Crossing("left", suppressed=not state.told)
    return state, None


def combined(one: Mapping[str, ThresholdState], other: Mapping[str, ThresholdState]) -> dict[str, ThresholdState]:
    """The states of two leads that turned out to be one: inside if either was."""
    names = sorted({*one, *other})
    return {name: _either(one.get(name, OUTSIDE), other.get(name, OUTSIDE)) for name in names}


def _is_cooling(state: ThresholdState, at: datetime, cooldown: timedelta | None) -> bool:
    return cooldown is not None and state.entered_at is not None and at - state.entered_at < cooldown


def _either(one: ThresholdState, other: ThresholdState) -> ThresholdState:
    moments = [state.entered_at for state in (one, other) if state.entered_at is not None]
    return ThresholdState(one.inside or other.inside, one.told or other.told, max(moments, default=None))
