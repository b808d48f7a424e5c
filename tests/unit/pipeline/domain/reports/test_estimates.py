"""Intervals and tests against published values, and quantiles against sorting."""

import math
from statistics import quantiles

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.pipeline.domain.reports.comparison import Outcomes, compare, corrected
from services.pipeline.domain.reports.distributions import chi_square_tail, fisher_exact, student_quantile
from services.pipeline.domain.reports.estimates import (
    Bin,
    Mean,
    mean_days_of,
    mean_of,
    quantile,
    rate_of,
    spread_of,
)

DAY = 86_400


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [  # Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilsons_interval(count: int, of: int, low: float, high: float) -> None:
    rate = rate_of(count, of)

    assert (rate.low, rate.high) == pytest.approx((low, high), abs=5e-5)


def test_a_rate_of_nothing_is_unknown() -> None:
    assert rate_of(0, 0).rate is None


@pytest.mark.parametrize(
    ("statistic", "degrees", "tail"),
    [
        (3.841459, 1, 0.05),
        (18.307038, 10, 0.05),
        (43.773, 30, 0.05),
        (135.807, 100, 0.01),
        (0.0, 4, 1.0),
        (0.71072, 4, 0.95),
    ],
)
def test_tails_of_chi_square(statistic: float, degrees: int, tail: float) -> None:
    assert chi_square_tail(statistic, degrees) == pytest.approx(tail, rel=1e-3)


@pytest.mark.parametrize(
    ("degrees", "t"), [(1, 12.7062), (2, 4.30265), (10, 2.22814), (30, 2.04227), (10**6, 1.95997)]
)
def test_students_t(degrees: int, t: float) -> None:
    assert student_quantile(degrees) == pytest.approx(t, abs=1e-4)


def test_fisher_on_the_lady_tasting_tea() -> None:
    """Fisher, The Design of Experiments (1935): one-sided 17/70, two-sided twice that."""
    assert fisher_exact(3, 4, 1, 4) == pytest.approx(34 / 70)
    assert fisher_exact(4, 4, 0, 4) == pytest.approx(2 / 70)


@given(st.integers(0, 12), st.integers(0, 12), st.integers(1, 12), st.integers(1, 12))
def test_fisher_adds_up_tables_that_are_no_likelier(won: int, other: int, size: int, other_size: int) -> None:
    won, other = min(won, size), min(other, other_size)
    whole = math.comb(size + other_size, won + other)
    likelihoods = [
        math.comb(size, k) * math.comb(other_size, won + other - k)
        for k in range(won + other + 1)
        if k <= size and won + other - k <= other_size
    ]
    here = math.comb(size, won) * math.comb(other_size, other)

    expected = sum(likely for likely in likelihoods if likely <= here) / whole
    assert fisher_exact(won, size, other, other_size) == pytest.approx(expected)


def test_students_interval_of_a_mean() -> None:
    values = [1.0, 2.0, 4.0, 5.0]
    variance = sum((value - 3) ** 2 for value in values) / 3

    mean = mean_of(4, 3.0, variance)

    assert (mean.low, mean.high) == pytest.approx(
        (3 - 3.18245 * math.sqrt(variance / 4), 3 + 3.18245 * math.sqrt(variance / 4)), abs=1e-4
    )
    assert mean_of(1, 3.0, None).low is None
    assert mean_of(0, None, None).mean is None


def test_no_mean_of_durations_lies_below_nothing() -> None:
    few = mean_days_of(2, 10 * DAY, 8 * DAY**2)
    many = mean_days_of(50, 10 * DAY, 8 * DAY**2)

    assert (few.mean, few.low) == (10, 0)
    assert few.high == pytest.approx(10 + 12.7062 * 2, abs=1e-3)
    assert many.low is not None
    assert 9 < many.low < 10
    assert mean_days_of(1, DAY, None) == Mean(1, 1, None, None)
    assert mean_days_of(0, None, None) == Mean(0, None, None, None)


@given(st.lists(st.integers(0, 50), min_size=2, max_size=60))
def test_quantiles_of_exact_bins_are_those_of_the_values(values: list[int]) -> None:
    bins = [Bin(value, value, values.count(value)) for value in sorted(set(values))]

    cuts = quantiles(values, n=10, method="inclusive")
    assert [quantile(bins, share) for share in (0.5, 0.9)] == pytest.approx([cuts[4], cuts[8]])


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=200), st.sampled_from([0.008, 0.1]))
def test_wide_bins_are_wrong_by_their_width_at_most(values: list[int], width: float) -> None:
    held: dict[int, list[int]] = {}
    for value in values:
        held.setdefault(math.floor(math.log(1 + value) / width), []).append(value)
    bins = [Bin(min(found), max(found), len(found)) for _, found in sorted(held.items())]
    exact = [Bin(value, value, 1) for value in sorted(values)]

    for share in (0.5, 0.9):
        assert quantile(bins, share) == pytest.approx(quantile(exact, share), rel=2 * width, abs=2 * width)


def test_a_spread_is_in_days() -> None:
    spread = spread_of([Bin(2 * DAY, 2 * DAY, 1), Bin(DAY, DAY, 1)])

    assert (spread.count, spread.median, spread.p90) == (2, 1.5, 1.9)


def test_corrected_p_values_are_holms() -> None:
    assert corrected([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_groups_that_differ_by_chance_are_within_noise() -> None:
    found = compare("the win rate", [Outcomes("ada", 30, 50), Outcomes("ben", 27, 50), Outcomes("cy", 33, 50)])

    assert (found.test, found.degrees, found.verdict) == ("chi_square", 2, "within_noise")
    assert found.statistic == pytest.approx(1.5, abs=1e-4)
    assert "within noise" in found.words


def test_who_stands_out_is_named_and_the_rest_is_not() -> None:
    found = compare("the win rate", [Outcomes("ada", 90, 100), Outcomes("ben", 50, 100), Outcomes("cy", 52, 100)])

    verdicts = {item.group: item.verdict for item in found.contrasts}
    assert found.verdict == "differ"
    assert verdicts == {"ada": "above", "ben": "below", "cy": "below"}


def test_small_groups_are_tested_as_one() -> None:
    small = [Outcomes(f"small{n}", 1, 2) for n in range(10)]
    found = compare("the win rate", [Outcomes("large", 50, 100), *small])

    assert (found.groups, found.pooled, found.test) == (11, 10, "chi_square")


def test_two_small_groups_are_compared_exactly() -> None:
    found = compare("the win rate", [Outcomes("ada", 8, 10), Outcomes("ben", 1, 6)])

    assert found.test == "fisher_exact"
    assert found.p_value == pytest.approx(0.034965, abs=1e-6)
    assert {item.verdict for item in found.contrasts} == {"above", "below"}


@pytest.mark.parametrize("outcomes", [[], [Outcomes("ada", 1, 2)], [Outcomes("ada", 0, 9), Outcomes("ben", 0, 9)]])
def test_where_nothing_can_be_compared_that_is_said(outcomes: list[Outcomes]) -> None:
    found = compare("the win rate", outcomes)

    assert (found.verdict, found.p_value, found.contrasts) == ("too_few", None, ())
