"""Thresholds for what people want: so many leads a week, such a share of the wins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scorer.domain.what_if.backtest.demand import Demand
from services.scorer.domain.what_if.backtest.observations import Observations
from shared.documents.durations import DAY_US, WEEK_US
from tests.unit.scorer.what_if.backtest.samples import observations, of_many_leads

TEN_WEEKS = 10


def a_market(leads: int = 500) -> Observations:
    """`leads` over ten weeks."""
    sample = of_many_leads(leads, seed=1, noises=(0.7,))
    moments = [place * TEN_WEEKS * WEEK_US // leads for place in range(leads)]
    return Observations(sample.leads, moments, sample.won, sample.scores)


def selected(sample: Observations, threshold: float) -> set[int]:
    return {lead for lead, score in zip(sample.leads, sample.scores[0], strict=True) if score >= threshold}


def test_the_threshold_for_so_many_leads_a_week_is_the_lowest_that_selects_no_more() -> None:
    sample = a_market()

    advice = Demand(sample, sample.scores[0], TEN_WEEKS).for_leads_per_week(12)

    lower = max(score for score in sample.scores[0] if score < advice.threshold.value)
    assert len(selected(sample, advice.threshold.value)) <= 120 < len(selected(sample, lower))
    assert advice.leads_per_week.value == len(selected(sample, advice.threshold.value)) / TEN_WEEKS


def test_every_threshold_of_the_interval_may_give_what_is_wanted() -> None:
    sample = a_market()
    demand = Demand(sample, sample.scores[0], TEN_WEEKS)

    advice = demand.for_leads_per_week(12)

    assert advice.threshold.low < advice.threshold.value < advice.threshold.high
    assert advice.leads_per_week.low <= 12 <= advice.leads_per_week.high


def test_more_leads_than_there_are_need_no_threshold() -> None:
    sample = a_market()

    advice = Demand(sample, sample.scores[0], TEN_WEEKS).for_leads_per_week(1000)

    assert advice.threshold.value == min(sample.scores[0])
    assert advice.share_of_wins.value == 1


def test_fewer_leads_than_share_the_highest_score_is_told_as_it_is() -> None:
    sample = Observations([0, 1, 2, 3], [0, 1, 2, 3], [True, True, False, False], ([5, 5, 5, 1],))

    advice = Demand(sample, sample.scores[0], 1).for_leads_per_week(1)

    assert (advice.threshold.value, advice.leads_per_week.value) == (5, 3)


@given(sample=observations(), share=st.floats(0, 1))
def test_the_threshold_for_a_share_of_wins_is_the_highest_that_finds_it(sample: Observations, share: float) -> None:
    advice = Demand(sample, sample.scores[0], 1).for_share_of_wins(share)

    winners = {lead for lead, won in zip(sample.leads, sample.won, strict=True) if won}

    def found(threshold: float) -> float:
        columns = zip(sample.leads, sample.won, sample.scores[0], strict=True)
        return len({lead for lead, won, score in columns if won and score >= threshold}) / len(winners)

    higher = [score for score in sample.scores[0] if score > advice.threshold.value]
    assert advice.share_of_wins.value == pytest.approx(found(advice.threshold.value))
    assert found(advice.threshold.value) >= share
    assert not higher or found(min(higher)) < share
    assert advice.threshold.low <= advice.threshold.value <= advice.threshold.high


def test_precision_counts_leads_and_not_how_often_they_were_looked_at() -> None:
    leads, won, scores = [1, 1, 1, 2, 3, 4], [False, True, True, False, True, False], [7.0, 8, 9, 9, 1, 1]
    sample = Observations(leads, range(6), won, (scores,))

    advice = Demand(sample, scores, 1).for_leads_per_week(2)

    assert advice.leads_per_week.value == 2
    assert advice.precision.value == pytest.approx(1 / 2)
    assert advice.share_of_wins.value == pytest.approx(1 / 2)


def test_weeks_that_differ_more_than_by_chance_make_less_sure() -> None:
    even = a_market()
    crowded = Observations(
        even.leads, [at // (5 * WEEK_US) * 5 * WEEK_US + DAY_US for at in even.at_us], even.won, even.scores
    )

    calm = Demand(even, even.scores[0], TEN_WEEKS).for_leads_per_week(12).leads_per_week
    bursts = Demand(crowded, crowded.scores[0], TEN_WEEKS).for_leads_per_week(12).leads_per_week

    assert bursts.value == calm.value
    assert bursts.high - bursts.low > 2 * (calm.high - calm.low)
