"""Lift by decile, against an account that cuts every observation into pieces."""

from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import given

from services.scorer.domain.what_if.backtest.intervals import Share
from services.scorer.domain.what_if.backtest.lift import deciles_of
from services.scorer.domain.what_if.backtest.observations import Observations
from tests.unit.scorer.what_if.backtest.samples import observations, observed


def shares_of_wins(sample: Observations, scores: Sequence[float]) -> list[Fraction]:
    """Each observation as ten pieces that win as its group of equal scores does; so many pieces are a tenth."""
    pieces: list[Fraction] = []
    for score in sorted(set(scores), reverse=True):
        group = [won for won, each in zip(sample.won, scores, strict=True) if each == score]
        pieces += [Fraction(sum(group), len(group))] * (10 * len(group))
    size = len(scores)
    return [sum(pieces[number * size : (number + 1) * size], Fraction(0)) / size for number in range(10)]


@given(sample=observations())
def test_equal_scores_give_each_side_of_a_border_its_part(sample: Observations) -> None:
    found = deciles_of(sample, sample.scores[0])

    expected = shares_of_wins(sample, sample.scores[0])
    assert [each.wins.value for each in found] == pytest.approx([float(share) for share in expected])


@given(sample=observations())
def test_the_deciles_hold_all_wins_between_them(sample: Observations) -> None:
    found = deciles_of(sample, sample.scores[0])

    assert sum(each.lift.value for each in found) == pytest.approx(10)


def test_the_order_of_equal_scores_does_not_matter() -> None:
    rows = [(lead, lead % 3 == 0, float(lead // 8)) for lead in range(40)]

    forwards, backwards = observed(*rows), observed(*reversed(rows))

    for one, other in zip(
        deciles_of(forwards, forwards.scores[0]), deciles_of(backwards, backwards.scores[0]), strict=True
    ):
        assert one.lift.value == pytest.approx(other.lift.value)
        assert one.lift.high == pytest.approx(other.lift.high)


def test_the_best_tenth_of_a_hundred_leads_is_ten_of_them() -> None:
    sample = observed(*((lead, lead >= 95, float(lead)) for lead in range(100)))

    best = deciles_of(sample, sample.scores[0])[0]

    share = Share()
    for lead in range(90, 100):
        share.add(lead, hit=lead >= 95)
    assert (best.highest, best.lowest) == (99.0, 90.0)
    assert best.wins == share.estimate()
    assert best.lift.value == pytest.approx(10)
