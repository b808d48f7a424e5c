"""Erasing leads from the scorer's tables, and knowing what was erased. Nothing here commits or decides."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db import routine
from shared.db.engine import Database
from shared.db.reach import ALL_WORKSPACES
from shared.sealing.data_keys import delete_expired_keys

# Longer than any record of before the erasure can wait to be handled: on a topic, as a letter, or parked.
NAMES_KEPT = timedelta(days=100)
_AT_ONCE = 1_000

# A lead's row is the last of it, because the others refer to it.
_DELETE = (
    "DELETE FROM scorer.due WHERE lead_id = ANY(CAST(:leads AS uuid[]))",
    "DELETE FROM scorer.shadow_lead WHERE lead_id = ANY(CAST(:leads AS uuid[]))",
    "DELETE FROM scorer.identity WHERE lead_id = ANY(CAST(:leads AS uuid[]))",
    "DELETE FROM scorer.event WHERE lead_id = ANY(CAST(:leads AS uuid[]))",
    """DELETE FROM scorer.merge WHERE workspace = :workspace
       AND (survivor = ANY(CAST(:leads AS uuid[])) OR absorbed = ANY(CAST(:leads AS uuid[])))""",
    """DELETE FROM scorer.separation WHERE workspace = :workspace
       AND (one = ANY(CAST(:leads AS uuid[])) OR other = ANY(CAST(:leads AS uuid[])))""",
    "DELETE FROM scorer.lead WHERE workspace = :workspace AND id = ANY(CAST(:leads AS uuid[]))",
)


class Mark(NamedTuple):
    """A keyed digest of an event or a name, and when the event that it is looked up for was received."""

    number: int
    workspace: str
    digest: bytes
    received_at: datetime


async def event_keys(connection: AsyncConnection, leads: Collection[UUID]) -> list[tuple[str, str]]:
    """(source, id) of every event recorded for these leads, retracted ones included."""
    rows = await connection.execute(
        text("SELECT source, event_id FROM scorer.event WHERE lead_id = ANY(CAST(:leads AS uuid[]))"),
        {"leads": list(leads)},
    )
    return [(row.source, row.event_id) for row in rows]


async def sequence_of(connection: AsyncConnection, lead: UUID) -> int:
    """The number of the last message about the lead, of which the caller holds the lock."""
    return int(await connection.scalar(text("SELECT sequence FROM scorer.lead WHERE id = :id"), {"id": lead}) or 0)


async def delete_leads(connection: AsyncConnection, workspace: str, leads: Collection[UUID]) -> None:
    """Everything of these leads that the scorer has; the caller holds their locks."""
    for statement in _DELETE:
        await connection.execute(text(statement), {"workspace": workspace, "leads": list(leads)})


async def remember(
    connection: AsyncConnection, workspace: str, *, events: Sequence[bytes], names: Sequence[bytes], until: datetime
) -> None:
    """Events with these marks never count again; those with one of these names not if received up to `until`."""
    await connection.execute(
        text("""
            INSERT INTO scorer.forgotten AS known (workspace, mark, received_until)
            SELECT CAST(:workspace AS text), mark, CAST('infinity' AS timestamptz)
            FROM unnest(CAST(:events AS bytea[])) AS mark
            UNION ALL
            SELECT CAST(:workspace AS text), mark, CAST(:until AS timestamptz)
            FROM unnest(CAST(:names AS bytea[])) AS mark
            ON CONFLICT (workspace, mark)
                DO UPDATE SET received_until = greatest(known.received_until, excluded.received_until)
        """),
        {"workspace": workspace, "events": list(events), "names": list(names), "until": until},
    )


async def forgetful(connection: AsyncConnection, workspaces: Collection[str]) -> set[str]:
    """Those of these workspaces in which anything was ever erased."""
    found = await routine.rows(
        connection,
        """
            SELECT name FROM unnest(CAST(:workspaces AS text[])) AS name
            WHERE EXISTS (SELECT FROM scorer.forgotten WHERE workspace = name)
        """,
        workspaces=sorted(workspaces),
    )
    return {name for (name,) in found}


async def forgotten(connection: AsyncConnection, marks: Sequence[Mark]) -> set[int]:
    """The numbers of those marks that are of something erased."""
    rows = await connection.execute(
        text("""
            SELECT DISTINCT number FROM unnest(CAST(:numbers AS integer[]), CAST(:workspaces AS text[]),
                CAST(:marks AS bytea[]), CAST(:received AS timestamptz[]))
                AS item (number, workspace, mark, received_at)
            JOIN scorer.forgotten USING (workspace, mark) WHERE item.received_at <= received_until
        """),
        {
            "numbers": [mark.number for mark in marks],
            "workspaces": [mark.workspace for mark in marks],
            "marks": [mark.digest for mark in marks],
            "received": [mark.received_at for mark in marks],
        },
    )
    return {row.number for row in rows}


async def let_go(database: Database, now: datetime) -> int:
    """Delete keys whose end has come, and marks of names that no record can still carry; returns how many."""
    async with database.transaction(ALL_WORKSPACES) as connection:
        gone = await connection.execute(
            text("DELETE FROM scorer.forgotten WHERE received_until < :before"), {"before": now - NAMES_KEPT}
        )
        return gone.rowcount + await delete_expired_keys(connection, now, _AT_ONCE)
