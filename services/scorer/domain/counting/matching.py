"""From one event to its state: which rules it matches, which facts it brings, what it retracts or resets."""

from collections.abc import Callable

from services.scorer.domain.events.event import Event
from services.scorer.domain.models.model import AttributeScore, EventScore, Model
from services.scorer.domain.states.state import (
    Adjustment,
    EventKey,
    Fact,
    LeadState,
    LimitKey,
    Occurrence,
    Reset,
)
from shared.documents.durations import NONE, duration_us, whole_days
from shared.documents.reading import as_number
from shared.events.engagement import EVENT_VOIDED, SCORE_ADJUSTED, SCORE_RESET
from shared.events.json import Json


def state_of(model: Model, event: Event) -> LeadState:
    """The state of a lead to whom nothing but `event` ever happened."""
    origin = Occurrence(event.at_us, event.id, event.source, event.type)
    return LeadState(
        occurrences=dict.fromkeys(matched(model, event), (origin,)),
        adjustments=_adjustments(model, event, origin),
        facts={name: (Fact(*origin, value),) for name, value in event.attributes.items()},
        resets=_resets(model, event, origin),
        voided=_voided(event),
        settled=(),
    )


def matched(model: Model, event: Event) -> list[LimitKey]:
    """The rules that `event` matches, each with what its limit counts apart; only those of its type are asked."""
    matcher = model.matchers.get(event.type)
    return matcher(event.source, event.properties) if matcher else []


def _adjustments(model: Model, event: Event, origin: tuple[int, str, str, str]) -> tuple[Adjustment, ...]:
    """The adjustment that `event` is; none where it says nothing that this model could carry out."""
    if event.type != SCORE_ADJUSTED:
        return ()
    given, points = event.properties, as_number(event.properties.get("points"))
    score = given.get("score")
    if points is None or not isinstance(score, str):
        return ()
    if not isinstance(model.scores.get(score), EventScore | AttributeScore):
        return ()
    try:
        half_life_us = _optional(given.get("half_life"), duration_us)
        expires_after_days = _optional(given.get("expires_after"), whole_days)
    except ValueError:
        return ()
    return (
        Adjustment(
            *origin,
            score=score,
            points=points,
            half_life_us=half_life_us,
            expires_after_days=expires_after_days,
            actor=_text(given.get("actor")),
            reason=_text(given.get("reason")),
        ),
    )


def _optional(value: Json, parse: Callable[[Json], int]) -> int | None:
    return None if value is None or value == NONE else parse(value)


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _resets(model: Model, event: Event, origin: tuple[int, str, str, str]) -> tuple[Reset, ...]:
    if event.type != SCORE_RESET or not isinstance(score := event.properties.get("score"), str):
        return ()
    return (Reset(*origin, score),) if isinstance(model.scores.get(score), EventScore) else ()


def _voided(event: Event) -> frozenset[EventKey]:
    if event.type != EVENT_VOIDED or not isinstance(target := event.properties.get("event_id"), str):
        return frozenset()
    return frozenset({EventKey(event.source, target)})
