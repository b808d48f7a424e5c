"""What a score means: how often leads with about so many points win.

Points are no probabilities and need not be; what must hold is that more points never mean fewer wins.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Final

from services.scorer.domain.what_if.backtest.intervals import Estimate, Share
from services.scorer.domain.what_if.backtest.observations import Observations, Tied, ranked

_BINS: Final = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Observations with scores from `lowest` to `highest`, `mean` on average, and the share of them that won."""

    lowest: float
    highest: float
    mean: float
    observations: int
    wins: Estimate


def bins_of(observations: Observations, scores: Sequence[float], bins: int = _BINS) -> tuple[Bin, ...]:
    """About `bins` bins of about equal size, the lowest scores first; equal scores are in one bin.

    So there may be fewer bins, and a score that many leads have, 0 say, is a bin of its own.
    """
    ascending = list(reversed(ranked(scores)))
    return tuple(_bin(observations, group) for group in _cut(ascending, len(scores) / bins))


def _cut(ascending: Sequence[Tied], size: float) -> Iterator[list[Tied]]:
    """Groups of ties, each as near to its share of the observations as ties allow."""
    group: list[Tied] = []
    seen, number = 0, 1
    for tied in ascending:
        middle = seen + len(tied.places) / 2
        if group and middle > number * size:
            yield group
            group = []
            number = max(number + 1, int(middle / size) + 1)
        group.append(tied)
        seen += len(tied.places)
    if group:
        yield group


def _bin(observations: Observations, group: Sequence[Tied]) -> Bin:
    share = Share()
    for tied in group:
        for place in tied.places:
            share.add(observations.leads[place], hit=observations.won[place])
    number = sum(len(tied.places) for tied in group)
    mean = fsum(tied.score * len(tied.places) for tied in group) / number
    return Bin(group[0].score, group[-1].score, mean, number, share.estimate())
