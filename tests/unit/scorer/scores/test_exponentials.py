"""Sums of exponentials: exact where they cross a level, however often they turn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scorer.domain.scores.exponentials import ExponentialSum, Piecewise, whole
from shared.events.curve import clamp

LENGTH_US = 1e9
parts = st.dictionaries(st.sampled_from([10**6, 10**7, 10**8, 10**9]), st.integers(-50, 50).map(float))
sums = st.builds(ExponentialSum, constant=st.integers(-50, 50).map(float), decaying=parts)
limits = st.one_of(st.none(), st.integers(-40, 40).map(float))
fractions = st.floats(0.0001, 0.9999)


def value(function: Piecewise, time_us: float) -> float:
    return next(piece.sum for piece in function.pieces if piece.from_us <= time_us <= piece.to_us).at(time_us)


def test_a_single_decay_crosses_its_half_after_one_half_life() -> None:
    (crossing,) = whole(ExponentialSum(0, {10**6: 8}), LENGTH_US).crossings(4)

    assert crossing == pytest.approx(1e6, abs=1)


def test_points_and_a_penalty_that_fades_faster_cross_a_level_twice() -> None:
    bump = ExponentialSum(0, {10**8: 40, 10**6: -40})

    up, down = whole(bump, LENGTH_US).crossings(20)

    assert bump.at(up - 10) < 20 < bump.at(up + 10)
    assert bump.at(down - 10) > 20 > bump.at(down + 10)


@given(sums, st.integers(-60, 60), fractions, fractions)
def test_between_crossings_a_sum_stays_on_one_side(
    found: ExponentialSum, level: int, one: float, other: float
) -> None:
    low, high = sorted((one * LENGTH_US, other * LENGTH_US))

    crossings = whole(found, LENGTH_US).crossings(level)

    far = abs(found.at(low) - level) > 1e-9 and abs(found.at(high) - level) > 1e-9
    if far and not any(low - 2 <= crossing <= high + 2 for crossing in crossings):
        assert (found.at(low) > level) is (found.at(high) > level)


@given(sums, sums, st.tuples(limits, limits), st.floats(-2, 2), fractions)
def test_clamping_and_adding_are_done_at_every_moment(
    one: ExponentialSum,
    other: ExponentialSum,
    bounds: tuple[float | None, float | None],
    weight: float,
    fraction: float,
) -> None:
    time_us = fraction * LENGTH_US

    function = whole(one, LENGTH_US).clamped(*bounds).plus(whole(other, LENGTH_US).clamped(None, 5.0), weight)

    expected = clamp(one.at(time_us), *bounds) + weight * min(other.at(time_us), 5.0)
    assert value(function, time_us) == pytest.approx(expected, abs=1e-3)
