"""What the pipeline holds of a lead as it is stored: sealed, and found by keyed digests of addresses and attributes.

Leads that were stored while sealing was off stand there as they are, and are found by what they are.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from msgspec.json import Encoder
from pydantic_core import from_json, to_json
from sqlalchemy.ext.asyncio import AsyncConnection

from services.pipeline.domain.lead import Lead
from shared.events.json import Json
from shared.sealing.data_keys import Item, mark, name_mark, sealing_of

_ENCODE: Final = Encoder().encode
_SEALED_AS: Final = b"lead"
# In columns of their own, because PostgreSQL looks at them.
_APART: Final = {"workspace", "id", "absorbed_by"}
_NAMES: Final = {"emails", "external_ids", "attributes"}
_SEALED: Final = tuple(name for name in Lead.__struct_fields__ if name not in _APART)
_STATE: Final = tuple(name for name in _SEALED if name not in _NAMES)
# An attribute is found by half of a digest, as there are many of them.
_ATTRIBUTE_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Columns:
    """A lead as its columns take it."""

    sealed: bytes | None
    emails: Sequence[str]
    external_ids: str
    attributes: str
    state: str | None


async def stored(connection: AsyncConnection, leads: Sequence[Lead]) -> list[Columns]:
    """How these leads are stored."""
    sealing = sealing_of(connection)
    if not sealing.on:
        return [_plain(lead) for lead in leads]
    keys = {
        workspace: await sealing.names_key(connection, workspace)
        for workspace in sorted({lead.workspace for lead in leads})
    }
    items = [Item(UUID(lead.id), lead.workspace, _written(lead, _SEALED)) for lead in leads]
    contents = await sealing.seal(connection, items, _SEALED_AS)
    return [
        Columns(
            sealed=content,
            emails=[_email_digest(keys[lead.workspace], email) for email in lead.emails],
            external_ids="{}",
            attributes=_attribute_digests(keys[lead.workspace], lead.attributes),
            state=None,
        )
        for lead, content in zip(leads, contents, strict=True)
    ]


async def opened(connection: AsyncConnection, contents: Sequence[bytes]) -> list[dict[str, Json] | None]:
    """What is sealed of leads, by the names of their fields; None where nobody has the key any more."""
    found = await sealing_of(connection).open(connection, contents, _SEALED_AS)
    return [None if content is None else from_json(content) for content in found]


async def addresses(connection: AsyncConnection, workspace: str, email: str) -> list[str]:
    """Every form in which this address may stand in the column."""
    keys = await sealing_of(connection).names_keys(connection, [workspace])
    return [email, *(_email_digest(key, email) for key in keys.values())]


async def attributes(connection: AsyncConnection, workspace: str, wanted: Mapping[str, Json]) -> list[str]:
    """Every form in which the column may contain these attributes, as JSON."""
    keys = await sealing_of(connection).names_keys(connection, [workspace])
    return [to_json(dict(wanted)).decode(), *(_attribute_digests(key, wanted) for key in keys.values())]


def _plain(lead: Lead) -> Columns:
    return Columns(
        sealed=None,
        emails=lead.emails,
        external_ids=to_json(lead.external_ids).decode(),
        attributes=to_json(lead.attributes).decode(),
        state=_written(lead, _STATE).decode(),
    )


def _written(lead: Lead, fields: Sequence[str]) -> bytes:
    return _ENCODE({name: getattr(lead, name) for name in fields})


def _email_digest(key: bytes, email: str) -> str:
    return b64encode(name_mark(key, "email", email)).decode()


def _attribute_digests(key: bytes, found: Mapping[str, Json]) -> str:
    return to_json(sorted(_attribute_digest(key, name, value) for name, value in found.items())).decode()


def _attribute_digest(key: bytes, name: str, value: Json) -> str:
    written = to_json(int(value) if isinstance(value, float) and value.is_integer() else value).decode()
    return b64encode(mark(key, "attribute", name, written)[:_ATTRIBUTE_BYTES]).decode()
