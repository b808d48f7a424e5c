"""Events as text, for scoring offline: a JSON array or one JSON object per line, in the form of the HTTP API."""

from collections.abc import Mapping
from datetime import datetime

from services.scorer.domain.events.event import Event
from shared.errors import InvalidInput
from shared.events.json import Json, parse_json


def read_events(body: bytes) -> tuple[Event, ...]:
    """The events of one lead, each once: of events with the same source and id the first stands.

    Raises InvalidInput that names the event, by its number from 0, and the field. The lead is not looked at.
    """
    found: dict[tuple[str, str], Event] = {}
    for number, item in enumerate(_items(body)):
        event = _event(item, f"[{number}]")
        found.setdefault((event.source, event.id), event)
    return tuple(found.values())


def read_moment(text: Json, path: str) -> datetime:
    """An RFC 3339 time. Raises InvalidInput for all else, a time without zone included."""
    try:
        at = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise InvalidInput(f"{path}: must be a time with its zone, 2026-03-02T10:00:00Z", field=path)
    return at


def _items(body: bytes) -> list[Json]:
    if body.lstrip().startswith(b"["):
        items = parse_json(body)
        assert isinstance(items, list)
        return items
    return [_line(line, number) for number, line in enumerate(body.splitlines()) if line.strip()]


def _line(line: bytes, number: int) -> Json:
    try:
        return parse_json(line)
    except InvalidInput as error:
        raise InvalidInput(f"line {number + 1}: {error}", code=error.code) from error


def _event(item: Json, path: str) -> Event:
    fields = _mapping(item, path)
    received = fields.get("received_at")
    return Event(
        id=_text(fields, "id", path),
        source=_text(fields, "source", path),
        type=_text(fields, "type", path),
        occurred_at=read_moment(fields.get("occurred_at"), f"{path}.occurred_at"),
        properties=_mapping(fields.get("properties", {}), f"{path}.properties"),
        attributes=_mapping(fields.get("attributes", {}), f"{path}.attributes"),
        received_at=None if received is None else read_moment(received, f"{path}.received_at"),
    )


def _text(fields: Mapping[str, Json], name: str, path: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidInput(f"{path}.{name}: must be text", field=f"{path}.{name}")
    return value


def _mapping(value: Json, path: str) -> Mapping[str, Json]:
    if not isinstance(value, dict):
        raise InvalidInput(f"{path}: must be an object", field=path)
    return value
