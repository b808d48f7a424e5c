"""Events by which people and systems correct scores: what each must say to mean anything.

Source: the scoring page, manual adjustment, reset and retraction.
"""

from collections.abc import Callable, Mapping

from shared.documents.durations import NONE, duration_us, whole_days
from shared.errors import InvalidInput
from shared.events.engagement import EVENT_VOIDED, SCORE_ADJUSTED, SCORE_RESET
from shared.events.json import Json

_MOST_POINTS = 1_000_000_000


def _text(value: Json) -> str | None:
    return None if isinstance(value, str) and value.strip() else "must be a text"


def _points(value: Json) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "must be a number"
    return None if -_MOST_POINTS <= value <= _MOST_POINTS else f"must lie within ±{_MOST_POINTS}"


def _half_life(value: Json) -> str | None:
    return None if value == NONE else _reason(duration_us, value)


def _expires_after(value: Json) -> str | None:
    return _reason(whole_days, value)


def _reason(parse: Callable[[Json], int], value: Json) -> str | None:
    """Why the scorer, which parses the same way, could not carry it out."""
    try:
        parse(value)
    except ValueError as error:
        return str(error)
    return None


Check = Callable[[Json], str | None]
_REQUIRED: Mapping[str, Mapping[str, Check]] = {
    SCORE_ADJUSTED: {"score": _text, "points": _points, "reason": _text, "actor": _text},
    SCORE_RESET: {"score": _text},
    EVENT_VOIDED: {"event_id": _text},
}
CORRECTING = frozenset(_REQUIRED)
_OPTIONAL: Mapping[str, Mapping[str, Check]] = {
    SCORE_ADJUSTED: {"half_life": _half_life, "expires_after": _expires_after},
}


def check_adjustment(event_type: str, properties: Mapping[str, Json]) -> None:
    """Raise InvalidInput naming the property by which an event of a CORRECTING type could not be carried out."""
    for name, check in _REQUIRED[event_type].items():
        if name not in properties:
            raise _fault(event_type, name, "is missing")
        _apply(check, event_type, name, properties[name])
    for name, check in _OPTIONAL.get(event_type, {}).items():
        if properties.get(name) is not None:
            _apply(check, event_type, name, properties[name])


def _apply(check: Check, event_type: str, name: str, value: Json) -> None:
    reason = check(value)
    if reason is not None:
        raise _fault(event_type, name, reason)


def _fault(event_type: str, name: str, reason: str) -> InvalidInput:
    return InvalidInput(f"{reason} (for {event_type})", code="invalid_adjustment", field=f"properties.{name}")
