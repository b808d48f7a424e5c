"""Erasing leads from the pipeline, in the transaction of the caller."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.pipeline.domain.lead import Lead
from services.pipeline.erasure import repository
from services.pipeline.leads.repository import LeadRow
from shared.db.outbox import owner_of
from shared.events.engagement import name_digest
from shared.sealing.data_keys import delete_keys


async def erase(connection: AsyncConnection, rows: Iterable[LeadRow], now: datetime) -> None:
    """Erase those of these leads, of one workspace and locked, that are not erased yet."""
    present = [row for row in rows if row.has_remains or not row.is_erased]
    if not present:
        return
    waiting = [key for row in present for key in (row.lead.id, *_digests(row.lead))]
    await repository.delete_waiting(connection, waiting)
    await repository.erase(connection, present, now)
    # Once more than the scorer did: what came after that may have made keys anew.
    await delete_keys(connection, present[0].lead.workspace, [owner_of(key) for key in waiting])
    for row in present:
        row.is_erased, row.has_remains = True, False


def _digests(lead: Lead) -> list[str]:
    """The keys under which the lead's resets are sent to the scorer."""
    by_id = [(f"external:{system}", value) for system, values in lead.external_ids.items() for value in values]
    return [name_digest(lead.workspace, *name) for name in (*(("email", email) for email in lead.emails), *by_id)]
