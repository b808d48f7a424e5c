"""The feed: everything that was told in a workspace, in an order in which nothing can be missed.

Positions are given out under a lock per workspace that is held to the commit. So they become visible in their
own order, and a reader that goes on after the last position it has seen never skips one that was still on its
way. What is told about one lead keeps its order, because its row is locked before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from pydantic_core import from_json
from sqlalchemy.ext.asyncio import AsyncConnection

from services.pipeline.domain.subscription import Filter, passes
from services.pipeline.sealed import message_bodies
from shared.db import routine
from shared.db.statements import text

_SCAN = 500
_LOCK_CLASS = "leadflow feed"
_TAKE_TURN = """
    SELECT pg_advisory_xact_lock(hashtext(:lock_class), hashtext(name))
    FROM (SELECT unnest(CAST(:workspaces AS text[])) AS name ORDER BY name) AS names
"""
_APPEND = """
    INSERT INTO pipeline.feed (workspace, message_id, type, lead_id, created_at)
    SELECT workspace, message_id, type, lead_id, CAST(:now AS timestamptz)
    FROM unnest(CAST(:workspaces AS text[]), CAST(:ids AS text[]), CAST(:types AS text[]), CAST(:leads AS text[]))
         WITH ORDINALITY AS item (workspace, message_id, type, lead_id, number)
    ORDER BY number
    ON CONFLICT DO NOTHING
"""


class Told(NamedTuple):
    """A message as it went out."""

    workspace: str
    id: str
    type: str
    lead_id: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a reader asks for; everything given must hold. No `types`: all of them."""

    types: tuple[str, ...] = ()
    lead_id: str | None = None
    filter: Filter = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """A message of the feed, where it stands, and the `traceparent` of what it comes from."""

    position: int
    type: str
    body: bytes
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class FeedPage:
    """What was found, and up to which position everything has been looked at."""

    entries: tuple[FeedEntry, ...]
    position: int


async def append(connection: AsyncConnection, told: Sequence[Told], now: datetime) -> None:
    """Give each message its position; the last statement of a transaction, because it holds others up.

    The bodies are in webhook_message already. A message that has a position keeps it.
    """
    if not told:
        return
    await routine.rows(
        connection, _TAKE_TURN, lock_class=_LOCK_CLASS, workspaces=sorted({item.workspace for item in told})
    )
    await routine.rows(
        connection,
        _APPEND,
        workspaces=[item.workspace for item in told],
        ids=[item.id for item in told],
        types=[item.type for item in told],
        leads=[item.lead_id for item in told],
        now=now,
    )


async def read(connection: AsyncConnection, workspace: str, *, after: int, wanted: Wanted, limit: int) -> FeedPage:
    """Up to `limit` messages behind the position `after`, in order.

    A filter that hardly anything passes ends after some entries all the same, with the position it came to.
    """
    until = max(after, await newest(connection, workspace))
    scanned = max(limit, _SCAN) if wanted.filter else limit
    rows = await connection.execute(
        text("""
            SELECT position, feed.type, body, traceparent FROM pipeline.feed
            JOIN pipeline.webhook_message ON webhook_message.id = message_id
            WHERE workspace = :workspace AND position > :after AND position <= :until
                AND (CAST(:types AS text[]) = '{}' OR feed.type = ANY(CAST(:types AS text[])))
                AND (CAST(:lead AS text) IS NULL OR lead_id = :lead)
            ORDER BY position LIMIT :limit
        """),
        {
            "workspace": workspace,
            "after": after,
            "until": until,
            "types": list(wanted.types),
            "lead": wanted.lead_id,
            "limit": scanned,
        },
    )
    looked_at = rows.all()
    bodies = await message_bodies.opened(connection, [row.body for row in looked_at])
    found = [
        FeedEntry(row.position, row.type, body, row.traceparent)
        for row, body in zip(looked_at, bodies, strict=True)
        if body is not None and _passes(wanted.filter, body)
    ][:limit]
    if len(found) == limit:
        return FeedPage(tuple(found), found[-1].position)
    return FeedPage(tuple(found), looked_at[-1].position if len(looked_at) == scanned else until)


async def newest(connection: AsyncConnection, workspace: str) -> int:
    """The last position that was given out and is visible; 0 before the first."""
    found = await connection.scalar(
        text("SELECT max(position) FROM pipeline.feed WHERE workspace = :workspace"), {"workspace": workspace}
    )
    return int(found) if found is not None else await horizon(connection, workspace)


async def horizon(connection: AsyncConnection, workspace: str) -> int:
    """The last position that is no longer kept; 0 while everything is."""
    found = await connection.scalar(
        text("SELECT position FROM pipeline.feed_horizon WHERE workspace = :workspace"), {"workspace": workspace}
    )
    return int(found or 0)


async def forget(connection: AsyncConnection, before: datetime, limit: int) -> int:
    """Let go of up to `limit` of the oldest entries told earlier than `before`; returns how many.

    Their messages stay as long as a delivery needs them.
    """
    gone = await connection.execute(
        text("""
            DELETE FROM pipeline.feed USING (
                SELECT workspace, position FROM pipeline.feed WHERE created_at < :before
                ORDER BY created_at LIMIT :limit
            ) AS old
            WHERE feed.workspace = old.workspace AND feed.position = old.position
            RETURNING feed.workspace, feed.position
        """),
        {"before": before, "limit": limit},
    )
    last: dict[str, int] = {}
    count = 0
    for row in gone:
        last[row.workspace] = max(last.get(row.workspace, 0), row.position)
        count += 1
    await _raise_horizons(connection, last)
    return count


async def _raise_horizons(connection: AsyncConnection, last: Mapping[str, int]) -> None:
    if not last:
        return
    await connection.execute(
        text("""
            INSERT INTO pipeline.feed_horizon AS known (workspace, position)
            SELECT workspace, position FROM unnest(CAST(:workspaces AS text[]), CAST(:positions AS bigint[]))
                AS item (workspace, position)
            ON CONFLICT (workspace) DO UPDATE SET position = greatest(known.position, excluded.position)
        """),
        {"workspaces": list(last), "positions": list(last.values())},
    )


def _passes(conditions: Filter, body: bytes) -> bool:
    return not conditions or passes(conditions, from_json(body))
