"""How translators read payloads of which nothing is certain: what is missing or of another kind is None."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo
from hashlib import sha256
from zoneinfo import ZoneInfo

from services.ingest.domain.identity import LeadNames, looks_like_email
from services.ingest.kinds.kind import Source
from shared.errors import InvalidInput
from shared.events.json import Json


def member(value: Json | Mapping[str, Json], *path: str) -> Json:
    """What lies at `path`, None when something on the way is no object."""
    current: object = value
    for step in path:
        if not isinstance(current, Mapping):
            return None
        current = current.get(step)
    return current  # type: ignore[return-value]  # a member of a JSON object is JSON


def text(value: Json | Mapping[str, Json], *path: str) -> str | None:
    """A non-empty text at `path`; whole numbers count as text, because ids come as both."""
    found = member(value, *path)
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    return found.strip() or None if isinstance(found, str) else None


def members(value: Json) -> dict[str, Json]:
    """`value` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: Json) -> Sequence[Json]:
    """`value` if it is a list, else an empty one."""
    return value if isinstance(value, list) else ()


def given(**properties: Json) -> dict[str, Json]:
    """The properties that have a value."""
    return {name: value for name, value in properties.items() if value is not None and value != ""}


def objects_of(body: Json) -> Sequence[Json]:
    """The elements of a body that is an array, or one object. Raises InvalidInput."""
    if isinstance(body, list):
        return body
    if isinstance(body, dict):
        return [body]
    raise InvalidInput("the body must be a JSON object or array", code="not_json")


def one_object(body: Json) -> Sequence[Json]:
    """The element of a body that is one object. Raises InvalidInput."""
    if not isinstance(body, dict):
        raise InvalidInput("the body must be a JSON object", code="not_json")
    return [body]


def lead_of(emails: Iterable[str | None], external_ids: Mapping[str, str | None]) -> LeadNames:
    """The lead of the first of `emails` that is an address, and of the ids that are given.

    With no address among them the first stays, to be refused by name, but only where no id names the lead.
    """
    told = [email for email in emails if email]
    ids = {system: value for system, value in external_ids.items() if value}
    email = next(filter(looks_like_email, told), None)
    return LeadNames(email=email or (told[0] if told and not ids else None), external_ids=ids)


def derived_id(*parts: str | None) -> str:
    """An id for what the platform gives none: the same parts give the same id at every delivery."""
    return sha256(json.dumps(parts).encode()).hexdigest()[:40]


def zone_of(source: Source) -> tzinfo:
    """The zone of times that name none."""
    return ZoneInfo(source.time_zone)
