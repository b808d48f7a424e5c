"""Messages leave PostgreSQL in the order they were written, at least once, with the bytes they were written with.

A service appends messages in the transaction that made them true; the relay publishes and deletes them.
One relay works at a time per schema (an advisory lock held by its transaction). It takes what is there
rather than what is newer than the last id, because ids commit out of order and would be skipped.
"""

import asyncio
import contextlib
import logging
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.engine import Database
from shared.errors import TransientError
from shared.events.codec import encode
from shared.events.envelope import Message
from shared.events.topics import TopicSpec
from shared.failpoints import reach
from shared.log.protocol import Log, Record
from shared.observability.metrics import OUTBOX_AGE, OUTBOX_MESSAGES
from shared.periodic import every
from shared.service import Task

logger = logging.getLogger(__name__)

_BATCH = 500
_OBSERVE_SECONDS = 5.0
_CONTENT_TYPE = b"application/cloudevents+json"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way: `key` decides order and partition."""

    topic: TopicSpec
    key: str
    message: Message


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in an outbox: how many messages, and for how long the oldest has."""

    messages: int
    oldest_age_seconds: float


class Outbox:
    """The table `<schema>.outbox`, its writer and its relay."""

    def __init__(self, schema: str) -> None:
        self._schema = schema
        self._lock = zlib.crc32(f"leadflow outbox {schema}".encode())
        self._written = asyncio.Event()

    async def append(self, connection: AsyncConnection, outgoing: Sequence[Outgoing]) -> None:
        """Write messages in this transaction; call `wake` once it is committed."""
        if not outgoing:
            return
        await connection.execute(
            text(
                f"INSERT INTO {self._schema}.outbox (topic, key, value) "  # noqa: S608 - a constant of ours
                "SELECT topic, key, value FROM unnest(CAST(:topics AS text[]), CAST(:keys AS bytea[]), "
                "CAST(:values AS bytea[])) WITH ORDINALITY AS item (topic, key, value, position) ORDER BY position"
            ),
            {
                "topics": [item.topic.name for item in outgoing],
                "keys": [item.key.encode() for item in outgoing],
                "values": [encode(item.message) for item in outgoing],
            },
        )

    def wake(self) -> None:
        """Tell the relay of this process that there is something to publish."""
        self._written.set()

    def tasks(self, database: Database, log: Log) -> dict[str, Task]:
        """What a service runs to empty its outbox, and to show how full it is."""

        async def observe() -> int:
            async with database.transaction() as connection:
                backlog = await self.backlog(connection)
            OUTBOX_MESSAGES.labels(self._schema).set(backlog.messages)
            OUTBOX_AGE.labels(self._schema).set(backlog.oldest_age_seconds)
            return 0

        return {
            "outbox": self.relay_task(database, log),
            "outbox backlog": every(_OBSERVE_SECONDS, observe, name="outbox backlog"),
        }

    def relay_task(self, database: Database, log: Log, *, poll_seconds: float = 0.25) -> Task:
        """Publishes until stopped. Trouble with PostgreSQL or the log is waited out, never fatal."""

        async def relay(stop: asyncio.Event) -> None:
            while not stop.is_set():
                self._written.clear()
                published = await self._relay_or_wait(database, log, stop)
                if not published:
                    await self._wait(poll_seconds)

        return relay

    async def _relay_or_wait(self, database: Database, log: Log, stop: asyncio.Event) -> int:
        try:
            return await self.relay_once(database, log)
        except TransientError as error:
            logger.warning("outbox relay waits", extra={"schema": self._schema, "error": str(error)})
            await _sleep(stop, 1.0)
            return 0

    async def relay_once(self, database: Database, log: Log) -> int:
        """Publish the oldest messages; returns how many. Nothing is deleted that the log has not confirmed."""
        async with database.transaction() as connection:
            if not await self._take_turn(connection):
                return 0
            rows = await self._oldest(connection)
            for topic, records in _by_topic(rows).items():
                await log.publish(topic, records)
            if rows:
                reach("published-not-marked")
                await connection.execute(
                    text(f"DELETE FROM {self._schema}.outbox WHERE id = ANY(CAST(:ids AS bigint[]))"),  # noqa: S608
                    {"ids": [row[0] for row in rows]},
                )
            return len(rows)

    async def backlog(self, connection: AsyncConnection) -> Backlog:
        """What waits now, by the database's own clock."""
        age = "coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)"
        query = text(f"SELECT count(*) AS messages, {age} AS age FROM {self._schema}.outbox")  # noqa: S608
        row = (await connection.execute(query)).one()
        return Backlog(messages=row.messages, oldest_age_seconds=float(row.age))

    async def _take_turn(self, connection: AsyncConnection) -> bool:
        turn = await connection.execute(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": self._lock})
        return bool(turn.scalar_one())

    async def _oldest(self, connection: AsyncConnection) -> Sequence[tuple[int, str, bytes, bytes]]:
        rows = await connection.execute(
            text(f"SELECT id, topic, key, value FROM {self._schema}.outbox ORDER BY id LIMIT {_BATCH}")  # noqa: S608
        )
        return [(row.id, row.topic, row.key, row.value) for row in rows]

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._written.wait()


def _by_topic(rows: Sequence[tuple[int, str, bytes, bytes]]) -> dict[str, list[Record]]:
    topics: dict[str, list[Record]] = {}
    for _, topic, key, value in rows:
        topics.setdefault(topic, []).append(Record(key, value, {"content-type": _CONTENT_TYPE}))
    return topics


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
