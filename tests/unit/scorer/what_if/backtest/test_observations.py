"""Ranking: equal scores stay together, whatever order they came in."""

from services.scorer.domain.what_if.backtest.observations import Tied, ranked


def test_the_highest_score_comes_first_and_equal_ones_are_one_group() -> None:
    assert ranked([3.0, 7.0, 3.0, -1.0]) == [Tied(7.0, (1,)), Tied(3.0, (0, 2)), Tied(-1.0, (3,))]


def test_nothing_has_no_ranks() -> None:
    assert ranked([]) == []
