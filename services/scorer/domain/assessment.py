"""What is to be told of a lead: where it stands at a moment, why, and when that will change by itself."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from services.scorer.domain.forecast import forecast_from
from services.scorer.domain.ledger import ledger_from
from services.scorer.domain.model import Model
from services.scorer.domain.standing import positions, standing_at
from services.scorer.domain.state import LeadState
from services.scorer.domain.tally import Tally, attributes_at, curve_from, settled_until, tally_of
from shared.events.curve import microseconds
from shared.events.json import Json
from shared.events.scores import Forecast, LedgerEntry, Standing, ThresholdPosition

# More changes than this between two looks at a lead mean years of downtime; the rest follows at the next look.
_CHANGES_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Assessment:
    """A lead at one moment, in the words of `lead.score_changed`."""

    at: datetime
    standing: Standing
    thresholds: Mapping[str, ThresholdPosition]
    ledger: Mapping[str, tuple[LedgerEntry, ...]]
    forecast: Forecast
    attributes: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Told:
    """What the world was last told of a lead; `positions` are those to the thresholds."""

    at: datetime
    standing: Standing
    positions: Mapping[str, str]


def assess(model: Model, state: LeadState, at: datetime) -> Assessment:
    """The lead of `state` at `at`. Raises HistoryNeeded where the state cannot tell exactly."""
    return _assess(model, state, tally_of(model, state), at)


def _assess(model: Model, state: LeadState, tally: Tally, at: datetime) -> Assessment:
    curve = curve_from(model, tally, microseconds(at))
    standing = standing_at(model, curve, at)
    return Assessment(
        at=at,
        standing=standing,
        thresholds=positions(model, standing),
        ledger=ledger_from(model, tally, microseconds(at)),
        forecast=forecast_from(model, curve),
        attributes=attributes_at(state, at),
    )


def told_by(assessment: Assessment) -> Told:
    """What somebody knows who was told `assessment`."""
    positions_told: dict[str, str] = {name: found.position for name, found in assessment.thresholds.items()}
    return Told(assessment.at, assessment.standing, positions_told)


def is_news(told: Told | None, assessment: Assessment) -> bool:
    """Whether scores, bands, the grade or a threshold position differ from what was told."""
    return told is None or replace(told, at=assessment.at) != told_by(assessment)


def changes_by_itself(model: Model, state: LeadState, told: Told, until: datetime) -> Iterator[Assessment]:
    """Each change after `told` and up to `until` that time alone made, at its own moment.

    Raises HistoryNeeded where the state cannot tell exactly.
    """
    start = max(microseconds(told.at), settled_until(state))
    tally = tally_of(model, state)
    forecast = forecast_from(model, curve_from(model, tally, start))
    for _ in range(_CHANGES_AT_ONCE):
        if forecast.changes_at is None or forecast.changes_at > until:
            return
        assessment = _assess(model, state, tally, forecast.changes_at)
        yield assessment
        forecast = assessment.forecast
