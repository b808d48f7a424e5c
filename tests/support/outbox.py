"""What waits in an outbox, as the relay would publish it."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.outbox import opened
from shared.events.codec import AnyMessage, decode


async def taken(connection: AsyncConnection, schema: str) -> list[AnyMessage]:
    """The messages in order; they are taken out."""
    rows = (await connection.execute(text(f"DELETE FROM {schema}.outbox RETURNING id, value"))).all()
    return await _decoded(connection, [row.value for row in sorted(rows, key=lambda row: row.id)])


async def waiting(connection: AsyncConnection, schema: str) -> list[AnyMessage]:
    """The messages in order; they stay."""
    rows = await connection.execute(text(f"SELECT value FROM {schema}.outbox ORDER BY id"))
    return await _decoded(connection, [row.value for row in rows])


async def _decoded(connection: AsyncConnection, values: list[bytes]) -> list[AnyMessage]:
    return [decode(value) for value in await opened(connection, values) if value is not None]
