"""Shares and rates with their intervals, against published values and against sums over single leads."""

from math import sqrt
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scorer.domain.what_if.backtest.intervals import Share, deviations, rate, wilson

Rows = list[tuple[int, bool]]
ROWS = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("hits", "number", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998) 857, table I, method 3.
        pytest.param(81, 263, 0.2553, 0.3662, id="81 of 263"),
        pytest.param(15, 148, 0.0624, 0.1605, id="15 of 148"),
        pytest.param(0, 20, 0.0, 0.1611, id="none of 20"),
        pytest.param(1, 29, 0.0061, 0.1718, id="1 of 29"),
    ],
)
def test_wilsons_interval_is_the_published_one(hits: int, number: int, low: float, high: float) -> None:
    share = wilson(hits / number, number)

    assert (round(share.low, 4), round(share.high, 4)) == (low, high)


def test_no_trials_tell_nothing() -> None:
    share = wilson(0.0, 0)

    assert (share.low, share.high) == (0.0, 1.0)


@given(count=st.integers(1, 10_000), exposure=st.floats(0.1, 1000), dispersion=st.floats(1, 20))
def test_the_ends_of_a_rate_are_the_rates_that_would_just_not_be_refuted(
    count: int, exposure: float, dispersion: float
) -> None:
    found = rate(count, exposure, dispersion=dispersion)

    for end in (found.low, found.high):
        expected = end * exposure
        assert abs(count - expected) == pytest.approx(deviations() * sqrt(expected * dispersion))


def test_none_at_all_still_has_an_upper_end() -> None:
    found = rate(0, 10)

    assert found.low == 0.0
    assert found.high == pytest.approx(deviations() ** 2 / 10)


@given(rows=st.lists(st.booleans(), min_size=1, max_size=40))
def test_with_one_observation_per_lead_the_interval_is_wilsons_own(rows: list[bool]) -> None:
    share = Share()
    for lead, hit in enumerate(rows):
        share.add(lead, hit=hit)

    expected = wilson(sum(rows) / len(rows), len(rows))
    assert share.estimate() == expected


@given(rows=ROWS)
def test_the_interval_is_as_wide_as_a_sum_over_leads_says(rows: Rows) -> None:
    share = Share()
    for lead, hit in rows:
        share.add(lead, hit=hit)

    found = share.estimate()

    expected = wilson(sum(hit for _, hit in rows) / len(rows), trials(rows))
    assert found.value == pytest.approx(expected.value)
    assert found.low == pytest.approx(expected.low)
    assert found.high == pytest.approx(expected.high)


def trials(rows: Rows) -> float:
    """What the observations are worth, by the definition of the design effect."""
    leads = {lead for lead, _ in rows}
    share = sum(hit for _, hit in rows) / len(rows)
    if len(leads) == len(rows):
        return len(rows)
    if len(leads) == 1 or share in {0.0, 1.0}:
        return len(leads)
    totals = {lead: sum(hit - share for other, hit in rows if other == lead) for lead in leads}
    clustered = sum(total**2 for total in totals.values()) * len(leads) / (len(leads) - 1)
    single = sum((hit - share) ** 2 for _, hit in rows) * len(rows) / (len(rows) - 1)
    return len(rows) / max(1.0, clustered / single)


@given(rows=ROWS, later=st.lists(st.integers(0, 29), unique=True))
def test_a_hit_that_is_noticed_later_counts_as_one_from_the_start(rows: Rows, later: list[int]) -> None:
    at_once, in_time = Share(), Share()
    for place, (lead, hit) in enumerate(rows):
        at_once.add(lead, hit=hit or place in later)
        in_time.add(lead, hit=hit)

    for place in later:
        if place < len(rows) and not rows[place][1]:
            in_time.turn(rows[place][0])

    assert in_time.estimate() == at_once.estimate()


def test_repeating_every_lead_ten_times_makes_nothing_surer() -> None:
    once, often = Share(), Share()
    for lead in range(100):
        once.add(lead, hit=lead % 4 == 0)
        for _ in range(10):
            often.add(lead, hit=lead % 4 == 0)

    assert often.estimate().low == pytest.approx(once.estimate().low, abs=0.001)
    assert often.estimate().high == pytest.approx(once.estimate().high, abs=0.001)


def test_nineteen_of_twenty_intervals_hold_the_truth_although_observations_depend_on_each_other() -> None:
    random = Random(2012)
    held = 0
    for _ in range(400):
        share = Share()
        for lead in range(80):
            chance = random.choice((0.05, 0.55))
            for _ in range(random.randint(1, 12)):
                share.add(lead, hit=random.random() < chance)
        found = share.estimate()
        held += found.low <= 0.3 <= found.high

    assert 0.92 <= held / 400 <= 0.98
