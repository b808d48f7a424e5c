"""Moments that are due, in the tables `<schema>.due` of the services: how far their owners are behind."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.reach import ALL_WORKSPACES
from shared.observability.metrics import DUE_AGE, DUE_MOMENTS
from shared.periodic import every
from shared.service import Context, Task

_OBSERVE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Overdue:
    """Moments that have passed and were not dealt with: how many, and for how long the first has waited."""

    moments: int
    oldest_age_seconds: float


async def overdue(connection: AsyncConnection, schema: str, now: datetime) -> Overdue:
    """What is due in `schema` at `now`."""
    query = text(f"SELECT count(*) AS moments, min(due_at) AS oldest FROM {schema}.due WHERE due_at <= :now")  # noqa: S608 - a constant of ours
    row = (await connection.execute(query, {"now": now})).one()
    return Overdue(row.moments, (now - row.oldest).total_seconds() if row.oldest else 0.0)


def due_backlog_task(context: Context, schema: str) -> Task:
    """Shows again and again how late `schema` is."""

    async def observe() -> int:
        async with context.database.transaction(ALL_WORKSPACES) as connection:
            found = await overdue(connection, schema, context.clock.now())
        DUE_MOMENTS.labels(schema).set(found.moments)
        DUE_AGE.labels(schema).set(found.oldest_age_seconds)
        return 0

    return every(_OBSERVE_SECONDS, observe, name=f"due backlog of {schema}")
