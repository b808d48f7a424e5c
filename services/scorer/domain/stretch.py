"""A curve within one stretch: between two moments at which terms begin or end, where it can only decay.

There every group is a constant and some decays within its limits. Mostly all scores move one way the whole stretch
long, which is cheap to see and makes the rest cheap: what is the same at both ends never changed in between, and
a level is passed once.
"""

from collections.abc import Mapping, Sequence
from math import ceil, exp2, fsum, log2
from typing import Literal, NamedTuple, TypeAlias

from services.scorer.domain.exponentials import passing
from shared.events.curve import Curve, GroupCurve, ScoreCurve, clamp

# Which way a value moves as time goes on; 0 is not at all, None that it cannot be seen at a glance.
Direction: TypeAlias = Literal[-1, 0, 1] | None

_OPPOSITE: Mapping[Literal[-1, 0, 1], Direction] = {-1: 1, 0: 0, 1: -1}

# In place of zero, which has no logarithm.
_NOTHING = 1e-300


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
    """The scores of `curve` from `start_us` up to `end_us`, within which no term begins or ends."""

    def __init__(self, curve: Curve, start_us: int, end_us: int) -> None:
        self.start_us = start_us
        self.last_us = end_us - 1
        self._still: dict[str, float] = {}
        self._moving: dict[str, _Score] = {}
        # JSON may have put combined scores before what they combine.
        for name, curve_of_score in sorted(curve.scores.items(), key=lambda item: bool(item[1].components)):
            score = _score(curve_of_score, start_us)
            if score.groups or not self._still.keys() >= score.weights.keys():
                self._moving[name] = score
            else:
                self._still[name] = _value(score, self._still, start_us)

    def values_at(self, at_us: float) -> dict[str, float]:
        """Every score at a moment of the stretch, clamped but unrounded."""
        values = dict(self._still)
        for name, score in self._moving.items():
            values[name] = _value(score, values, at_us)
        return values

    def directions(self) -> dict[str, Direction]:
        """Which way each score moves, the whole stretch long."""
        found: dict[str, Direction] = dict.fromkeys(self._still, 0)
        for name, score in self._moving.items():
            parts = [_turned(found[part], weight) for part, weight in score.weights.items()]
            found[name] = _common([*_group_directions(score.groups, self.start_us), *parts])
        return found

    def passes(self, score: str, level: float) -> int | None:
        """About when a score that moves one way passes `level`, as it does within the stretch; None: nobody knows.

        Its distance from where it ends up is nearly a straight line in logarithms, so a few looks are enough.
        """
        rest = self._rests()[score]
        excess, slowest_us = self._excess(score)
        to_go = abs(level - rest)
        if not 0 < to_go < excess:
            return None

        def distance(time_us: float) -> float:
            return log2(max(abs(self.values_at(self.start_us + time_us)[score] - rest), _NOTHING))

        goal = log2(to_go)
        latest = min(slowest_us * (log2(excess) - goal) + 1, float(self.last_us - self.start_us))
        start, end = (0.0, distance(0.0)), (latest, distance(latest))
        if not start[1] > goal >= end[1]:
            return None
        return self.start_us + ceil(passing(distance, goal, start, end))

    def _rests(self) -> dict[str, float]:
        """What each score would be once all decay is over."""
        values = dict(self._still)
        for name, score in self._moving.items():
            ended = [group._replace(decays=[]) for group in score.groups]
            values[name] = _value(score._replace(groups=ended), values, self.start_us)
        return values

    def _excess(self, name: str) -> tuple[float, int]:
        """No value is further from where it ends up than the first, halved with every one of the second.

        Limits only bring values nearer to each other.
        """
        if name in self._still:
            return 0.0, 1
        score = self._moving[name]
        found = [
            (abs(_worth(decay, self.start_us)), decay.half_life_us)
            for group in score.groups
            for decay in group.decays
        ]
        for part, weight in score.weights.items():
            excess, slowest_us = self._excess(part)
            found.append((abs(weight) * excess, slowest_us))
        return fsum(excess for excess, _ in found), max(slowest_us for _, slowest_us in found)


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


def _value(score: _Score, values: Mapping[str, float], at_us: float) -> float:
    parts = score.fixed + [_group_value(group, at_us) for group in score.groups]
    if score.weights:
        parts += [weight * values[part] for part, weight in score.weights.items()]
    return clamp(fsum(parts), score.min, score.max)


def _group_value(group: _Group, at_us: float) -> float:
    # Asked a dozen times per forecast, so it is written out.
    worths = [worth * exp2((from_us - at_us) / half_life_us) for worth, from_us, half_life_us in group.decays]
    total = fsum(group.constants + worths) if group.constants else fsum(worths)
    return clamp(total, group.min, group.max)


def _worth(decay: _Decay, at_us: int) -> float:
    return decay.worth * exp2(-(at_us - decay.from_us) / decay.half_life_us)


def _group_directions(groups: Sequence[_Group], start_us: int) -> list[Direction]:
    """Groups that their limits leave alone may make up for each other; any other may stop at any time."""
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
