"""Precision and recall by threshold, against counting."""

import pytest
from hypothesis import given

from services.scorer.domain.what_if.backtest.intervals import Share
from services.scorer.domain.what_if.backtest.observations import Observations
from services.scorer.domain.what_if.backtest.thresholds import levels_of, selections_of
from tests.unit.scorer.what_if.backtest.samples import observations, observed, of_many_leads


@given(sample=observations())
def test_what_a_threshold_selects_is_what_reaches_it(sample: Observations) -> None:
    scores = sample.scores[0]
    levels = [*set(scores), 3.5, 99.0, -1.0]

    found = selections_of(sample, scores, levels)

    assert [each.threshold for each in found] == sorted(levels, reverse=True)
    for each in found:
        precision, recall = Share(), Share()
        for lead, won, score in zip(sample.leads, sample.won, scores, strict=True):
            if score >= each.threshold:
                precision.add(lead, hit=won)
            if won:
                recall.add(lead, hit=score >= each.threshold)
        assert each.selected == sum(score >= each.threshold for score in scores)
        assert each.precision.low == pytest.approx(precision.estimate().low)
        assert each.precision.high == pytest.approx(precision.estimate().high)
        assert each.recall.value == pytest.approx(recall.estimate().value)
        assert each.recall.low == pytest.approx(recall.estimate().low)


def test_false_alarms_are_a_share_of_those_that_did_not_win() -> None:
    sample = observed((1, True, 9), (2, False, 8), (3, False, 2), (4, False, 1), (5, False, 1))

    (found,) = selections_of(sample, sample.scores[0], [5])

    assert found.false_alarms.value == pytest.approx(1 / 4)


def test_levels_cut_many_observations_into_about_as_many_parts_as_asked() -> None:
    sample = of_many_leads(5000, seed=1, noises=(1.0,))

    found = levels_of(sample.scores[0], 20)

    assert 18 <= len(found) <= 22
    assert found == sorted(found, reverse=True)
    assert (found[0], found[-1]) == (max(sample.scores[0]), min(sample.scores[0]))


def test_few_observations_are_all_levels() -> None:
    assert levels_of([3, 1, 2, 1]) == [3, 2, 1]
