"""Thresholds through the past: when a lead entered each, worked out from all of its events at once.

Events count as if each had come when it happened: what a late one would have changed at its time is changed.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, NamedTuple, TypeAlias

from services.scorer.domain.counting.tally import Tally, curve_from
from services.scorer.domain.models.model import GradeThreshold, Model, ScoreThreshold, Threshold
from services.scorer.domain.scores.forecast import next_change
from services.scorer.domain.scores.standing import positions, standing_at
from shared.events.curve import Curve, GroupCurve, ScoreCurve, Term, ceiling, merged, moment

Positions: TypeAlias = Mapping[str, Literal["reached", "between", "below"]]

# A rounded score reaches a level that the unrounded one stays below by as much.
_ROUNDING = 0.006


class Entering(NamedTuple):
    """A lead entered a threshold; within the cooldown of the last entering that is counted, and not emitted."""

    threshold: str
    at_us: int
    suppressed: bool


@dataclass(frozen=True, slots=True)
class Passage:
    """Every entering of a lead, and the thresholds inside of which it is in the end."""

    enterings: tuple[Entering, ...]
    inside: frozenset[str]


def passage(model: Model, tally: Tally, *, from_us: int, until_us: int) -> Passage:
    """What becomes of a lead from its first event, at `from_us`, up to and including `until_us`."""
    curve = curve_from(model, tally, from_us)
    reachable = _reachable(model, curve)
    if not reachable.thresholds:
        return Passage((), frozenset())
    inside: set[str] = set()
    entered_us: dict[str, int] = {}
    enterings: list[Entering] = []
    for at_us, where in positions_over_time(reachable, curve, until_us):
        for name, position in where.items():
            if position == "reached" and name not in inside:
                enterings.append(_entering(model.thresholds[name], at_us, entered_us.get(name)))
                entered_us[name] = at_us
                inside.add(name)
            elif position == "below":
                inside.discard(name)
    return Passage(tuple(enterings), frozenset(inside))


def positions_over_time(model: Model, curve: Curve, until_us: int) -> Iterator[tuple[int, Positions]]:
    """The position to every threshold when the curve begins, and at each moment up to `until_us` that changes one.

    Now and then a moment comes at which none has changed.
    """
    moving = _Moving(curve)
    for start_us, end_us in pairwise([*_edges(curve, until_us), until_us + 1]):
        at_us: int | None = start_us
        while at_us is not None:
            here = moving.at(at_us)
            yield at_us, _positions(model, here)
            at_us = next_change(model, here, before_us=end_us)


def _entering(threshold: Threshold, at_us: int, last_us: int | None) -> Entering:
    cooling = threshold.cooldown_us is not None and last_us is not None and at_us - last_us < threshold.cooldown_us
    return Entering(threshold.name, at_us, cooling)


def _reachable(model: Model, curve: Curve) -> Model:
    """The model without the thresholds that this lead never reaches, and without bands that none depends on."""
    thresholds = {name: found for name, found in model.thresholds.items() if _may_reach(found, curve)}
    if any(isinstance(found, GradeThreshold) for found in thresholds.values()):
        graded = {score: bands for score, bands in model.bands.items() if score in (model.grade or ())}
        return replace(model, bands=graded, thresholds=thresholds)
    return replace(model, bands={}, grade=None, thresholds=thresholds)


def _may_reach(threshold: Threshold, curve: Curve) -> bool:
    if isinstance(threshold, ScoreThreshold):
        return ceiling(curve, threshold.score) > threshold.enter - _ROUNDING
    return True


def _positions(model: Model, curve: Curve) -> Positions:
    found = positions(model, standing_at(model, curve, moment(curve.from_us)))
    return {name: each.position for name, each in found.items()}


def _edges(curve: Curve, until_us: int) -> list[int]:
    """Where terms begin or end, from the curve's beginning up to `until_us`."""
    edges = {edge for term in _terms(curve) for edge in (term.from_us, term.ends_us) if edge is not None}
    return [curve.from_us, *sorted(edge for edge in edges if curve.from_us < edge <= until_us)]


def _terms(curve: Curve) -> Iterable[Term]:
    return (term for score in curve.scores.values() for group in score.groups for term in group.terms)


class _Moving:
    """A curve on its way through time, as short at each moment as what has begun by then allows."""

    def __init__(self, curve: Curve) -> None:
        self._curve = curve
        self._groups = {name: [_MovingGroup(group) for group in score.groups] for name, score in curve.scores.items()}

    def at(self, at_us: int) -> Curve:
        """The curve from `at_us` on without what begins later; moments must ascend."""
        return Curve(at_us, {name: self._score(name, score, at_us) for name, score in self._curve.scores.items()})

    def _score(self, name: str, score: ScoreCurve, at_us: int) -> ScoreCurve:
        groups = tuple(group.at(at_us) for group in self._groups[name])
        return ScoreCurve(score.min, score.max, groups, score.components)


class _MovingGroup:
    """A group of which the terms that began are merged again and again, and the others wait in order."""

    def __init__(self, group: GroupCurve) -> None:
        self._group = group
        self._coming = sorted(group.terms, key=lambda term: term.from_us, reverse=True)
        self._began: tuple[Term, ...] = ()

    def at(self, at_us: int) -> GroupCurve:
        began = list(self._began)
        while self._coming and self._coming[-1].from_us <= at_us:
            began.append(self._coming.pop())
        self._began = merged(began, at_us=at_us)
        return GroupCurve(self._group.min, self._group.max, self._began)
