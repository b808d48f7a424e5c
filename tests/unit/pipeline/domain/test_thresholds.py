"""Hysteresis and cooldown."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.pipeline.domain.thresholds import (
    OUTSIDE,
    Crossing,
    Position,
    ThresholdState,
    combined,
    cross,
)
from tests.support.pipeline import NOON

POSITIONS = st.lists(st.sampled_from(["reached", "between", "below"]), max_size=30)
ENTERED, LEFT = Crossing("entered", suppressed=False), Crossing("left", suppressed=False)
QUIETLY = Crossing("entered", suppressed=True), Crossing("left", suppressed=True)
HOUR = timedelta(hours=1)


def crossings(positions: list[Position], cooldown: timedelta | None = None) -> list[Crossing | None]:
    """What a walk through `positions`, one an hour, makes of a lead that begins outside."""
    state, found = OUTSIDE, []
    for number, position in enumerate(positions):
        state, crossing = cross(state, position, at=NOON + number * HOUR, cooldown=cooldown)
        found.append(crossing)
    return found


def test_between_the_levels_what_was_stays() -> None:
    assert crossings(["between", "reached", "between", "reached", "between", "below", "between"]) == [
        None,
        ENTERED,
        None,
        None,
        None,
        LEFT,
        None,
    ]


def test_an_entering_within_the_cooldown_is_suppressed_with_its_leaving() -> None:
    found = crossings(["reached", "below", "reached", "below"], cooldown=3 * HOUR)

    assert found == [ENTERED, LEFT, *QUIETLY]


def test_the_cooldown_ends_at_its_moment() -> None:
    found = crossings(["reached", "below", "reached"], cooldown=2 * HOUR)

    assert found == [ENTERED, LEFT, ENTERED]


def test_the_cooldown_counts_from_the_last_entering_a_suppressed_one_too() -> None:
    found = crossings(["reached", "below", "reached", "below", "reached"], cooldown=3 * HOUR)

    assert found[-1] == Crossing("entered", suppressed=True)


@given(POSITIONS)
def test_entered_and_left_alternate(positions: list[Position]) -> None:
    directions = [crossing.direction for crossing in crossings(positions) if crossing]

    assert directions == ["entered", "left"] * (len(directions) // 2) + ["entered"] * (len(directions) % 2)


@given(POSITIONS, st.integers(1, 20))
def test_what_is_emitted_alternates_under_any_cooldown(positions: list[Position], hours: int) -> None:
    found = crossings(positions, cooldown=hours * HOUR)

    emitted = [crossing.direction for crossing in found if crossing and not crossing.suppressed]
    assert emitted == ["entered", "left"] * (len(emitted) // 2) + ["entered"] * (len(emitted) % 2)


@given(POSITIONS, st.integers(1, 20))
def test_a_cooldown_changes_what_is_told_and_never_who_is_inside(positions: list[Position], hours: int) -> None:
    loud, quiet = crossings(positions), crossings(positions, cooldown=hours * HOUR)

    assert [crossing and crossing.direction for crossing in loud] == [
        crossing and crossing.direction for crossing in quiet
    ]


def test_of_two_leads_that_are_one_whoever_was_inside_is() -> None:
    inside, outside = ThresholdState(inside=True, told=True, entered_at=NOON), ThresholdState(entered_at=NOON + HOUR)

    both = combined({"hot": inside}, {"hot": outside, "warm": inside})

    assert both == {
        "hot": ThresholdState(inside=True, told=True, entered_at=NOON + HOUR),
        "warm": inside,
    }
