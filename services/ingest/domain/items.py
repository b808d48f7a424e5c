"""An item of the events API: its fields, and the draft it stands for. Unknown fields are refused."""

from collections.abc import Mapping
from datetime import datetime

from services.ingest.domain.draft import Draft
from services.ingest.domain.identity import LeadNames
from services.ingest.domain.times import parse_time
from shared.errors import InvalidInput
from shared.events.json import Json

DEFAULT_SOURCE = "api"
_ITEM_FIELDS = frozenset({"id", "source", "type", "occurred_at", "lead", "properties", "attributes"})
_LEAD_FIELDS = frozenset({"email", "external_ids", "anonymous_id"})


def item_draft(item: Json) -> tuple[Draft, str]:
    """The draft of an item, and its source. Raises InvalidInput naming the field."""
    fields = as_object(item, None)
    _refuse_unknown(fields, _ITEM_FIELDS, "")
    draft = Draft(
        id=_required_text(fields, "id"),
        type=_required_text(fields, "type"),
        lead=lead_names(_required(fields, "lead"), "lead"),
        occurred_at=parse_moment(fields.get("occurred_at"), "occurred_at"),
        properties=as_object(fields.get("properties", {}), "properties"),
        attributes=as_object(fields.get("attributes", {}), "attributes"),
    )
    return draft, text_or_none(fields.get("source"), "source") or DEFAULT_SOURCE


def lead_names(value: Json, path: str) -> LeadNames:
    """The names of a lead: `{email, external_ids, anonymous_id}`."""
    fields = as_object(value, path)
    _refuse_unknown(fields, _LEAD_FIELDS, f"{path}.")
    given = fields.get("external_ids")
    ids = as_object(given if given is not None else {}, f"{path}.external_ids")
    return LeadNames(
        email=text_or_none(fields.get("email"), f"{path}.email"),
        external_ids={system: _text(value, f"{path}.external_ids.{system[:40]}") for system, value in ids.items()},
        anonymous_id=text_or_none(fields.get("anonymous_id"), f"{path}.anonymous_id"),
    )


def as_object(value: Json, path: str | None) -> dict[str, Json]:
    """`value` as a JSON object."""
    if not isinstance(value, dict):
        raise InvalidInput("must be a JSON object", code="invalid_value", field=path)
    return value


def text_or_none(value: Json, path: str) -> str | None:
    """`value` as text; None for null."""
    return None if value is None else _text(value, path)


def parse_moment(value: Json, path: str) -> datetime | None:
    """`value` as a moment; None for null. Raises InvalidInput with the path."""
    text = text_or_none(value, path)
    return None if text is None else parse_time(text, path)


def id_of(item: object) -> str | None:
    """What an item calls itself, to name it in the answer even when it is refused."""
    if isinstance(item, Draft):
        identifier: object = item.id
    else:
        identifier = item.get("id") if isinstance(item, dict) else None
    return identifier if isinstance(identifier, str) and len(identifier) <= 512 else None


def _required(fields: Mapping[str, Json], name: str) -> Json:
    if fields.get(name) is None:
        raise InvalidInput("is missing", code="missing", field=name)
    return fields[name]


def _required_text(fields: Mapping[str, Json], name: str) -> str:
    return _text(_required(fields, name), name)


def _text(value: Json, path: str) -> str:
    if not isinstance(value, str):
        raise InvalidInput("must be a text", code="invalid_value", field=path)
    return value


def _refuse_unknown(fields: Mapping[str, Json], known: frozenset[str], prefix: str) -> None:
    if known.issuperset(fields):
        return
    for name in fields:
        if name not in known:
            raise InvalidInput("is not a known field", code="unknown_field", field=f"{prefix}{name[:64]}")
