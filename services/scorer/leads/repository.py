"""Leads, identities, events and due moments, statement by statement. Nothing here commits or decides."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from msgspec import Struct
from pydantic_core import to_json
from sqlalchemy.ext.asyncio import AsyncConnection

from services.scorer.domain.identities.identity import IdentityKey, KnownLead
from services.scorer.leads import sealed_names
from shared.db import routine
from shared.db.statements import text
from shared.sealing.data_keys import Item, sealing_of

# What events, folded states, what was last told, and names at a merge are sealed as.
EVENT = b"event"
STATE = b"state"
PUBLISHED = b"published"
SURVIVOR_NAMES = b"survivor names"

# A column of nulls: of arrays of different lengths, `unnest` fills up the shorter ones.
_NOTHING: Final[Sequence[bytes | None]] = ()
_SERVER: Final = "(SELECT CAST(1e6 * extract(epoch FROM pg_postmaster_start_time()) AS bigint))"


class EventKey(NamedTuple):
    """What makes an event the same event."""

    workspace: str
    source: str
    id: str


class StoredEvent(Struct, frozen=True, gc=False):
    """An accepted event as the scorer keeps it; `digest` tells a repetition from a contradiction.

    `trace_id`: 32 hexadecimal digits.
    """

    key: EventKey
    lead_id: UUID
    type: str
    occurred_at: datetime
    received_at: datetime
    body: bytes
    digest: bytes
    trace_id: str | None = None


@dataclass(frozen=True, slots=True)
class LeadRow:
    """A lead as stored: its folded state under one model version, and what was last told about it, both as JSON."""

    id: UUID
    workspace: str
    merged_into: UUID | None
    model_version: int | None
    state: str | bytes | None
    published: str | bytes | None
    sequence: int
    due_at: datetime | None


class _StoredLead(NamedTuple):
    """The columns of a lead and its moment: of what is sealed, and what is not, one is null."""

    id: UUID
    workspace: str
    merged_into: UUID | None
    model_version: int | None
    state: str | None
    published: str | None
    sealed_state: bytes | None
    sealed_published: bytes | None
    sequence: int
    due_at: datetime | None


class Mark(NamedTuple):
    """What tells one writing of a row from any other: the transaction, and the run of the server that counts those.

    A server that begins anew, from a backup or as another one's stand-in, may give a number out again.
    """

    server: int
    transaction: int


class LockedRow(NamedTuple):
    """What is to be known of a lead's row before anything else of it is read."""

    id: UUID
    merged_into: UUID | None
    partings: int
    mark: Mark


async def known_identities(connection: AsyncConnection, names: Iterable[IdentityKey]) -> dict[IdentityKey, KnownLead]:
    """The leads that go by these names."""
    wanted = sorted(set(names))
    ways = await sealed_names.spellings(connection, wanted)
    found = await routine.rows(
        connection,
        """
            SELECT name.number, lead.created_at, lead.id, lead.partings
            FROM unnest(CAST(:numbers AS integer[]), CAST(:workspaces AS text[]), CAST(:kinds AS text[]),
                        CAST(:values AS text[]), CAST(:sealed AS boolean[]))
                 AS name (number, workspace, kind, value, is_sealed)
            JOIN scorer.identity ON identity.workspace = name.workspace AND identity.kind = name.kind
                 AND identity.value = name.value AND (identity.sealed IS NOT NULL) = is_sealed
            JOIN scorer.lead ON lead.id = identity.lead_id
        """,
        numbers=[way.number for way in ways],
        **sealed_names.columns(ways),
    )
    return {wanted[number]: KnownLead(created_at, id_, partings) for number, created_at, id_, partings in found}


async def lock_identities(connection: AsyncConnection, names: Iterable[IdentityKey]) -> None:
    """Keep other transactions from creating or merging leads by these names until this one ends.

    Sorted, so that two transactions can never wait for each other.
    """
    await connection.execute(
        text("""
            SELECT pg_advisory_xact_lock(number)
            FROM (SELECT DISTINCT hashtextextended(name, 0) AS number
                  FROM unnest(CAST(:names AS text[])) AS name ORDER BY number) AS numbers
        """),
        {"names": ["\n".join(name) for name in names]},
    )


async def create_leads(connection: AsyncConnection, leads: Sequence[tuple[UUID, str]], created_at: datetime) -> None:
    """New leads, each (id, workspace), with the keys that seal what is held about them."""
    if not leads:
        return
    ids, workspaces = _columns(leads, 2)
    sealing = sealing_of(connection)
    if sealing.on:
        await sealing.make(connection, dict(leads))
    await connection.execute(
        text("""
            INSERT INTO scorer.lead (id, workspace, created_at)
            SELECT id, workspace, :created_at
            FROM unnest(CAST(:ids AS uuid[]), CAST(:workspaces AS text[])) AS item (id, workspace)
        """),
        {"ids": ids, "workspaces": workspaces, "created_at": created_at},
    )


async def lock_leads(connection: AsyncConnection, ids: Iterable[UUID]) -> list[LockedRow]:
    """The rows of these leads, locked until the transaction ends, in the order of their ids."""
    locked = await routine.rows(
        connection,
        f"""
            SELECT id, merged_into, partings, {_SERVER}, xmin
            FROM scorer.lead WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE
        """,  # noqa: S608 - a constant
        ids=list(ids),
    )
    return [
        LockedRow(id_, merged_into, partings, Mark(server, transaction))
        for id_, merged_into, partings, server, transaction in locked
    ]


async def read_leads(connection: AsyncConnection, ids: Iterable[UUID]) -> dict[UUID, LeadRow]:
    """The leads, not locked; without those that were erased, of which a restored backup has brought back rows."""
    rows = await routine.rows(
        connection,
        """
            SELECT id, workspace, merged_into, model_version, state::text, published::text, sealed_state,
                sealed_published, sequence, due_at
            FROM scorer.lead LEFT JOIN scorer.due ON due.lead_id = lead.id
            WHERE id = ANY(CAST(:ids AS uuid[]))
        """,
        ids=list(ids),
    )
    return await _opened(connection, [_StoredLead(*row) for row in rows])


async def lead_marks(connection: AsyncConnection, ids: Iterable[UUID]) -> dict[UUID, str]:
    """For each lead a mark that is another after every change to it: the transaction that wrote its row."""
    rows = await connection.execute(
        text("SELECT id, xmin::text AS mark FROM scorer.lead WHERE id = ANY(CAST(:ids AS uuid[]))"),
        {"ids": list(ids)},
    )
    return {row.id: row.mark for row in rows}


async def forget_shadows(connection: AsyncConnection, leads: Sequence[UUID]) -> None:
    """Have these leads computed again in the shadow, and compared with what they are now."""
    await connection.execute(
        text(
            "UPDATE scorer.lead SET shadow_id = NULL WHERE id = ANY(CAST(:ids AS uuid[])) AND shadow_id IS NOT NULL"
        ),
        {"ids": list(leads)},
    )


async def merge_leads(
    connection: AsyncConnection, workspace: str, survivor: UUID, absorbed: Sequence[UUID], merged_at: datetime
) -> None:
    """Make `absorbed` part of `survivor`; their events stay where they are and are found through them."""
    sealing = sealing_of(connection)
    names = to_json([(name.kind, name.value) for name in await sealed_names.of_leads(connection, [survivor])])
    (stored,) = await sealing.seal(connection, [Item(survivor, workspace, names)], SURVIVOR_NAMES)
    parameters = {"survivor": survivor, "absorbed": list(absorbed)}
    await connection.execute(
        text("""
            INSERT INTO scorer.merge (workspace, survivor, absorbed, merged_at, survivor_names, sealed_names)
            SELECT :workspace, :survivor, absorbed, :merged_at,
                   convert_from(CAST(:names AS bytea), 'UTF8')::jsonb, CAST(:sealed AS bytea)
            FROM unnest(CAST(:absorbed AS uuid[])) AS absorbed
        """),
        {
            **parameters,
            "workspace": workspace,
            "merged_at": merged_at,
            "names": None if sealing.on else stored,
            "sealed": stored if sealing.on else None,
        },
    )
    for statement in (
        "UPDATE scorer.identity SET lead_id = :survivor WHERE lead_id = ANY(CAST(:absorbed AS uuid[]))",
        """UPDATE scorer.lead SET merged_into = :survivor, state = NULL, sealed_state = NULL
           WHERE id = ANY(CAST(:absorbed AS uuid[])) OR merged_into = ANY(CAST(:absorbed AS uuid[]))""",
        "DELETE FROM scorer.due WHERE lead_id = ANY(CAST(:absorbed AS uuid[]))",
    ):
        await connection.execute(text(statement), parameters)


async def known_events(connection: AsyncConnection, keys: Sequence[EventKey]) -> dict[EventKey, bytes | None]:
    """Those of `keys` that are stored, with the digest of their body; None for one retracted before it came."""
    found = await routine.rows(
        connection,
        """
            SELECT workspace, source, event_id, digest
            FROM unnest(CAST(:workspaces AS text[]), CAST(:sources AS text[]), CAST(:ids AS text[]))
                 AS key (workspace, source, event_id)
            JOIN scorer.event USING (workspace, source, event_id)
        """,
        **_event_keys(keys),
    )
    return {EventKey(workspace, source, id_): digest for workspace, source, id_, digest in found}


async def store_events(connection: AsyncConnection, events: Sequence[StoredEvent]) -> int:
    """Store new events; returns how many were new, which is fewer only if another transaction was faster."""
    sealing = sealing_of(connection)
    items = [Item(event.lead_id, event.key.workspace, event.body) for event in events]
    contents = await sealing.seal(connection, items, EVENT)
    stored = await routine.rows(
        connection,
        """
            WITH stored AS (
            INSERT INTO scorer.event
                (workspace, source, event_id, lead_id, type, occurred_at, received_at, body, sealed, digest,
                 trace_id)
            SELECT workspace, source, event_id, lead_id, type, occurred_at, received_at,
                   convert_from(body, 'UTF8')::jsonb, sealed, digest, trace_id
            FROM unnest(CAST(:workspaces AS text[]), CAST(:sources AS text[]), CAST(:ids AS text[]),
                        CAST(:leads AS uuid[]), CAST(:types AS text[]), CAST(:occurred AS timestamptz[]),
                        CAST(:received AS timestamptz[]), CAST(:bodies AS bytea[]), CAST(:sealed AS bytea[]),
                        CAST(:digests AS bytea[]), CAST(:traces AS uuid[]))
                 AS item (workspace, source, event_id, lead_id, type, occurred_at, received_at, body, sealed, digest,
                          trace_id)
            ON CONFLICT DO NOTHING RETURNING 1
            )
            SELECT count(*) FROM stored
        """,
        **_event_keys([event.key for event in events]),
        leads=[event.lead_id for event in events],
        types=[event.type for event in events],
        occurred=[event.occurred_at for event in events],
        received=[event.received_at for event in events],
        bodies=_NOTHING if sealing.on else contents,
        sealed=contents if sealing.on else _NOTHING,
        digests=[event.digest for event in events],
        traces=[event.trace_id for event in events],
    )
    return int(stored[0][0])


async def opened_bodies(
    connection: AsyncConnection, stored: Sequence[tuple[str | None, bytes | None]]
) -> list[str | bytes | None]:
    """The bodies of events, each stored as (`body`, `sealed`): plain as earlier releases did, or sealed.

    None where there is none: of a retraction that came first, or one that nobody has the key of any more.
    """
    opened = iter(await sealing_of(connection).open(connection, [sealed for _, sealed in stored if sealed], EVENT))
    return [next(opened) if sealed else body for body, sealed in stored]


async def void_events(connection: AsyncConnection, keys: Sequence[EventKey]) -> set[UUID]:
    """Retract events, those that are still to come included; returns the leads whose history changed.

    A retraction is final, so retracting one has no effect.
    """
    rows = await connection.execute(
        text("""
            INSERT INTO scorer.event (workspace, source, event_id, voided)
            SELECT DISTINCT workspace, source, event_id, true
            FROM unnest(CAST(:workspaces AS text[]), CAST(:sources AS text[]), CAST(:ids AS text[]))
                 AS key (workspace, source, event_id)
            ON CONFLICT (workspace, source, event_id) DO UPDATE SET voided = true
                WHERE NOT event.voided AND event.type <> 'event_voided'
            RETURNING lead_id
        """),
        _event_keys(keys),
    )
    owners = [row.lead_id for row in rows if row.lead_id is not None]
    survivors = await connection.execute(
        text("SELECT coalesce(merged_into, id) AS id FROM scorer.lead WHERE id = ANY(CAST(:ids AS uuid[]))"),
        {"ids": owners},
    )
    return {row.id for row in survivors}


async def history(connection: AsyncConnection, leads: Sequence[UUID]) -> dict[UUID, list[str | bytes]]:
    """The bodies of all events that count, of leads and of those they absorbed; by surviving lead."""
    rows = await connection.execute(
        text("""
            SELECT coalesce(lead.merged_into, lead.id) AS owner, body::text, sealed
            FROM scorer.lead JOIN scorer.event ON event.lead_id = lead.id
            WHERE (lead.id = ANY(CAST(:ids AS uuid[])) OR lead.merged_into = ANY(CAST(:ids AS uuid[])))
              AND NOT voided
        """),
        {"ids": list(leads)},
    )
    stored = rows.all()
    bodies = await opened_bodies(connection, [(row.body, row.sealed) for row in stored])
    found: dict[UUID, list[str | bytes]] = {lead: [] for lead in leads}
    for row, body in zip(stored, bodies, strict=True):
        if body is not None:
            found[row.owner].append(body)
    return found


async def names_of(connection: AsyncConnection, leads: Iterable[UUID]) -> dict[UUID, list[tuple[str, str]]]:
    """Every (kind, value) by which leads go, the latest learnt first."""
    found: dict[UUID, list[tuple[str, str]]] = {}
    names = await sealed_names.of_leads(connection, leads)
    for name in sorted(names, key=lambda name: name.learnt_at, reverse=True):
        found.setdefault(name.lead_id, []).append((name.kind, name.value))
    return found


async def save_leads(connection: AsyncConnection, leads: Sequence[LeadRow], moved: Collection[UUID] = ()) -> Mark:
    """Write back state, what was published, and the sequence; and of `moved` among them, when their standing changes
    by itself.

    Returns the mark that this leaves on the rows.
    """
    dated = [(lead.id, lead.due_at) for lead in leads if lead.id in moved and lead.due_at is not None]
    states, sealed_states = await _stored(connection, [(lead, lead.state) for lead in leads], STATE)
    published, sealed_published = await _stored(connection, [(lead, lead.published) for lead in leads], PUBLISHED)
    (mark,) = await routine.rows(
        connection,
        f"""
            WITH written AS (
            UPDATE scorer.lead SET model_version = item.model_version, sequence = item.sequence,
                   state = convert_from(item.state, 'UTF8')::jsonb, sealed_state = item.sealed_state,
                   published = convert_from(item.published, 'UTF8')::jsonb, sealed_published = item.sealed_published
            FROM unnest(CAST(:ids AS uuid[]), CAST(:versions AS integer[]), CAST(:states AS bytea[]),
                        CAST(:published AS bytea[]), CAST(:sealed_states AS bytea[]),
                        CAST(:sealed_published AS bytea[]), CAST(:sequences AS bigint[]))
                 AS item (id, model_version, state, published, sealed_state, sealed_published, sequence)
            WHERE lead.id = item.id
            ), undated AS (
            DELETE FROM scorer.due WHERE lead_id = ANY(CAST(:undated AS uuid[]))
            ), dated AS (
            INSERT INTO scorer.due (lead_id, due_at)
            SELECT lead_id, due_at FROM unnest(CAST(:dated AS uuid[]), CAST(:moments AS timestamptz[]))
                   AS item (lead_id, due_at)
            ON CONFLICT (lead_id) DO UPDATE SET due_at = excluded.due_at WHERE due.due_at <> excluded.due_at
            )
            SELECT {_SERVER}, CAST(pg_current_xact_id() AS xid)
        """,  # noqa: S608 - a constant
        ids=[lead.id for lead in leads],
        versions=[lead.model_version for lead in leads],
        states=states,
        published=published,
        sealed_states=sealed_states,
        sealed_published=sealed_published,
        sequences=[lead.sequence for lead in leads],
        undated=[lead.id for lead in leads if lead.id in moved and lead.due_at is None],
        dated=[id_ for id_, _ in dated],
        moments=[due_at for _, due_at in dated],
    )
    return Mark(*mark)


async def leads_due(connection: AsyncConnection, now: datetime, limit: int) -> list[UUID]:
    """Leads whose moment has come, the longest overdue first, locked; those that somebody else has are left out."""
    rows = await connection.execute(
        text("""
            SELECT lead.id FROM scorer.due JOIN scorer.lead ON lead.id = due.lead_id
            WHERE due_at <= :now ORDER BY due_at LIMIT :limit
            FOR UPDATE OF lead SKIP LOCKED
        """),
        {"now": now, "limit": limit},
    )
    return [row.id for row in rows]


async def leads_behind(connection: AsyncConnection, limit: int) -> list[UUID]:
    """Leads whose scores are of another model version than the one that counts in their workspace."""
    rows = await connection.execute(
        text("""
            WITH active AS (
                SELECT DISTINCT ON (workspace) workspace, version FROM scorer.activation ORDER BY workspace, id DESC
            )
            SELECT lead.id FROM active JOIN scorer.lead USING (workspace)
            WHERE merged_into IS NULL
              AND (model_version < version OR model_version > version OR model_version IS NULL)
            LIMIT :limit FOR UPDATE OF lead SKIP LOCKED
        """),
        {"limit": limit},
    )
    return [row.id for row in rows]


async def _opened(connection: AsyncConnection, rows: Sequence[_StoredLead]) -> dict[UUID, LeadRow]:
    """The leads of these rows, without those that nobody has the key of any more."""
    sealing = sealing_of(connection)
    states = iter(await sealing.open(connection, [row.sealed_state for row in rows if row.sealed_state], STATE))
    told = iter(
        await sealing.open(connection, [row.sealed_published for row in rows if row.sealed_published], PUBLISHED)
    )
    leads: dict[UUID, LeadRow] = {}
    for row in rows:
        state = next(states) if row.sealed_state else row.state
        published = next(told) if row.sealed_published else row.published
        is_erased = (row.sealed_state and state is None) or (row.sealed_published and published is None)
        if not is_erased:
            leads[row.id] = _lead(row, state, published)
    return leads


def _lead(row: _StoredLead, state: str | bytes | None, published: str | bytes | None) -> LeadRow:
    return LeadRow(
        id=row.id,
        workspace=row.workspace,
        merged_into=row.merged_into,
        model_version=row.model_version,
        state=state,
        published=published,
        sequence=row.sequence,
        due_at=row.due_at,
    )


async def _stored(
    connection: AsyncConnection, contents: Sequence[tuple[LeadRow, str | bytes | None]], about: bytes
) -> tuple[Sequence[bytes | None], Sequence[bytes | None]]:
    """How these JSON texts of leads are stored, null for None: plain, and sealed."""
    sealing = sealing_of(connection)
    items = [Item(lead.id, lead.workspace, _bytes(value)) for lead, value in contents if value is not None]
    written = iter(await sealing.seal(connection, items, about))
    stored = [None if value is None else next(written) for _, value in contents]
    return (_NOTHING, stored) if sealing.on else (stored, _NOTHING)


def _bytes(text_: str | bytes) -> bytes:
    return text_.encode() if isinstance(text_, str) else text_


def _event_keys(keys: Sequence[EventKey]) -> dict[str, list[str]]:
    return {
        "workspaces": [key.workspace for key in keys],
        "sources": [key.source for key in keys],
        "ids": [key.id for key in keys],
    }


def _columns(rows: Sequence[Sequence[object]], count: int) -> list[list[object]]:
    return [[row[index] for row in rows] for index in range(count)]
