"""Names as they are stored: found by a keyed digest, and sealed with the key of the lead that goes by them.

Those that were stored while sealing was off stand there as they are, and are found by themselves.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.scorer.domain.identities.identity import IdentityKey
from shared.db import routine
from shared.db.statements import text
from shared.sealing.data_keys import Item, name_mark, sealing_of

_NAME: Final = b"name"


class Spelling(NamedTuple):
    """One way in which a name may be stored; `number` is its place among the names asked for."""

    number: int
    workspace: str
    kind: str
    value: str
    is_sealed: bool


@dataclass(frozen=True, slots=True)
class StoredName:
    """A name of a lead."""

    lead_id: UUID
    kind: str
    value: str
    learnt_at: datetime


async def spellings(connection: AsyncConnection, names: Sequence[IdentityKey]) -> list[Spelling]:
    """Every way in which these names may be stored."""
    keys = await sealing_of(connection).names_keys(connection, {name.workspace for name in names})
    plain = [Spelling(number, *name, is_sealed=False) for number, name in enumerate(names)]
    return plain + [
        Spelling(
            number, name.workspace, name.kind, digest(keys[name.workspace], name.kind, name.value), is_sealed=True
        )
        for number, name in enumerate(names)
        if name.workspace in keys
    ]


def digest(names_key: bytes, kind: str, value: str) -> str:
    """What a sealed name is found by."""
    return b64encode(name_mark(names_key, kind, value)).decode()


async def learn(connection: AsyncConnection, names: Sequence[tuple[IdentityKey, UUID]], learnt_at: datetime) -> None:
    """Remember by which names leads go; the caller holds the locks on them."""
    if not names:
        return
    values, sealed = await _stored(connection, names)
    await connection.execute(
        text("""
            INSERT INTO scorer.identity (workspace, kind, value, sealed, lead_id, learnt_at)
            SELECT workspace, kind, value, sealed, lead_id, :learnt_at
            FROM unnest(CAST(:workspaces AS text[]), CAST(:kinds AS text[]), CAST(:values AS text[]),
                        CAST(:sealed AS bytea[]), CAST(:leads AS uuid[]))
                 AS item (workspace, kind, value, sealed, lead_id)
        """),
        {
            "workspaces": [name.workspace for name, _ in names],
            "kinds": [name.kind for name, _ in names],
            "values": values,
            "sealed": sealed,
            "leads": [lead for _, lead in names],
            "learnt_at": learnt_at,
        },
    )


async def of_leads(connection: AsyncConnection, leads: Iterable[UUID]) -> list[StoredName]:
    """Every name by which leads go, by kind and value; without those that nobody has the key of any more."""
    stored = await routine.rows(
        connection,
        """
            SELECT lead_id, kind, value, sealed, learnt_at FROM scorer.identity
            WHERE lead_id = ANY(CAST(:ids AS uuid[]))
        """,
        ids=list(leads),
    )
    contents = [sealed for *_, sealed, _ in stored if sealed]
    opened = iter(await sealing_of(connection).open(connection, contents, _NAME))
    names = [
        StoredName(lead_id, kind, name.decode(), learnt_at)
        for lead_id, kind, value, sealed, learnt_at in stored
        if (name := next(opened) if sealed else value.encode()) is not None
    ]
    return sorted(names, key=lambda name: (name.kind, name.value))


async def marks(connection: AsyncConnection, leads: Sequence[UUID], names_key: bytes) -> list[bytes]:
    """The keyed digests of every name of these leads, of those too that nobody can open any more."""
    rows = await connection.execute(
        text("""
            SELECT kind, value, sealed IS NOT NULL AS is_sealed FROM scorer.identity
            WHERE lead_id = ANY(CAST(:ids AS uuid[]))
        """),
        {"ids": list(leads)},
    )
    return [b64decode(row.value) if row.is_sealed else name_mark(names_key, row.kind, row.value) for row in rows]


async def move(connection: AsyncConnection, names: Iterable[IdentityKey], to: UUID) -> None:
    """These names are another lead's."""
    ways = await spellings(connection, sorted(names))
    await connection.execute(
        text("""
            UPDATE scorer.identity SET lead_id = :to
            FROM unnest(CAST(:workspaces AS text[]), CAST(:kinds AS text[]), CAST(:values AS text[]),
                        CAST(:sealed AS boolean[])) AS name (workspace, kind, value, is_sealed)
            WHERE identity.workspace = name.workspace AND identity.kind = name.kind AND identity.value = name.value
              AND (sealed IS NOT NULL) = is_sealed
        """),
        {"to": to, **columns(ways)},
    )


async def seal_again(connection: AsyncConnection, workspace: str, leads: Sequence[UUID]) -> None:
    """Seal each name of these leads with the key of the lead that has it now, whosever it was before."""
    if not sealing_of(connection).on:
        return
    rows = await of_leads(connection, leads)
    names = [(IdentityKey(workspace, row.kind, row.value), row.lead_id) for row in rows]
    values, sealed = await _stored(connection, names)
    await _replace(connection, names, values, sealed, found_by=values)
    await _replace(connection, names, values, sealed)


async def seal_plain(connection: AsyncConnection, names: Sequence[tuple[IdentityKey, UUID]]) -> None:
    """Seal these names, each of a lead, which stand there as they are; the caller holds their rows."""
    await _replace(connection, names, *await _stored(connection, names))


async def _replace(
    connection: AsyncConnection,
    names: Sequence[tuple[IdentityKey, UUID]],
    values: Sequence[str],
    sealed: Sequence[bytes | None],
    *,
    found_by: Sequence[str] | None = None,
) -> None:
    """Store names in their sealed form: those that are sealed already, `found_by` a digest, or those that are not."""
    await connection.execute(
        text("""
            UPDATE scorer.identity SET value = item.value, sealed = item.sealed
            FROM unnest(CAST(:workspaces AS text[]), CAST(:kinds AS text[]), CAST(:found_by AS text[]),
                        CAST(:values AS text[]), CAST(:sealed AS bytea[]))
                 AS item (workspace, kind, found_by, value, sealed)
            WHERE identity.workspace = item.workspace AND identity.kind = item.kind
              AND identity.value = item.found_by AND (identity.sealed IS NOT NULL) = :is_sealed
        """),
        {
            "workspaces": [name.workspace for name, _ in names],
            "kinds": [name.kind for name, _ in names],
            "found_by": found_by or [name.value for name, _ in names],
            "values": values,
            "sealed": sealed,
            "is_sealed": found_by is not None,
        },
    )


def columns(ways: Sequence[Spelling]) -> dict[str, list[object]]:
    """The ways to look names up by, as parameters."""
    return {
        "workspaces": [way.workspace for way in ways],
        "kinds": [way.kind for way in ways],
        "values": [way.value for way in ways],
        "sealed": [way.is_sealed for way in ways],
    }


async def _stored(
    connection: AsyncConnection, names: Sequence[tuple[IdentityKey, UUID]]
) -> tuple[list[str], list[bytes | None]]:
    """What names are found by, and what they are sealed as; as they are while sealing is off."""
    sealing = sealing_of(connection)
    if not sealing.on:
        return [name.value for name, _ in names], [None] * len(names)
    keys = {
        workspace: await sealing.names_key(connection, workspace)
        for workspace in sorted({name.workspace for name, _ in names})
    }
    items = [Item(lead, name.workspace, name.value.encode()) for name, lead in names]
    values = [digest(keys[name.workspace], name.kind, name.value) for name, _ in names]
    return values, [*await sealing.seal(connection, items, _NAME)]
