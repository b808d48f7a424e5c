"""From a row to the items that the events API would be sent for it, with ids that a second run repeats. Pure."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from services.ingest.importing.mapping import EventMapping, ImportMapping, LeadMapping
from services.ingest.importing.values import Row, Value
from shared.documents.conditions import Missing
from shared.errors import InvalidInput
from shared.events.json import Json


@dataclass(frozen=True, slots=True)
class Item:
    """An event that a row stands for: the item, or why there is none."""

    event: str
    element: Json | InvalidInput


def items_of(row: Row, mapping: ImportMapping, now: datetime) -> Iterator[Item]:
    """Each event whose condition holds for `row`; none may."""
    for event in mapping.events:
        if all(condition.holds(row) for condition in event.when):
            yield Item(event.name, _element(row, event, mapping.source, now))


def event_id(source: str, event: EventMapping, row: Row) -> str:
    """What tells the event from every other of its source, and is the same whenever the row comes again.

    Raises InvalidInput when the row lacks what identifies it.
    """
    identity: Json = [_identifying(value, row) for value in event.identity] or dict(row)
    canonical = json.dumps([source, event.name, identity], sort_keys=True, separators=(",", ":"))
    return sha256(canonical.encode()).hexdigest()[:32]


def _element(row: Row, event: EventMapping, source: str, now: datetime) -> Json | InvalidInput:
    try:
        return {
            "id": event_id(source, event, row),
            "source": source,
            "type": _type(event.type, row),
            "occurred_at": event.occurred_at.of(row, now).isoformat(),
            "lead": _lead(event.lead, row),
            "properties": _present(event.properties, row),
            "attributes": _present(event.attributes, row),
        }
    except InvalidInput as error:
        return error


def _type(value: Value, row: Row) -> str:
    text = value.text_of(row)
    if text is None:
        raise InvalidInput(f"column {value.column}: names no type of event", code="invalid_type", field="type")
    return text


def _identifying(value: Value, row: Row) -> str:
    text = value.text_of(row)
    if text is None:
        raise InvalidInput(f"column {value.column}: is missing", code="missing", field="id")
    return text


def _lead(lead: LeadMapping, row: Row) -> Json:
    external = ((system, value.text_of(row)) for system, value in lead.external_ids.items())
    return {
        "email": lead.email.text_of(row) if lead.email else None,
        "external_ids": {system: text for system, text in external if text is not None},
        "anonymous_id": lead.anonymous_id.text_of(row) if lead.anonymous_id else None,
    }


def _present(values: Mapping[str, Value], row: Row) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for name, value in values.items():
        cell = value.of(row)
        if not isinstance(cell, Missing):
            found[name] = cell
    return found
