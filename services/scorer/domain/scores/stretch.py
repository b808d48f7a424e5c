"""A curve within one stretch: between two moments at which terms begin or end, where it can only decay.

There every group is a constant and some decays within its limits. Mostly a score moves one way the whole stretch
long, which is cheap to see and makes the rest cheap: it passes a level once, and what it comes to rest at tells
whether it ever does.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import ceil, exp2, fsum, log2
from typing import Literal, NamedTuple, TypeAlias

from shared.events.curve import Curve, ScoreCurve, Term, clamp, group_value, values_at, worth_at

# Which way a value moves as time goes on; 0 is not at all, None that it cannot be seen at a glance.
Direction: TypeAlias = Literal[-1, 0, 1] | None

_OPPOSITE: Mapping[Literal[-1, 0, 1], Direction] = {-1: 1, 0: 0, 1: -1}

# A step as short leaves an error that is shorter by as much as the step is than a half-life.
_CLOSE_US = 10_000.0
_LOOKS = 40


class Stretch:
    """The scores of `curve` from `start_us` up to `end_us`, within which no term begins or ends.

    Combined scores come after what they combine, as they do in every curve that the scorer makes.
    """

    def __init__(self, curve: Curve, start_us: int, end_us: int) -> None:
        self.start_us = start_us
        self.last_us = end_us - 1
        self._scores = curve.scores
        self._fading: dict[str, _Fading] = {}

    def values_at(self, at_us: int) -> dict[str, float]:
        """Every score at a moment of the stretch, clamped but unrounded."""
        return values_at(self._scores, at_us)

    def value_at(self, name: str, at_us: int) -> float:
        """One score at a moment of the stretch, as `values_at` has it."""
        score = self._scores[name]
        parts = [group_value(group, at_us) for group in score.groups]
        parts += [weight * self.value_at(part, at_us) for part, weight in score.components.items()]
        return clamp(fsum(parts), score.min, score.max)

    def direction_of(self, name: str) -> Direction:
        """Which way a score moves, the whole stretch long."""
        return self._faded(name).direction()

    def rest_of(self, name: str) -> float:
        """What a score would be once all decay is over."""
        score = self._scores[name]
        return clamp(self._faded(name).rest(), score.min, score.max)

    def passes(self, name: str, level: float) -> int | None:
        """About when a score that moves one way passes `level`; None if it does not within the stretch.

        Newton's method on the logarithm of how far it is from its rest, which is nearly a straight line. Where limits
        hold the score, or a step leads out of what surrounds the passing, the middle of that is looked at next.
        """
        fading, end = self._faded(name), float(self.last_us - self.start_us)
        rest = fading.rest()
        to_go, time_us, earliest, latest = abs(level - rest), 0.0, 0.0, end
        for _ in range(_LOOKS if to_go else 0):
            value, loss = fading.at(time_us)
            distance = abs(value - rest)
            if distance <= to_go:
                latest = time_us
            elif time_us == end:
                return None
            else:
                earliest = time_us
            step = log2(distance / to_go) * distance / abs(loss) if distance and loss else 0.0
            time_us += step
            if 0 < abs(step) < _CLOSE_US or latest - earliest < 1:
                break
            if time_us >= end == latest:
                time_us = end
            elif not earliest < time_us < latest:
                time_us = (earliest + latest) / 2
        return self.start_us + ceil(time_us)

    def _faded(self, name: str) -> "_Fading":
        found = self._fading.get(name)
        if found is None:
            found = self._fading[name] = self._fading_of(self._scores[name])
        return found

    def _fading_of(self, score: ScoreCurve) -> "_Fading":
        fading = _Fading()
        for group in score.groups:
            if group.min is None and group.max is None:
                fading.begin(group.terms, self.start_us)
            else:
                held = _Fading()
                held.begin(group.terms, self.start_us)
                fading.add(held, 1.0, group.min, group.max)
        for part, weight in score.components.items():
            fading.add(self._faded(part), weight, self._scores[part].min, self._scores[part].max)
        return fading


class _Held(NamedTuple):
    part: "_Fading"
    weight: float
    min: float | None
    max: float | None


class _Fading:
    """A score without its own limits, from the start of a stretch on: fewer terms than its curve has.

    What decays freely is one sum for each half-life; only what limits of its own may hold still stays apart.
    """

    __slots__ = ("constant", "decaying", "held")

    def __init__(self) -> None:
        self.constant = 0.0
        self.decaying: dict[int, float] = {}
        self.held: list[_Held] = []

    def begin(self, terms: Iterable[Term], start_us: int) -> None:
        """Add what of `terms` is there at the start."""
        for term in terms:
            worth, half_life_us = worth_at(term, start_us), term.half_life_us
            if half_life_us is None:
                self.constant += worth
            elif worth:
                self.decaying[half_life_us] = self.decaying.get(half_life_us, 0.0) + worth

    def add(self, part: "_Fading", weight: float, low: float | None, high: float | None) -> None:
        """Add a weighted part that has limits of its own."""
        if part.held or not part.keeps_to(low, high):
            self.held.append(_Held(part, weight, low, high))
            return
        self.constant += weight * part.constant
        for half_life_us, worth in part.decaying.items():
            self.decaying[half_life_us] = self.decaying.get(half_life_us, 0.0) + weight * worth

    def rest(self) -> float:
        """What is left for ever."""
        return self.constant + sum([weight * clamp(part.rest(), low, high) for part, weight, low, high in self.held])

    def at(self, time_us: float) -> tuple[float, float]:
        """What it is so long after the start, and what it loses then: worth over its half-life."""
        value, loss = self.constant, 0.0
        for half_life_us, worth in self.decaying.items():
            left = worth * exp2(-time_us / half_life_us)
            value, loss = value + left, loss + left / half_life_us
        for part, weight, low, high in self.held:
            free, lost = part.at(time_us)
            held = clamp(free, low, high)
            value += weight * held
            if held == free:
                loss += weight * lost
        return value, loss

    def direction(self) -> Direction:
        """Which way it moves: whatever may be held still may stop at any time, and makes up for nothing."""
        free = _direction(self.decaying)
        if not self.held:
            return free
        return _common([free, *[_turned(each.part.direction(), each.weight) for each in self.held]])

    def keeps_to(self, low: float | None, high: float | None) -> bool:
        """Whether limits can never hold it."""
        if low is None and high is None:
            return True
        lowest = highest = self.constant
        for worth in self.decaying.values():
            if worth < 0:
                lowest += worth
            else:
                highest += worth
        return (low is None or lowest >= low) and (high is None or highest <= high)


def _direction(decaying: Mapping[int, float]) -> Direction:
    """Which way a sum of decays, each with its half-life, moves.

    Each loses in proportion to its worth over its half-life, and what halves faster fades earlier: where the sums
    of that from the slowest on all have one sign, so has every later mixture of them (Abel's summation).
    """
    slope, falls, rises = 0.0, True, True
    for half_life_us in sorted(decaying, reverse=True):
        slope += decaying[half_life_us] / half_life_us
        falls, rises = falls and slope >= 0, rises and slope <= 0
    return 0 if falls and rises else -1 if falls else 1 if rises else None


def _turned(direction: Direction, weight: float) -> Direction:
    if direction is None or weight == 0:
        return 0 if weight == 0 else None
    return direction if weight > 0 else _OPPOSITE[direction]


def _common(directions: Sequence[Direction]) -> Direction:
    """The way of a sum, if its parts do not go different ways."""
    ways = set(directions) - {0}
    return ways.pop() if len(ways) == 1 else None if ways else 0
