"""A curve within one stretch: between two moments at which terms begin or end, where it can only decay.

There every group is a constant and some decays within its limits. Mostly a score moves one way the whole stretch
long, which is cheap to see and makes the rest cheap: it passes a level once, and what it comes to rest at tells
whether it ever does.
"""

from collections.abc import Mapping, Sequence
from math import ceil, exp2, fsum, log2
from typing import Literal, NamedTuple, TypeAlias

from shared.events.curve import Curve, GroupCurve, ScoreCurve, clamp

# Which way a value moves as time goes on; 0 is not at all, None that it cannot be seen at a glance.
Direction: TypeAlias = Literal[-1, 0, 1] | None

_OPPOSITE: Mapping[Literal[-1, 0, 1], Direction] = {-1: 1, 0: 0, 1: -1}

# A passing is looked for until it is known to this many microseconds, and no more often than so.
_CLOSE_US = 0.25
_LOOKS = 40


class _Decay(NamedTuple):
    worth: float
    from_us: int
    half_life_us: int


class _Group(NamedTuple):
    """A group that moves."""

    min: float | None
    max: float | None
    constants: list[float]
    decays: list[_Decay]


class _Score(NamedTuple):
    """`fixed` are the values of groups that stand still; `weights` are of the scores that this one combines."""

    min: float | None
    max: float | None
    fixed: list[float]
    groups: list[_Group]
    weights: Mapping[str, float]


class Stretch:
    """The scores of `curve` from `start_us` up to `end_us`, within which no term begins or ends.

    Combined scores come after what they combine, as they do in every curve that the scorer makes.
    """

    def __init__(self, curve: Curve, start_us: int, end_us: int) -> None:
        self.start_us = start_us
        self.last_us = end_us - 1
        self._still: dict[str, float] = {}
        self._moving: dict[str, _Score] = {}
        for name, curve_of_score in curve.scores.items():
            score = _score(curve_of_score, start_us)
            if score.groups or not self._still.keys() >= score.weights.keys():
                self._moving[name] = score
            else:
                self._still[name] = _value(score, self._still, start_us)

    def values_at(self, at_us: int) -> dict[str, float]:
        """Every score at a moment of the stretch, clamped but unrounded."""
        values = dict(self._still)
        for name, score in self._moving.items():
            values[name] = _value(score, values, at_us)
        return values

    def value_at(self, name: str, at_us: int) -> float:
        """One score at a moment of the stretch, as `values_at` has it."""
        score = self._moving.get(name)
        if score is None:
            return self._still[name]
        return _value(score, {part: self.value_at(part, at_us) for part in score.weights}, at_us)

    def rest_of(self, name: str) -> float:
        """What one score would be once all decay is over."""
        score = self._moving.get(name)
        return self._still[name] if score is None else clamp(self._rest(score), score.min, score.max)

    def directions(self) -> dict[str, Direction]:
        """Which way each score moves, the whole stretch long."""
        found: dict[str, Direction] = dict.fromkeys(self._still, 0)
        for name, score in self._moving.items():
            parts = [_turned(found[part], weight) for part, weight in score.weights.items()]
            found[name] = _common([*_group_directions(score.groups, self.start_us), *parts])
        return found

    def passes(self, name: str, level: float) -> int:
        """About when a score that moves one way passes `level`, as it does within the stretch.

        Newton's method on the logarithm of how far it is from its rest, which is nearly a straight line. Where limits
        hold the score, or a step leads out of what surrounds the passing, the middle of that is looked at next.
        """
        score = self._moving[name]
        rest = self._rest(score)
        to_go, time_us = abs(level - rest), 0.0
        earliest, latest = 0.0, float(self.last_us - self.start_us)
        for _ in range(_LOOKS if to_go else 0):
            value, loss = self._aged(score, time_us)
            distance = abs(value - rest)
            if distance > to_go:
                earliest = time_us
            else:
                latest = time_us
            step = log2(distance / to_go) * distance / abs(loss) if distance and loss else None
            if latest - earliest < _CLOSE_US or (step is not None and abs(step) < _CLOSE_US):
                break
            time_us += step or 0.0
            if not earliest < time_us < latest:
                time_us = (earliest + latest) / 2
        return self.start_us + ceil(time_us)

    def _rest(self, score: _Score) -> float:
        """What a score without its own limits would be once all decay is over."""
        parts = score.fixed + [clamp(fsum(group.constants), group.min, group.max) for group in score.groups]
        return fsum(parts + [weight * self.rest_of(part) for part, weight in score.weights.items()])

    def _aged(self, score: _Score, time_us: float) -> tuple[float, float]:
        """What a score without its own limits is so long after the start, and how fast it loses that."""
        value, loss = fsum(score.fixed), 0.0
        for group in score.groups:
            worth, lost = _held(*_aged_sum(group, self.start_us, time_us), group.min, group.max)
            value, loss = value + worth, loss + lost
        for part, weight in score.weights.items():
            worth, lost = self._aged_part(part, time_us)
            value, loss = value + weight * worth, loss + weight * lost
        return value, loss

    def _aged_part(self, name: str, time_us: float) -> tuple[float, float]:
        score = self._moving.get(name)
        return (self._still[name], 0.0) if score is None else _held(*self._aged(score, time_us), score.min, score.max)


def _score(score: ScoreCurve, start_us: int) -> _Score:
    fixed: list[float] = []
    moving: list[_Group] = []
    for curve in score.groups:
        group = _group(curve, start_us)
        if group.decays:
            moving.append(group)
        else:
            fixed.append(_group_value(group, start_us))
    return _Score(score.min, score.max, fixed, moving, score.components)


def _group(group: GroupCurve, start_us: int) -> _Group:
    constants: list[float] = []
    decays: list[_Decay] = []
    for term in group.terms:
        if term.from_us > start_us or (term.ends_us is not None and term.ends_us <= start_us):
            continue
        if term.half_life_us is None:
            constants.append(term.worth)
        elif term.worth:
            decays.append(_Decay(term.worth, term.from_us, term.half_life_us))
    return _Group(group.min, group.max, constants, decays)


def _value(score: _Score, values: Mapping[str, float], at_us: int) -> float:
    parts = score.fixed + [_group_value(group, at_us) for group in score.groups]
    if score.weights:
        parts += [weight * values[part] for part, weight in score.weights.items()]
    return clamp(fsum(parts), score.min, score.max)


def _group_value(group: _Group, at_us: int) -> float:
    # Asked several times per forecast, so it is written out.
    worths = [worth * exp2((from_us - at_us) / half_life_us) for worth, from_us, half_life_us in group.decays]
    total = fsum(group.constants + worths) if group.constants else fsum(worths)
    return clamp(total, group.min, group.max)


def _aged_sum(group: _Group, start_us: int, time_us: float) -> tuple[float, float]:
    """A group without its limits so long after the start, and what it loses: its worth over its half-life."""
    value, loss = fsum(group.constants), 0.0
    for worth, from_us, half_life_us in group.decays:
        left = worth * exp2((from_us - start_us - time_us) / half_life_us)
        value, loss = value + left, loss + left / half_life_us
    return value, loss


def _held(value: float, loss: float, low: float | None, high: float | None) -> tuple[float, float]:
    """A value within limits, and what it loses: nothing where a limit holds it."""
    held = clamp(value, low, high)
    return held, loss if held == value else 0.0


def _worth(decay: _Decay, at_us: int) -> float:
    return decay.worth * exp2(-(at_us - decay.from_us) / decay.half_life_us)


def _group_directions(groups: Sequence[_Group], start_us: int) -> list[Direction]:
    """Groups that their limits leave alone may make up for each other; any other may stop at any time."""
    signs = {decay.worth > 0 for group in groups for decay in group.decays}
    if len(signs) < 2:
        return [-1 if sign else 1 for sign in signs]
    alone: list[Direction] = []
    together: list[tuple[int, float]] = []
    for group in groups:
        worths = [(decay.half_life_us, _worth(decay, start_us)) for decay in group.decays]
        if _is_left_alone(group, [worth for _, worth in worths]):
            together += worths
        else:
            alone.append(_direction(worths))
    return [*alone, _direction(together)]


def _is_left_alone(group: _Group, worths: Sequence[float]) -> bool:
    if group.min is None and group.max is None:
        return True
    lowest = fsum([*group.constants, *[worth for worth in worths if worth < 0]])
    highest = fsum([*group.constants, *[worth for worth in worths if worth > 0]])
    return (group.min is None or lowest >= group.min) and (group.max is None or highest <= group.max)


def _direction(worths: Sequence[tuple[int, float]]) -> Direction:
    """Which way a sum of decays moves.

    Each loses in proportion to its worth over its half-life, and what halves faster fades earlier: where the sums
    of that from the slowest on all have one sign, so has every later mixture of them (Abel's summation).
    """
    slope, falls, rises = 0.0, True, True
    slopes: dict[int, float] = {}
    for half_life_us, worth in worths:
        slopes[half_life_us] = slopes.get(half_life_us, 0.0) + worth / half_life_us
    for half_life_us in sorted(slopes, reverse=True):
        slope += slopes[half_life_us]
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
