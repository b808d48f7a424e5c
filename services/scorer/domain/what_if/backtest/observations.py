"""What every statistic here is computed from: leads at moments, with their scores and what came of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Observations:
    """Columns of equal length: one place is one lead at one moment.

    `leads` are numbers; equal ones are the same lead, whose observations depend on each other. `won` says what the
    backtest asks about. `scores` has a column for each model, of the same leads at the same moments.
    """

    leads: Sequence[int]
    at_us: Sequence[int]
    won: Sequence[bool]
    scores: tuple[Sequence[float], ...]

    def __len__(self) -> int:
        return len(self.leads)


class Tied(NamedTuple):
    """The places that have the same score, in ascending order."""

    score: float
    places: tuple[int, ...]


def ranked(scores: Sequence[float]) -> list[Tied]:
    """Places by score, the highest first; equal scores stay together, so that nobody's order among them matters."""
    order = sorted(range(len(scores)), key=lambda place: -scores[place])
    return [Tied(score, tuple(places)) for score, places in groupby(order, key=lambda place: scores[place])]
