"""Sealing leads of the pipeline that were stored before there were data keys, in small steps beside traffic."""

from typing import Final
from uuid import UUID

from sqlalchemy import text

from services.pipeline.domain.reports.row import report_row
from services.pipeline.leads import repository as lead_repository
from services.pipeline.leads.repository import LeadKey
from services.pipeline.reports import rows
from shared.db.engine import Database
from shared.db.reach import ALL_WORKSPACES

_AT_ONCE: Final = 500
_PLAIN: Final = text("""
    SELECT workspace, CAST(id AS text) AS id FROM pipeline.lead
    WHERE (workspace, id) > (:workspace, :id) AND state IS NOT NULL AND sealed IS NULL AND erased_at IS NULL
    ORDER BY workspace, pipeline.lead.id LIMIT :limit
""")


async def seal_stored(database: Database) -> int:
    """Seal every plain lead; returns how many those were."""
    done = 0
    after: LeadKey = ("", str(UUID(int=0)))
    while True:
        async with database.transaction(ALL_WORKSPACES) as connection:
            place = {"workspace": after[0], "id": UUID(after[1]), "limit": _AT_ONCE}
            keys = [(row.workspace, row.id) for row in await connection.execute(_PLAIN, place)]
            locked = (await lead_repository.lock_leads(connection, keys)).values()
            # One that was erased before its lock was had is not written again.
            standing = [row for row in locked if not row.is_erased]
            await lead_repository.write_leads(connection, standing)
            reported = [(row.key, report_row(row.lead)) for row in standing]
            await rows.write(connection, [(key, row) for key, row in reported if row])
        if not keys:
            return done
        done += len(standing)
        after = keys[-1]
