"""The future of a silent lead: when its standing next changes by itself, and what it will be then.

Between the moments at which terms begin or end, every score is a sum of exponentials within limits. All moments
at which one could cross a level are found from its form; the published standing itself then decides.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import reduce
from itertools import pairwise
from math import ceil, fsum, log2
from typing import Literal, NamedTuple

from msgspec import Struct

from services.scorer.domain.models.model import Model
from services.scorer.domain.scores.exponentials import ZERO, ExponentialSum, Piecewise, whole
from services.scorer.domain.scores.standing import levels_at, levels_reached, standing_at
from services.scorer.domain.scores.stretch import Stretch
from shared.events.curve import Curve, GroupCurve, ScoreCurve, clamp, moment, worth_at
from shared.events.scores import Forecast

# After this many half-lives, beyond those that bring it to one point, nothing is left that could be seen.
_NEGLIGIBLE_HALVINGS = 50

# Levels nearer to a range than this are looked at, whatever rounding did to its ends.
_NOISE = 1e-6

# Half of the last of the nine decimals in which a value is compared with a tie.
_TIE = 5e-10


class _Range(NamedTuple):
    low: float
    high: float


def forecast_from(model: Model, curve: Curve) -> Forecast:
    """When, from the curve's beginning on, a band, the grade or a threshold position changes by itself."""
    changes_us = next_change(model, curve)
    return forecast_of(model, curve, None if changes_us is None else moment(changes_us))


def forecast_of(model: Model, curve: Curve, changes_at: datetime | None) -> Forecast:
    """The forecast of a curve whose next change is known already."""
    becomes = None if changes_at is None else standing_at(model, curve, changes_at)
    return Forecast(curve=curve, changes_at=changes_at, becomes=becomes)


def next_change(
    model: Model, curve: Curve, *, before_us: int | None = None, values: Mapping[str, float] | None = None
) -> int | None:
    """The first microsecond after the curve's beginning at which the standing differs.

    None if never, or not before `before_us`, which must be after the beginning. `values` are those of the scores at
    the beginning, where they are known.
    """
    before = None if values is None else levels_reached(model, values)
    for start, end in pairwise(_edges_before(curve, before_us)):
        stretch = Stretch(curve, start, end)
        if before is None or start > curve.from_us:
            reached = levels_reached(model, stretch.values_at(start))
            if before is not None and reached != before:
                return start
            before = reached
        changes_us = _change_within(model, curve, stretch, before)
        if changes_us is not None:
            return changes_us
    return None


def _change_within(model: Model, curve: Curve, stretch: Stretch, before: tuple[int, ...]) -> int | None:
    """The first moment of a stretch, but its beginning, at which a score reaches other levels than `before`."""
    until, unclear = stretch.last_us + 1, list[_Watched]()
    for (score, levels), reached in zip(model.levels.items(), before, strict=True):
        way = stretch.direction_of(score)
        if way is None:
            unclear.append(_Watched(stretch, score, levels, reached))
        elif way:
            until = _change_of_one(_Watched(stretch, score, levels, reached), way, until)
    if unclear:
        until = _change_by_candidates(curve, stretch, unclear, until)
    return until if until <= stretch.last_us else None


class _Watched(Struct, frozen=True, gc=False):
    """A score within a stretch, and how many of its levels it `reached` when the stretch began."""

    stretch: Stretch
    score: str
    levels: tuple[float, ...]
    reached: int

    def differs(self, at_us: int) -> bool:
        """Whether it reaches more of its levels, or fewer, at a moment of the stretch."""
        return levels_at(self.levels, self.stretch.value_at(self.score, at_us)) != self.reached


def _change_of_one(watched: _Watched, way: Literal[-1, 1], until: int) -> int:
    """The first moment before `until` at which a score that moves one way differs, or else `until`."""
    stretch, score, levels, reached = watched.stretch, watched.score, watched.levels, watched.reached
    ahead = reached - 1 if way < 0 else reached
    if not 0 <= ahead < len(levels) or levels_at(levels, stretch.rest_of(score)) == reached:
        return until
    # Once past its level, always past it: what is not past it where another one passes comes later.
    if until <= stretch.last_us and not watched.differs(until - 1):
        return until
    near = stretch.passes(score, _reaching(levels[ahead]))
    return until if near is None else _first_other(watched.differs, near=near, same=stretch.start_us, other=until)


def _change_by_candidates(curve: Curve, stretch: Stretch, unclear: Sequence[_Watched], until: int) -> int:
    """Scores that rise and fall: each passing of a level is a candidate, and what is between them decides."""
    start = stretch.start_us
    levels = {watched.score: frozenset(map(_reaching, watched.levels)) for watched in unclear}
    if not _may_cross(curve, levels, start, until):
        return until

    def differs(at_us: int) -> bool:
        return any(watched.differs(at_us) for watched in unclear)

    candidates = [start, *sorted(_candidates(curve, levels, start, until)), until]
    same = start
    for left, right in pairwise(candidates):
        probe = (left + right) // 2
        if differs(probe):
            return _first_other(differs, near=left, same=same, other=probe)
        same = probe
    return until


def _first_other(differs: Callable[[int], bool], *, near: int, same: int, other: int) -> int:
    """The first moment that differs, or else `other`; `same` does not, and it lies most likely beside `near`."""
    reach = 0
    while reach < other - same:
        below, above = near - reach - 1, near + reach
        if same < above < other:
            same, other = (same, above) if differs(above) else (above, other)
        if same < below < other:
            same, other = (same, below) if differs(below) else (below, other)
        if below <= same and other <= above:
            break
        reach = 64 * reach or 1
    while other - same > 1:
        middle = (same + other) // 2
        if differs(middle):
            other = middle
        else:
            same = middle
    return other


def _reaching(level: float) -> float:
    """The value from which on it is published as `level` or more: a tie, less or more than what is noise."""
    hundredths = ceil(round(level * 100, 6))
    tie = (hundredths - 0.5) / 100
    return tie - _TIE if hundredths % 2 == 0 else tie + _TIE


def _edges(curve: Curve) -> list[int]:
    """Where terms begin or end, from the curve's beginning to where all decay is over."""
    edges, slowest_us, weightiest = {curve.from_us}, 0, 0.0
    for score in curve.scores.values():
        for group in score.groups:
            for term in group.terms:
                edges.add(term.from_us)
                if term.ends_us is not None:
                    edges.add(term.ends_us)
                slowest_us = max(slowest_us, term.half_life_us or 0)
                weightiest = max(weightiest, abs(term.worth))
    ahead = sorted([edge for edge in edges if edge >= curve.from_us])
    # At least one microsecond, so that no stretch is empty.
    return [*ahead, ahead[-1] + 1 + ceil(slowest_us * (_NEGLIGIBLE_HALVINGS + log2(1 + weightiest)))]


def _edges_before(curve: Curve, before_us: int | None) -> list[int]:
    edges = _edges(curve)
    return edges if before_us is None else [*(edge for edge in edges if edge < before_us), before_us]


def _candidates(curve: Curve, levels: Mapping[str, frozenset[float]], start_us: int, end_us: int) -> Iterator[int]:
    values: dict[str, Piecewise] = {}
    for name, score in sorted(curve.scores.items(), key=lambda item: bool(item[1].components)):
        values[name] = _score(score, values, start_us, length_us=float(end_us - start_us))
        yield from (start_us + ceil(time) for time in values[name].crossings(*levels.get(name, ())))


def _may_cross(curve: Curve, levels: Mapping[str, frozenset[float]], start_us: int, end_us: int) -> bool:
    """Whether any level lies in the range that its score keeps to; most stretches need no closer look."""
    ranges: dict[str, _Range] = {}
    for name, score in sorted(curve.scores.items(), key=lambda item: bool(item[1].components)):
        ranges[name] = _score_range(score, ranges, start_us, last_us=end_us - 1)
        if any(ranges[name].low - _NOISE <= level <= ranges[name].high + _NOISE for level in levels.get(name, ())):
            return True
    return False


def _score_range(score: ScoreCurve, ranges: Mapping[str, _Range], start_us: int, *, last_us: int) -> _Range:
    parts = [_group_range(group, start_us, last_us) for group in score.groups]
    for part, weight in score.components.items():
        edges = (weight * ranges[part].low, weight * ranges[part].high)
        parts.append(_Range(min(edges), max(edges)))
    return _clamped_sum(parts, score.min, score.max)


def _group_range(group: GroupCurve, start_us: int, last_us: int) -> _Range:
    """Each term goes one way within a stretch, so its ends bound it."""
    edges = [(worth_at(term, start_us), worth_at(term, last_us)) for term in group.terms]
    return _clamped_sum([_Range(min(pair), max(pair)) for pair in edges], group.min, group.max)


def _clamped_sum(parts: Sequence[_Range], low: float | None, high: float | None) -> _Range:
    bottom, top = fsum(part.low for part in parts), fsum(part.high for part in parts)
    return _Range(clamp(bottom, low, high), clamp(top, low, high))


def _score(score: ScoreCurve, values: Mapping[str, Piecewise], start_us: int, *, length_us: float) -> Piecewise:
    groups = [_group(group, start_us, length_us) for group in score.groups]
    total = reduce(Piecewise.plus, groups, whole(ZERO, length_us))
    for part, weight in score.components.items():
        total = total.plus(values[part], weight)
    return total.clamped(score.min, score.max)


def _group(group: GroupCurve, start_us: int, length_us: float) -> Piecewise:
    constant, decaying = 0.0, dict[int, float]()
    for term in group.terms:
        worth = worth_at(term, start_us)
        if term.half_life_us is None:
            constant += worth
        elif worth:
            decaying[term.half_life_us] = decaying.get(term.half_life_us, 0.0) + worth
    return whole(ExponentialSum(constant, decaying), length_us).clamped(group.min, group.max)
