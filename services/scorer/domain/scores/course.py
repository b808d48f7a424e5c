"""The course of a lead's scores: their values at many moments, past and future, at the cost of one pass."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from operator import attrgetter

from services.scorer.domain.models.model import Model
from services.scorer.domain.scores.standing import standing_at
from shared.events.curve import Curve, GroupCurve, ScoreCurve, Term, merged, microseconds
from shared.events.scores import Standing


def moments(start: datetime, end: datetime, count: int) -> tuple[datetime, ...]:
    """`count` (two or more) moments, evenly spread from `start` to `end`, both of them included."""
    step = (end - start) / (count - 1)
    return (*(start + number * step for number in range(count - 1)), end)


def course(model: Model, curve: Curve, at: Sequence[datetime]) -> Iterator[tuple[datetime, Standing]]:
    """Where the lead stands at each of the moments, which ascend from the curve's beginning on."""
    walkers = {name: [_Group(group) for group in score.groups] for name, score in curve.scores.items()}
    for one in at:
        at_us = microseconds(one)
        scores = {
            name: _moved(curve.scores[name], [group.until(at_us) for group in groups])
            for name, groups in walkers.items()
        }
        yield one, standing_at(model, Curve(at_us, scores), one)


def _moved(score: ScoreCurve, groups: list[GroupCurve]) -> ScoreCurve:
    return ScoreCurve(score.min, score.max, tuple(groups), score.components)


class _Group:
    """A group on its way through time: what began is merged into few terms, what is to come waits in order."""

    def __init__(self, group: GroupCurve) -> None:
        self._group = group
        self._coming = sorted(group.terms, key=attrgetter("from_us"), reverse=True)
        self._began: tuple[Term, ...] = ()

    def until(self, at_us: int) -> GroupCurve:
        began = list(self._began)
        while self._coming and self._coming[-1].from_us <= at_us:
            began.append(self._coming.pop())
        self._began = merged(began, at_us=at_us)
        return GroupCurve(self._group.min, self._group.max, self._began)
