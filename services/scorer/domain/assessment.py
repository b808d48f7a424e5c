"""What is to be told of a lead: where it stands at a moment, why, and when that will change by itself."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from msgspec import Struct

from services.scorer.domain.counting.tally import Tally, attributes_at, curve_from, settled_until, tally_of
from services.scorer.domain.models.model import Model
from services.scorer.domain.scores.forecast import forecast_of, next_change
from services.scorer.domain.scores.ledger import ledger_from
from services.scorer.domain.scores.standing import positions, standing
from services.scorer.domain.states.state import LeadState
from shared.events.curve import Curve, microseconds, moment, values_at
from shared.events.json import Json
from shared.events.scores import Forecast, LedgerEntry, Standing, ThresholdPosition

# More changes than this between two looks at a lead mean years of downtime; the rest follows at the next look.
_CHANGES_AT_ONCE = 100


class Assessment(Struct, frozen=True):
    """A lead at one moment, in the words of `lead.score_changed`.

    `changes_at` is when the standing next changes by itself. The reasons and what it becomes then are worked out
    when a message asks for them: not every look at a lead is told.
    """

    model: Model
    tally: Tally
    curve: Curve
    values: Mapping[str, float]
    at: datetime
    standing: Standing
    thresholds: Mapping[str, ThresholdPosition]
    changes_at: datetime | None
    attributes: Mapping[str, Json]

    def ledger(self) -> dict[str, tuple[LedgerEntry, ...]]:
        """Per score, the reasons."""
        return ledger_from(self.model, self.tally, self.curve.from_us)

    def forecast(self) -> Forecast:
        """What happens if the lead stays silent."""
        return forecast_of(self.model, self.curve, self.changes_at)


class Told(Struct, frozen=True, gc=False):
    """What the world was last told of a lead; `positions` are those to the thresholds."""

    at: datetime
    standing: Standing
    positions: Mapping[str, str]


def assess(model: Model, state: LeadState, at: datetime) -> Assessment:
    """The lead of `state` at `at`. Raises HistoryNeeded where the state cannot tell exactly."""
    return assess_tally(model, state, tally_of(model, state), at)


def assess_tally(model: Model, state: LeadState, tally: Tally, at: datetime) -> Assessment:
    """The lead of `state`, whose tally has been taken already, at `at`."""
    curve = curve_from(model, tally, microseconds(at))
    values = values_at(curve.scores, curve.from_us)
    current = standing(model, values)
    changes_us = next_change(model, curve, values=values)
    return Assessment(
        model=model,
        tally=tally,
        curve=curve,
        values=values,
        at=at,
        standing=current,
        thresholds=positions(model, current),
        changes_at=None if changes_us is None else moment(changes_us),
        attributes=attributes_at(state, at),
    )


def told_by(assessment: Assessment) -> Told:
    """What somebody knows who was told `assessment`."""
    positions = {name: found.position for name, found in assessment.thresholds.items()}
    return Told(assessment.at, assessment.standing, positions)


def changes_by_itself(
    model: Model, state: LeadState, tally: Tally, *, told: Told, until: datetime
) -> Iterator[Assessment]:
    """Each change after `told` and up to `until` that time alone made, at its own moment."""
    start = max(microseconds(told.at), settled_until(state))
    changes_us = next_change(model, curve_from(model, tally, start))
    changes_at = None if changes_us is None else moment(changes_us)
    for _ in range(_CHANGES_AT_ONCE):
        if changes_at is None or changes_at > until:
            return
        assessment = assess_tally(model, state, tally, changes_at)
        yield assessment
        changes_at = assessment.changes_at
