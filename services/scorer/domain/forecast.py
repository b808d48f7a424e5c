"""The future of a silent lead: when its standing next changes by itself, and what it will be then.

Between the moments at which terms begin or end, every score is a sum of exponentials within limits. All moments
at which one could cross a level are found from its form; the published standing itself then decides.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from itertools import pairwise
from math import ceil, fsum, log2
from typing import NamedTuple

from services.scorer.domain.exponentials import ZERO, ExponentialSum, Piecewise, whole
from services.scorer.domain.model import Model
from services.scorer.domain.standing import levels_reached, standing_at
from shared.events.curve import Curve, GroupCurve, ScoreCurve, Term, clamp, moment, values_at
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
    if changes_us is None:
        return Forecast(curve=curve, changes_at=None, becomes=None)
    at = moment(changes_us)
    return Forecast(curve=curve, changes_at=at, becomes=standing_at(model, curve, at))


def next_change(model: Model, curve: Curve, *, before_us: int | None = None) -> int | None:
    """The first microsecond after the curve's beginning at which the standing differs.

    None if never, or not before `before_us`, which must be after the beginning.
    """
    here = _Here(model, curve)
    levels = {score: frozenset(map(_reaching, found)) for score, found in model.levels.items()}
    for start, end in pairwise(_edges_before(curve, before_us)):
        if start > curve.from_us and here.differs(start):
            return start
        if not _may_cross(curve, levels, start, end):
            continue
        candidates = [start, *sorted(_candidates(curve, levels, start, end)), end]
        same = start
        for left, right in pairwise(candidates):
            probe = (left + right) // 2
            if here.differs(probe):
                return _first_other(here, near=left, same=same, other=probe)
            same = probe
    return None


class _Here:
    """Where the lead stands when the curve begins."""

    def __init__(self, model: Model, curve: Curve) -> None:
        self._model = model
        self._scores = curve.scores
        self._before = levels_reached(model, values_at(curve.scores, curve.from_us))

    def differs(self, at_us: int) -> bool:
        """Whether the lead stands elsewhere at `at_us`, if it is silent until then."""
        return levels_reached(self._model, values_at(self._scores, at_us)) != self._before


def _first_other(here: _Here, *, near: int, same: int, other: int) -> int:
    """The first moment that differs; `same` does not, `other` does, and it lies most likely beside `near`."""
    reach = 1
    while reach < other - same:
        below, above = near - reach, near + reach
        if same < below < other and not here.differs(below):
            same = below
        if same < above < other and here.differs(above):
            other = above
        if below <= same and other <= above:
            break
        reach *= 64
    while other - same > 1:
        middle = (same + other) // 2
        if here.differs(middle):
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
    terms = [term for score in curve.scores.values() for group in score.groups for term in group.terms]
    moments = {edge for term in terms for edge in (term.from_us, term.ends_us) if edge is not None}
    edges = [curve.from_us, *sorted(edge for edge in moments if edge > curve.from_us)]
    return [*edges, max((_silent_from(term) for term in terms), default=0) + edges[-1]]


def _edges_before(curve: Curve, before_us: int | None) -> list[int]:
    edges = _edges(curve)
    return edges if before_us is None else [*(edge for edge in edges if edge < before_us), before_us]


def _silent_from(term: Term) -> int:
    """Microseconds after which a term's decay is over; at least one, so that no stretch is empty."""
    if term.half_life_us is None:
        return 1
    halvings = _NEGLIGIBLE_HALVINGS + log2(1 + abs(term.worth))
    return ceil(term.half_life_us * halvings)


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
    edges = [(term.value_at(start_us), term.value_at(last_us)) for term in group.terms]
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
        worth = term.value_at(start_us)
        if term.half_life_us is None:
            constant += worth
        elif worth:
            decaying[term.half_life_us] = decaying.get(term.half_life_us, 0.0) + worth
    return whole(ExponentialSum(constant, decaying), length_us).clamped(group.min, group.max)
