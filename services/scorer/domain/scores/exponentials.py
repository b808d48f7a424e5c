"""Sums of decaying exponentials, piece by piece: closed under adding, weighting and clamping, with exact roots.

Times are microseconds (floats) after the start of a stretch; a part halves with every half-life.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, exp2, log2


@dataclass(frozen=True, slots=True)
class ExponentialSum:
    """`constant` plus, for each half-life in microseconds, what decays with it."""

    constant: float
    decaying: Mapping[int, float]

    def at(self, time_us: float) -> float:
        """The value `time_us` after the start."""
        return self.constant + sum(part * exp2(-time_us / half) for half, part in self.decaying.items())

    def plus(self, other: "ExponentialSum", weight: float = 1.0) -> "ExponentialSum":
        """This and `weight` times the other."""
        decaying = dict(self.decaying)
        for half_life_us, part in other.decaying.items():
            decaying[half_life_us] = decaying.get(half_life_us, 0.0) + weight * part
        return ExponentialSum(self.constant + weight * other.constant, decaying)


ZERO = ExponentialSum(0.0, {})


@dataclass(frozen=True, slots=True)
class Piece:
    """One sum, from `from_us` up to `to_us` after the start of the stretch."""

    from_us: float
    to_us: float
    sum: ExponentialSum


@dataclass(frozen=True, slots=True)
class Piecewise:
    """A function of time over one stretch: pieces that follow each other without gaps."""

    pieces: tuple[Piece, ...]

    def plus(self, other: "Piecewise", weight: float = 1.0) -> "Piecewise":
        """This and `weight` times the other, over the same stretch."""
        edges = sorted({edge for piece in (*self.pieces, *other.pieces) for edge in (piece.from_us, piece.to_us)})
        return Piecewise(
            tuple(
                Piece(start, end, self.sum_in(start, end).plus(other.sum_in(start, end), weight))
                for start, end in pairwise(edges)
            )
        )

    def clamped(self, low: float | None, high: float | None) -> "Piecewise":
        """This within limits; where they contradict each other, the floor wins."""
        capped = self if high is None else self.limited(high, lambda value: value > high)
        return capped if low is None else capped.limited(low, lambda value: value < low)

    def crossings(self, *levels: float) -> list[float]:
        """Every time at which the value passes one of `levels` within a piece, in no order."""
        return [time for piece in self.pieces for time in _crossings(piece, levels)]

    def limited(self, limit: float, is_beyond: Callable[[float], bool]) -> "Piecewise":
        """This, with `limit` wherever the value is beyond it."""
        pieces: list[Piece] = []
        for piece in self.pieces:
            edges = [piece.from_us, *_crossings(piece, (limit,)), piece.to_us]
            for start, end in pairwise(edges):
                beyond = is_beyond(piece.sum.at((start + end) / 2))
                pieces.append(Piece(start, end, ExponentialSum(limit, {}) if beyond else piece.sum))
        return Piecewise(tuple(pieces))

    def sum_in(self, start_us: float, end_us: float) -> ExponentialSum:
        """The sum that holds from `start_us` to `end_us`, which lie in one piece."""
        middle = (start_us + end_us) / 2
        return next(piece.sum for piece in self.pieces if piece.from_us <= middle <= piece.to_us)


def whole(sum_: ExponentialSum, length_us: float) -> Piecewise:
    """One sum over a whole stretch."""
    return Piecewise((Piece(0.0, length_us, sum_),))


def _crossings(piece: Piece, levels: Sequence[float]) -> list[float]:
    rates = sorted((1 / half_life_us, part) for half_life_us, part in piece.sum.decaying.items() if part)
    return _passings(piece.sum.constant, rates, levels, start=piece.from_us, end=piece.to_us)


def _passings(
    constant: float, parts: Sequence[tuple[float, float]], levels: Sequence[float], *, start: float, end: float
) -> list[float]:
    """Where `constant + sum(part * 2**(-rate * t))` passes `levels` between `start` and `end`.

    Between the zeros of its derivative it is monotonic, and the derivative, divided by its slowest part, is
    such a sum with one part fewer (Rolle).
    """
    if not parts or not levels:
        return []
    slowest, first = parts[0]
    slope = [((rate - slowest), part * rate) for rate, part in parts[1:]]
    turns = _passings(first * slowest, slope, (0.0,), start=start, end=end)

    def value(time: float) -> float:
        total = constant
        for rate, part in parts:
            total += part * exp2(-rate * time)
        return total

    points = [(time, value(time)) for time in (start, *turns, end)]
    return [
        _passing(value, level, left, right)
        for left, right in pairwise(points)
        for level in levels
        if (left[1] > level) is not (right[1] > level)
    ]


def _passing(
    value: Callable[[float], float], level: float, start: tuple[float, float], end: tuple[float, float]
) -> float:
    """Where a monotonic `value` passes `level` between two points (time, value) on either side of it.

    Interpolation, truncated and projected (Oliveira and Takahashi, ACM TOMS 47(1), 2020): never more steps than
    bisection takes, and a third of them where the value is smooth.
    """
    (left, low), (right, high) = start, end
    rises = high > low
    close = max(0.25, abs(right) * 1e-15)
    if right - left <= close:
        return right
    bend = 0.2 / (right - left)
    slack = close / 2 * 2.0 ** (ceil(log2((right - left) / close)) + 1)
    while right - left > close:
        middle, width = (left + right) / 2, right - left
        crossed = left + (level - low) / (high - low) * width
        towards = 1.0 if middle >= crossed else -1.0
        step = max(close, bend * width * width)
        guess = crossed + towards * step if step <= abs(middle - crossed) else middle
        room = max(0.0, slack - width / 2)
        guess = guess if abs(guess - middle) <= room else middle - towards * room
        found = value(guess)
        if (found > level) is rises:
            right, high = guess, found
        else:
            left, low = guess, found
        slack /= 2
    return right
