"""What a score means: bins of about equal size, whatever is tied."""

import pytest
from hypothesis import given

from services.scorer.domain.what_if.backtest.calibration import bins_of
from services.scorer.domain.what_if.backtest.observations import Observations
from tests.unit.scorer.what_if.backtest.samples import observations, observed, of_many_leads


@given(sample=observations())
def test_every_observation_is_in_one_bin_and_equal_scores_share_theirs(sample: Observations) -> None:
    scores = sample.scores[0]

    found = bins_of(sample, scores, 4)

    assert len(found) <= 4
    assert sum(each.observations for each in found) == len(scores)
    for each in found:
        inside = [place for place, score in enumerate(scores) if each.lowest <= score <= each.highest]
        assert each.observations == len(inside)
        assert each.mean == pytest.approx(sum(scores[place] for place in inside) / len(inside))
        assert each.wins.value == pytest.approx(sum(sample.won[place] for place in inside) / len(inside))


def test_bins_are_of_about_equal_size() -> None:
    sample = of_many_leads(3000, seed=1, noises=(1.0,))

    sizes = [each.observations for each in bins_of(sample, sample.scores[0])]

    assert len(sizes) == 10
    assert all(240 <= size <= 360 for size in sizes)


def test_a_score_that_most_leads_have_is_a_bin_of_its_own() -> None:
    rows = [(lead, lead % 7 == 0, 0.0 if lead < 60 else float(lead)) for lead in range(100)]
    sample = observed(*rows)

    found = bins_of(sample, sample.scores[0])

    assert (found[0].highest, found[0].observations) == (0.0, 60)
    assert len(found) == 5
