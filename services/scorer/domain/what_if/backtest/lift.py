"""Lift by decile: how often the tenth of leads with the most points wins, then the next, against all of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from services.scorer.domain.what_if.backtest.intervals import Estimate, Share
from services.scorer.domain.what_if.backtest.observations import Observations, ranked

_TENTHS: Final = 10


@dataclass(frozen=True, slots=True)
class Decile:
    """A tenth of the observations, 1 being the one with the highest scores.

    `lift` is its share of wins over that of all.
    """

    decile: int
    highest: float
    lowest: float
    wins: Estimate
    lift: Estimate


def deciles_of(observations: Observations, scores: Sequence[float]) -> tuple[Decile, ...]:
    """The ten deciles, the best first.

    Equal scores are never put in an order: a group of them that lies across a border gives each side its part,
    with the group's share of wins. So the order in which leads are read does not matter.
    """
    overall = sum(observations.won) / len(observations)
    tenths = [_Tenth() for _ in range(_TENTHS)]
    for number, place, weight, score in _portions(scores):
        tenths[number].add(observations, place, weight=weight, score=score)
    return tuple(_deciles(tenths, overall))


class _Tenth:
    def __init__(self) -> None:
        self.share = Share()
        self.scores: list[float] = []

    def add(self, observations: Observations, place: int, *, weight: float, score: float) -> None:
        self.share.add(observations.leads[place], hit=observations.won[place], weight=weight)
        if not self.scores or self.scores[-1] != score:
            self.scores.append(score)


def _portions(scores: Sequence[float]) -> Iterator[tuple[int, int, float, float]]:
    """(decile from 0, place, how much of it, its score) for every observation, the highest first."""
    # In tenths of an observation all borders are whole, and nothing is lost to rounding.
    size = len(scores)
    begin = 0
    for score, places in ranked(scores):
        end = begin + _TENTHS * len(places)
        for number in range(begin // size, -(-end // size)):
            inside = min(end, (number + 1) * size) - max(begin, number * size)
            for place in places:
                yield number, place, inside / (_TENTHS * len(places)), score
        begin = end


def _deciles(tenths: Sequence[_Tenth], overall: float) -> Iterator[Decile]:
    for number, tenth in enumerate(tenths, start=1):
        if not tenth.scores:
            continue
        wins = tenth.share.estimate()
        yield Decile(
            decile=number,
            highest=tenth.scores[0],
            lowest=tenth.scores[-1],
            wins=wins,
            lift=wins.scaled(1 / overall if overall else 0.0),
        )
