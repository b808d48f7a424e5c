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

# A step as short leaves an error that is shorter by as much as the step is than a half-life.
_CLOSE_US = 10_000.0
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
        self._fading: dict[str, _Fading] = {}
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

    def direction_of(self, name: str) -> Direction:
        """Which way a score moves, the whole stretch long."""
        return self._faded(name).direction() if name in self._moving else 0

    def rest_of(self, name: str) -> float:
        """What a score would be once all decay is over."""
        score = self._moving.get(name)
        return self._still[name] if score is None else clamp(self._faded(name).rest(), score.min, score.max)

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
            found = self._fading[name] = self._fading_of(self._moving[name])
        return found

    def _fading_of(self, score: _Score) -> "_Fading":
        fading = _Fading(fsum(score.fixed))
        for group in score.groups:
            fading.add(_fading_group(group, self.start_us), 1.0, group.min, group.max)
        for part, weight in score.weights.items():
            if part in self._moving:
                fading.add(self._faded(part), weight, self._moving[part].min, self._moving[part].max)
            else:
                fading.constant += weight * self._still[part]
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

    def __init__(self, constant: float) -> None:
        self.constant = constant
        self.decaying: dict[int, float] = {}
        self.held: list[_Held] = []

    def decay(self, worth: float, half_life_us: int) -> None:
        """Add what is worth so much at the start."""
        self.decaying[half_life_us] = self.decaying.get(half_life_us, 0.0) + worth

    def add(self, part: "_Fading", weight: float, low: float | None, high: float | None) -> None:
        """Add a weighted part that has limits of its own."""
        if part.held or not part.keeps_to(low, high):
            self.held.append(_Held(part, weight, low, high))
            return
        self.constant += weight * part.constant
        for half_life_us, worth in part.decaying.items():
            self.decay(weight * worth, half_life_us)

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
        return _common(
            [_direction(self.decaying), *[_turned(each.part.direction(), each.weight) for each in self.held]]
        )

    def keeps_to(self, low: float | None, high: float | None) -> bool:
        """Whether limits can never hold it."""
        if low is None and high is None:
            return True
        worths = self.decaying.values()
        lowest = self.constant + sum([worth for worth in worths if worth < 0])
        highest = self.constant + sum([worth for worth in worths if worth > 0])
        return (low is None or lowest >= low) and (high is None or highest <= high)


def _fading_group(group: _Group, start_us: int) -> _Fading:
    fading = _Fading(fsum(group.constants))
    for worth, from_us, half_life_us in group.decays:
        fading.decay(worth * exp2((from_us - start_us) / half_life_us), half_life_us)
    return fading


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
