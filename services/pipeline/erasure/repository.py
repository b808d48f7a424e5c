"""Erasing leads from the pipeline's tables. Nothing here commits or decides."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.pipeline.leads.repository import LeadRow
from shared.events.envelope import message_id
from shared.events.topics import LEAD_SCORES, LEAD_STAGES, LEAD_THRESHOLDS

_OF_LEADS = ("timeline", "stay", "standing", "hot_row", "lead_report", "due")
_AT_ONCE = 5_000
# Deliveries before messages and feed, because they refer to both; attempts go with their deliveries.
_OF_MESSAGES = (
    "DELETE FROM pipeline.delivery WHERE message_id = ANY(CAST(:ids AS text[]))",
    "DELETE FROM pipeline.undelivered WHERE message_id = ANY(CAST(:ids AS text[]))",
    "DELETE FROM pipeline.feed WHERE message_id = ANY(CAST(:ids AS text[]))",
    "DELETE FROM pipeline.webhook_message WHERE id = ANY(CAST(:ids AS text[]))",
)


async def erase(connection: AsyncConnection, rows: Sequence[LeadRow], now: datetime) -> None:
    """Everything of these leads, which the caller has locked, but that they are not to come back."""
    if not rows:
        return
    workspace, ids = rows[0].lead.workspace, [UUID(row.lead.id) for row in rows]
    await _delete_messages(connection, [id_ for row in rows for id_ in message_ids(row)])
    for table in _OF_LEADS:
        await connection.execute(
            text(
                f"DELETE FROM pipeline.{table} WHERE workspace = :workspace "  # noqa: S608
                "AND lead_id = ANY(CAST(:ids AS uuid[]))"
            ),
            {"workspace": workspace, "ids": ids},
        )
    await connection.execute(
        text("""
            UPDATE pipeline.lead SET emails = '{}', external_ids = '{}', attributes = '{}', state = NULL,
                sealed = NULL, absorbed_by = NULL, erased_at = :now
            WHERE workspace = :workspace AND id = ANY(CAST(:ids AS uuid[]))
        """),
        {"workspace": workspace, "ids": ids, "now": now},
    )


async def note_seen(connection: AsyncConnection, row: LeadRow) -> None:
    """The last message about an erased lead was this one."""
    await connection.execute(
        text("UPDATE pipeline.lead SET scores_seen = :seen WHERE workspace = :workspace AND id = :id"),
        {"seen": row.scores_seen, "workspace": row.lead.workspace, "id": UUID(row.lead.id)},
    )


async def delete_waiting(connection: AsyncConnection, keys: Collection[str]) -> None:
    """What waits in the outbox under these keys."""
    await connection.execute(
        text("DELETE FROM pipeline.outbox WHERE key = ANY(CAST(:keys AS bytea[]))"),
        {"keys": [key.encode() for key in keys]},
    )


async def _delete_messages(connection: AsyncConnection, ids: Sequence[str]) -> None:
    for start in range(0, len(ids), _AT_ONCE):
        for statement in _OF_MESSAGES:
            await connection.execute(text(statement), {"ids": ids[start : start + _AT_ONCE]})


def message_ids(row: LeadRow) -> Iterable[str]:
    """Ids of all messages about a lead: they follow from its sequences, so no table is searched for them."""
    sent = (
        (LEAD_SCORES, row.scores_seen),
        (LEAD_THRESHOLDS, row.sequences.thresholds),
        (LEAD_STAGES, row.sequences.stages),
    )
    return (message_id(topic, row.lead.id, number) for topic, last in sent for number in range(1, last + 1))
