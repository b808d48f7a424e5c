"""What people may do to scores by hand, checked against the model before it becomes an event for ever.

The events are the contract's: `score_adjusted`, `score_reset`, `event_voided`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from services.scorer.domain.models.model import AttributeScore, CombinedScore, EventScore, Model
from shared.documents.durations import NONE, duration_us, expiry_us, whole_days
from shared.errors import Fault, InvalidDocument
from shared.events.curve import microseconds
from shared.events.engagement import EVENT_VOIDED, SCORE_ADJUSTED, SCORE_RESET
from shared.events.json import Json


@dataclass(frozen=True, slots=True)
class Adjustment:
    """Points given to a score, or taken from it. Durations as documents write them."""

    score: str
    points: float
    half_life: str | None
    expires_after: str | None
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reset:
    """A score whose slate is wiped."""

    score: str
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Retraction:
    """An event that never was."""

    source: str
    event_id: str
    actor: str
    reason: str


Correction = Adjustment | Reset | Retraction


def event_type(correction: Correction) -> str:
    """The type of the event that a correction becomes."""
    match correction:
        case Adjustment():
            return SCORE_ADJUSTED
        case Reset():
            return SCORE_RESET
        case Retraction():
            return EVENT_VOIDED


def properties(correction: Correction) -> dict[str, Json]:
    """The properties of the event that a correction becomes."""
    match correction:
        case Adjustment():
            lasting = {"half_life": correction.half_life, "expires_after": correction.expires_after}
            given = {name: value for name, value in lasting.items() if value is not None}
            return {"score": correction.score, "points": correction.points, **_by(correction), **given}
        case Reset():
            return {"score": correction.score, **_by(correction)}
        case Retraction():
            return {"event_id": correction.event_id, **_by(correction)}


def check(model: Model, correction: Correction, *, occurred_at: datetime, now: datetime) -> None:
    """Raise InvalidDocument with every reason for which a correction would have no effect."""
    faults = list(_faults(model, correction, occurred_at, now))
    if faults:
        raise InvalidDocument(faults)


def _by(correction: Correction) -> Mapping[str, Json]:
    return {"actor": correction.actor, "reason": correction.reason}


def _faults(model: Model, correction: Correction, occurred_at: datetime, now: datetime) -> Iterator[Fault]:
    match correction:
        case Adjustment():
            yield from _score_faults(model, correction.score, "adjusted")
            yield from _half_life_faults(correction.half_life)
            yield from _expiry_faults(correction.expires_after, occurred_at, now)
        case Reset():
            yield from _score_faults(model, correction.score, "reset")
        case Retraction():
            yield from ()


def _score_faults(model: Model, name: str, what: str) -> Iterator[Fault]:
    score = model.scores.get(name)
    if score is None:
        yield Fault("score", f"is no score of the active model; there are {', '.join(model.scores) or 'none'}")
    elif isinstance(score, CombinedScore):
        parts = ", ".join(score.weights)
        yield Fault("score", f"is combined from others and cannot be {what} itself; it is made of {parts}")
    elif isinstance(score, AttributeScore) and what == "reset":
        yield Fault("score", "is built from attributes: only what is built from events can be reset")
    else:
        assert isinstance(score, EventScore | AttributeScore)


def _half_life_faults(text: str | None) -> Iterator[Fault]:
    if text is None or text == NONE:
        return
    try:
        duration_us(text)
    except ValueError as error:
        yield Fault("half_life", f"{error}, or none")


def _expiry_faults(text: str | None, occurred_at: datetime, now: datetime) -> Iterator[Fault]:
    if text is None or text == NONE:
        return
    try:
        days = whole_days(text)
    except ValueError as error:
        yield Fault("expires_after", str(error))
        return
    if expiry_us(microseconds(occurred_at), days) <= microseconds(now):
        yield Fault("expires_after", "is over already: the points would be worth nothing")
