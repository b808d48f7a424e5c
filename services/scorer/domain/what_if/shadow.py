"""Two versions of a model on one lead: where each sees it stand, at one and the same moment."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple, TypeAlias

from services.scorer.domain.counting.tally import curve_of, settled_until
from services.scorer.domain.models.model import Model
from services.scorer.domain.scores.forecast import next_change
from services.scorer.domain.scores.ledger import ledger_of
from services.scorer.domain.scores.standing import positions, standing_at
from services.scorer.domain.states.state import LeadState
from shared.events.curve import Curve, microseconds, moment
from shared.events.scores import Standing

# What a lead is to a threshold that its model does not have; the pipeline sees it so, too.
_NOWHERE: Final = "below"

_REASONS: Final = 5


class Seen(NamedTuple):
    """A lead's state and the model that it is of."""

    model: Model
    state: LeadState


Pair: TypeAlias = tuple[str | None, str | None]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Where two models see a lead at `at`; of each pair the active one's comes first.

    `scores` are those that both have. `bands`, `grades` and `thresholds` are only those that differ: bands of
    scores that both band, positions to thresholds that either has. `widest` is the largest difference of a score.
    """

    at: datetime
    scores: Mapping[str, tuple[float, float]]
    bands: Mapping[str, Pair]
    grades: Pair | None
    thresholds: Mapping[str, tuple[str, str]]
    widest: float
    changes_at: datetime | None


class Reason(NamedTuple):
    """An entry of the ledger whose worth differs: the active model's worth, and the shadow's."""

    score: str
    kind: str
    name: str | None
    active: float
    shadow: float


def compare(active: Seen, shadow: Seen, now: datetime, *, due_at: datetime | None) -> Comparison:
    """Both at `now`, or the first moment for which both states answer.

    `due_at` is when the standing under the active model next changes by itself, as it was forecast, None for never;
    the comparison's `changes_at` is when that under either does. Raises HistoryNeeded where a state cannot tell
    exactly.
    """
    at = moment_of(active, shadow, now)
    ours, theirs = _view(active, at), _view(shadow, at)
    is_past = due_at is not None and due_at <= at
    ours_due = ours.changes_at() if is_past else due_at
    scores = {
        name: (value, theirs.standing.scores[name])
        for name, value in ours.standing.scores.items()
        if name in theirs.standing.scores
    }
    return Comparison(
        at=at,
        scores=scores,
        bands=_differing_bands(ours.standing, theirs.standing),
        grades=_differing_grades(ours.standing, theirs.standing),
        thresholds=_differing_positions(ours.positions, theirs.positions),
        widest=max((abs(one - other) for one, other in scores.values()), default=0.0),
        changes_at=_first(ours_due, theirs.changes_at()),
    )


def reasons(active: Seen, shadow: Seen, at: datetime) -> tuple[Reason, ...]:
    """The entries of the ledger that differ most at `at`, the widest first. Raises HistoryNeeded."""
    ours, theirs = _worths(active, at), _worths(shadow, at)
    found = [
        Reason(*entry, ours.get(entry, 0.0), theirs.get(entry, 0.0)) for entry in dict.fromkeys([*ours, *theirs])
    ]
    differing = [reason for reason in found if round(reason.active - reason.shadow, 9)]
    return tuple(sorted(differing, key=lambda reason: -abs(reason.active - reason.shadow))[:_REASONS])


class _View(NamedTuple):
    model: Model
    curve: Curve
    standing: Standing
    positions: Mapping[str, str]

    def changes_at(self) -> datetime | None:
        """When the standing next changes by itself."""
        changes_us = next_change(self.model, self.curve)
        return None if changes_us is None else moment(changes_us)


def moment_of(active: Seen, shadow: Seen, now: datetime) -> datetime:
    """`now`, or the first moment after it for which both states answer."""
    at_us = max(microseconds(now), settled_until(active.state), settled_until(shadow.state))
    return moment(at_us)


def _view(seen: Seen, at: datetime) -> _View:
    curve = curve_of(seen.model, seen.state, at)
    standing = standing_at(seen.model, curve, at)
    found: dict[str, str] = {name: each.position for name, each in positions(seen.model, standing).items()}
    return _View(seen.model, curve, standing, found)


def _differing_bands(ours: Standing, theirs: Standing) -> dict[str, Pair]:
    pairs = {name: (band, theirs.bands[name]) for name, band in ours.bands.items() if name in theirs.bands}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _differing_grades(ours: Standing, theirs: Standing) -> Pair | None:
    return None if ours.grade == theirs.grade else (ours.grade, theirs.grade)


def _differing_positions(ours: Mapping[str, str], theirs: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    pairs = {name: (ours.get(name, _NOWHERE), theirs.get(name, _NOWHERE)) for name in sorted({*ours, *theirs})}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _first(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((at for at in (one, other) if at is not None), default=None)


def _worths(seen: Seen, at: datetime) -> dict[tuple[str, str, str | None], float]:
    worths: dict[tuple[str, str, str | None], float] = {}
    for score, entries in ledger_of(seen.model, seen.state, at).items():
        for entry in entries:
            key = (score, entry.kind, entry.name)
            worths[key] = worths.get(key, 0.0) + entry.worth
    return worths
