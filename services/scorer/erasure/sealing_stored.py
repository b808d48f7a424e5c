"""Sealing what is there already, stored before there were data keys, and data keys under the first master key.

In small transactions beside live traffic; cut short, the next run goes on with what is left.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.scorer.domain.identities.identity import IdentityKey
from services.scorer.leads import repository as lead_repository
from services.scorer.leads import sealed_names
from services.scorer.leads.repository import EVENT, STATE, SURVIVOR_NAMES
from shared.db.engine import Database
from shared.db.reach import ALL_WORKSPACES
from shared.sealing.data_keys import Item, sealing_of

_AT_ONCE: Final = 500

Place = TypeVar("Place")


@dataclass(frozen=True, slots=True)
class Sealed:
    """How many events, leads, names and keys were not sealed as they should be, and are now."""

    events: int
    leads: int
    names: int
    keys: int


async def seal_stored(database: Database, *, on_progress: Callable[[int], None] = lambda _: None) -> Sealed:
    """Seal every plain event, lead and name, and wrap every data key with the first master key."""
    events = await _seal_events(database, on_progress)
    leads = await _in_steps(database, _seal_leads, UUID(int=0))
    await _in_steps(database, _seal_shadow_leads, UUID(int=0))
    names = await _in_steps(database, _seal_names, IdentityKey("", "", ""))
    await _in_steps(database, _seal_merges, 0)
    return Sealed(events, leads, names, await _rewrap(database))


async def _in_steps(
    database: Database, step: Callable[[AsyncConnection, Place], Awaitable[list[Place]]], after: Place
) -> int:
    """Let `step` seal what comes next after a place, each time in a transaction; returns how much it was."""
    done = 0
    while True:
        async with database.transaction(ALL_WORKSPACES) as connection:
            found = await step(connection, after)
        if not found:
            return done
        done += len(found)
        after = found[-1]


async def _seal_leads(connection: AsyncConnection, after: UUID) -> list[UUID]:
    rows = await connection.execute(
        text("""
            SELECT id FROM scorer.lead
            WHERE id > :after AND (state IS NOT NULL OR published IS NOT NULL) ORDER BY id LIMIT :limit
        """),
        {"after": after, "limit": _AT_ONCE},
    )
    ids = [row.id for row in rows]
    await lead_repository.lock_leads(connection, ids)
    await lead_repository.save_leads(connection, list((await lead_repository.read_leads(connection, ids)).values()))
    return ids


async def _seal_shadow_leads(connection: AsyncConnection, after: UUID) -> list[UUID]:
    rows = (
        await connection.execute(
            text("""
                SELECT lead_id, workspace, shadow_lead.state::text AS state FROM scorer.shadow_lead
                JOIN scorer.lead ON lead.id = lead_id
                WHERE lead_id > :after AND shadow_lead.state IS NOT NULL
                ORDER BY lead_id LIMIT :limit FOR UPDATE OF shadow_lead
            """),
            {"after": after, "limit": _AT_ONCE},
        )
    ).all()
    items = [Item(row.lead_id, row.workspace, row.state.encode()) for row in rows]
    await connection.execute(
        text("""
            UPDATE scorer.shadow_lead SET state = NULL, sealed_state = item.sealed
            FROM unnest(CAST(:ids AS uuid[]), CAST(:sealed AS bytea[])) AS item (id, sealed) WHERE lead_id = item.id
        """),
        {
            "ids": [row.lead_id for row in rows],
            "sealed": await sealing_of(connection).seal(connection, items, STATE),
        },
    )
    return [row.lead_id for row in rows]


async def _seal_names(connection: AsyncConnection, after: IdentityKey) -> list[IdentityKey]:
    rows = await connection.execute(
        text("""
            SELECT workspace, kind, value, lead_id FROM scorer.identity
            WHERE (workspace, kind, value) > (:workspace, :kind, :value) AND sealed IS NULL
            ORDER BY workspace, kind, value LIMIT :limit FOR UPDATE
        """),
        {**after._asdict(), "limit": _AT_ONCE},
    )
    names = [(IdentityKey(row.workspace, row.kind, row.value), row.lead_id) for row in rows]
    await sealed_names.seal_plain(connection, names)
    return [name for name, _ in names]


async def _seal_merges(connection: AsyncConnection, after: int) -> list[int]:
    rows = (
        await connection.execute(
            text("""
                SELECT id, workspace, survivor, survivor_names::text AS names FROM scorer.merge
                WHERE id > :after AND survivor_names IS NOT NULL ORDER BY id LIMIT :limit FOR UPDATE
            """),
            {"after": after, "limit": _AT_ONCE},
        )
    ).all()
    items = [Item(row.survivor, row.workspace, row.names.encode()) for row in rows]
    await connection.execute(
        text("""
            UPDATE scorer.merge SET survivor_names = NULL, sealed_names = item.sealed
            FROM unnest(CAST(:ids AS bigint[]), CAST(:sealed AS bytea[])) AS item (id, sealed)
            WHERE merge.id = item.id
        """),
        {
            "ids": [row.id for row in rows],
            "sealed": await sealing_of(connection).seal(connection, items, SURVIVOR_NAMES),
        },
    )
    return [row.id for row in rows]


async def _seal_events(database: Database, on_progress: Callable[[int], None]) -> int:
    done = 0
    after: tuple[str, str, str] | None = ("", "", "")
    while after is not None:
        async with database.transaction(ALL_WORKSPACES) as connection:
            rows = (
                await connection.execute(
                    text("""
                        SELECT workspace, source, event_id, lead_id, body::text AS body FROM scorer.event
                        WHERE (workspace, source, event_id) > (:workspace, :source, :id)
                            AND body IS NOT NULL AND lead_id IS NOT NULL
                        ORDER BY workspace, source, event_id LIMIT :limit FOR UPDATE
                    """),
                    {"workspace": after[0], "source": after[1], "id": after[2], "limit": _AT_ONCE},
                )
            ).all()
            items = [Item(row.lead_id, row.workspace, row.body.encode()) for row in rows]
            await connection.execute(
                text("""
                    UPDATE scorer.event SET body = NULL, sealed = item.sealed
                    FROM unnest(CAST(:workspaces AS text[]), CAST(:sources AS text[]), CAST(:ids AS text[]),
                                CAST(:sealed AS bytea[])) AS item (workspace, source, event_id, sealed)
                    WHERE event.workspace = item.workspace AND event.source = item.source
                        AND event.event_id = item.event_id
                """),
                {
                    "workspaces": [row.workspace for row in rows],
                    "sources": [row.source for row in rows],
                    "ids": [row.event_id for row in rows],
                    "sealed": await sealing_of(connection).seal(connection, items, EVENT),
                },
            )
        done += len(rows)
        on_progress(done)
        after = (rows[-1].workspace, rows[-1].source, rows[-1].event_id) if rows else None
    return done


async def _rewrap(database: Database) -> int:
    done = 0
    while True:
        async with database.transaction(ALL_WORKSPACES) as connection:
            sealing = sealing_of(connection)
            first = sealing.masters[0].name if sealing.masters else None
            rows = (
                await connection.execute(
                    text("""
                        SELECT id, key, wrapped_by FROM sealing.data_key
                        WHERE wrapped_by IS DISTINCT FROM CAST(:first AS text) LIMIT :limit FOR UPDATE
                    """),
                    {"first": first, "limit": _AT_ONCE},
                )
            ).all()
            if not rows:
                return done
            await connection.execute(
                text("""
                    UPDATE sealing.data_key SET key = item.key, wrapped_by = :first
                    FROM unnest(CAST(:ids AS uuid[]), CAST(:keys AS bytea[])) AS item (id, key)
                    WHERE data_key.id = item.id
                """),
                {
                    "first": first,
                    "ids": [row.id for row in rows],
                    "keys": [sealing.rewrapped(row.id, bytes(row.key), row.wrapped_by)[0] for row in rows],
                },
            )
            done += len(rows)
