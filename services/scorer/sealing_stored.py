"""Sealing what is there already: events stored before there were data keys, and data keys under the first master key.

In small transactions beside live traffic; cut short, the next run goes on with what is left.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import text

from services.scorer.repository import EVENT
from shared.db.engine import Database
from shared.db.reach import ALL_WORKSPACES
from shared.sealing.data_keys import Item, sealing_of

_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Sealed:
    """How many events and keys were not sealed as they should be, and are now."""

    events: int
    keys: int


async def seal_stored(database: Database, *, on_progress: Callable[[int], None] = lambda _: None) -> Sealed:
    """Seal every plain event, and wrap every data key with the first master key."""
    events = await _seal_events(database, on_progress)
    return Sealed(events, await _rewrap(database))


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
