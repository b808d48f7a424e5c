"""The log on PostgreSQL: for one machine, for trying leadflow out, for quick tests.

Offsets are given under the lock of the partition's row, which is held to the commit, so no reader can
pass over a record that becomes visible late. NOTIFY only wakes readers; polling is what they rely on.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import asyncpg
from msgspec.json import Encoder
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from shared.clock import Clock, SystemClock
from shared.db.direct import DirectConnection
from shared.db.engine import Database
from shared.db.reach import ALL_WORKSPACES
from shared.errors import DatabaseUnavailable, LeadflowError, LogUnavailable, Misconfigured
from shared.events.topics import TopicSpec
from shared.log import embedded_reading as reading
from shared.log.embedded_consumer import CHANNEL, EmbeddedConsumer, answering
from shared.log.flusher import Flusher
from shared.log.partitioner import partitions_of
from shared.log.protocol import (
    Consumer,
    Extent,
    GroupState,
    Partition,
    ReceivedRecord,
    Record,
    TopicState,
    total_size,
)

logger = logging.getLogger(__name__)

_WRITE_BYTES = 8 * 1024 * 1024
_POOL_SIZE = 10
_TRIM_EVERY_SECONDS = 600.0
_TRIM_BATCH = 1000
_LISTEN_AGAIN_SECONDS = 1.0
_STOP_SECONDS = 5.0
_ENCODE = Encoder().encode

# One statement, because a small publish costs little more than its round trips. What has waited for the lock of a
# partition sees the head that the one before it left, although its snapshot is older: so FOR UPDATE has it.
# A column comes as one value, with the length of each part, because a driver takes long to write many; integers
# come as text, which is how they are written fastest.
_APPEND = """
    WITH locked AS (
        SELECT id, head FROM log.partitions WHERE id = ANY($1::text::integer[]) ORDER BY id FOR UPDATE
    ), item AS (
        SELECT *, sum(key) OVER upto AS key_end, sum(value) OVER upto AS value_end,
            sum(headers) OVER upto AS headers_end
        FROM unnest(
            $3::text::integer[], $4::text::bigint[], $6::text::integer[], $8::text::integer[], $10::text::integer[]
        ) WITH ORDINALITY AS length (partition_id, place, key, value, headers, number)
        WINDOW upto AS (ORDER BY number ROWS UNBOUNDED PRECEDING)
    ), appended AS (
        INSERT INTO log.records (partition_id, "offset", key, value, headers, published_at)
        SELECT partition_id, head + place,
            substring($5::bytea FROM (key_end - key + 1)::integer FOR key),
            substring($7::bytea FROM (value_end - value + 1)::integer FOR value),
            substring($9::bytea FROM (headers_end - headers + 1)::integer FOR headers),
            $11::timestamptz
        FROM item JOIN locked ON locked.id = partition_id
        RETURNING 1
    ), moved AS (
        UPDATE log.partitions SET head = locked.head + more
        FROM locked JOIN unnest($1::text::integer[], $2::text::bigint[]) AS added (id, more) USING (id)
        WHERE partitions.id = locked.id
    )
    SELECT (SELECT count(*) FROM appended), pg_notify($12::text, $13::text)
"""
_PARTITIONS_OF = text("SELECT id FROM log.partitions WHERE topic = :topic ORDER BY number")
_ADD_TOPIC = text("""
    INSERT INTO log.topics (name, retention_seconds) VALUES (:name, :retention_seconds)
    ON CONFLICT (name) DO UPDATE SET retention_seconds = excluded.retention_seconds
    RETURNING xmax = 0 AS is_new
""")
_ADD_PARTITIONS = text("""
    INSERT INTO log.partitions (topic, number)
    SELECT :topic, number FROM generate_series(0, CAST(:partitions AS integer) - 1) AS number
""")
# A group that has never committed holds everything: it starts at the oldest record.
_TRIMMABLE = text("""
    SELECT partitions.id, topics.retention_seconds, least(
        partitions.head,
        (SELECT min(coalesce(offsets.next_offset, 0))
         FROM log.subscriptions LEFT JOIN log.offsets
           ON offsets.group_name = subscriptions.group_name AND offsets.partition_id = partitions.id
         WHERE subscriptions.topic = partitions.topic)
    ) AS floor
    FROM log.partitions JOIN log.topics ON topics.name = partitions.topic ORDER BY partitions.id
""")
_TRIM = text("""
    WITH oldest AS (
        SELECT "offset", published_at FROM log.records
        WHERE partition_id = :id AND "offset" < :floor ORDER BY "offset" LIMIT :batch
    )
    DELETE FROM log.records USING oldest
    WHERE records.partition_id = :id AND records."offset" = oldest."offset" AND oldest.published_at < :before
""")


class EmbeddedLog:
    """The engine `embedded`, in the database that `database` is connected to.

    Its connections are its own: a relay that publishes from within a transaction must never wait for a
    connection that another relay holds, and slow reads must not keep ingest from publishing.
    """

    def __init__(
        self,
        database: Database,
        *,
        publish_timeout_seconds: float = 5.0,
        session_timeout_seconds: float = 30.0,
        clock: Clock | None = None,
        retention_seconds: Mapping[str, int] | None = None,
    ) -> None:
        self._retention_seconds = retention_seconds or {}
        self._database = Database(database.url, pool_size=_POOL_SIZE, timeout_seconds=publish_timeout_seconds)
        self._publish_timeout_seconds = publish_timeout_seconds
        self._session_timeout_seconds = session_timeout_seconds
        self._clock = clock or SystemClock()
        self._partition_ids: dict[str, tuple[int, ...]] = {}
        self._lanes: dict[str, DirectConnection] = {}
        self._flushers: dict[str, Flusher[Sequence[Record]]] = {}
        self._consumers: set[EmbeddedConsumer] = set()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        try:
            async with (
                answering(self._publish_timeout_seconds),
                self._database.transaction(ALL_WORKSPACES) as connection,
            ):
                schema = await connection.scalar(text("SELECT to_regclass('log.records')"))
            if schema is None:
                raise Misconfigured("the database has no log yet: run `leadflow migrate`")
        except LeadflowError:
            await self.stop()
            raise
        self._run("trim", self._trim_now_and_then)

    async def stop(self) -> None:
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        closing = [asyncio.ensure_future(flusher.close()) for flusher in self._flushers.values()]
        self._flushers.clear()
        if tasks or closing:
            await asyncio.wait([*tasks, *closing], timeout=_STOP_SECONDS)
        connections = [lane.close() for lane in self._lanes.values()] + [self._database.close()]
        self._lanes.clear()
        await asyncio.wait([asyncio.ensure_future(one) for one in connections], timeout=_STOP_SECONDS)

    async def ensure_topics(self, topics: Sequence[TopicSpec]) -> None:
        async with answering(self._publish_timeout_seconds), self._database.transaction(ALL_WORKSPACES) as connection:
            for topic in sorted(topics, key=lambda topic: topic.name):
                seconds = self._retention_seconds.get(topic.name, topic.retention_seconds)
                retention = {"name": topic.name, "retention_seconds": seconds}
                if (await connection.execute(_ADD_TOPIC, retention)).scalar_one():
                    wanted = {"topic": topic.name, "partitions": topic.partitions}
                    await connection.execute(_ADD_PARTITIONS, wanted)
                found = len((await connection.scalars(_PARTITIONS_OF, {"topic": topic.name})).all())
                if found < topic.partitions:
                    raise Misconfigured(
                        f"topic {topic.name} has {found} partitions, this release needs {topic.partitions}"
                    )

    async def publish(self, topic: str, records: Sequence[Record]) -> None:
        size = total_size(records)
        if not records:
            return
        timeout_seconds = self._publish_timeout_seconds
        if topic not in self._partition_ids:
            started = asyncio.get_running_loop().time()
            await self._ids_of(topic)
            timeout_seconds = max(0.0, timeout_seconds - (asyncio.get_running_loop().time() - started))
        await self._flusher_of(topic).submit([records], size=size, timeout_seconds=timeout_seconds)

    @asynccontextmanager
    async def consume(self, topics: Sequence[str], *, group: str, member: str) -> AsyncIterator[Consumer]:
        for topic in topics:
            await self._ids_of(topic)
        self._run("listen", self._listen)
        consumer = EmbeddedConsumer(
            self._database,
            topics,
            group=group,
            member=member,
            session_timeout_seconds=self._session_timeout_seconds,
            call_timeout_seconds=self._publish_timeout_seconds,
            clock=self._clock,
        )
        async with consumer:
            self._consumers.add(consumer)
            try:
                yield consumer
            finally:
                self._consumers.discard(consumer)

    async def check(self) -> None:
        try:
            await self._database.check()
        except DatabaseUnavailable as error:
            raise LogUnavailable(str(error), outcome_unknown=False) from error

    async def fails_us_alone(self) -> bool:
        """No: a connection that failed is not used again, so what fails here is PostgreSQL, which fails everybody."""
        return False

    async def topics(self) -> Mapping[str, TopicState]:
        async with answering(self._publish_timeout_seconds), self._database.transaction(ALL_WORKSPACES) as connection:
            return await reading.topics(connection)

    async def extent(self, topic: str) -> Mapping[Partition, Extent]:
        await self._ids_of(topic)
        async with answering(self._publish_timeout_seconds), self._database.transaction(ALL_WORKSPACES) as connection:
            return await reading.extent(connection, topic)

    async def browse(self, partition: Partition, *, offset: int, max_records: int) -> Sequence[ReceivedRecord]:
        await self._ids_of(partition.topic)
        async with answering(self._publish_timeout_seconds), self._database.transaction(ALL_WORKSPACES) as connection:
            return await reading.browse(connection, partition, offset=offset, max_records=max_records)

    async def group(self, name: str, topics: Sequence[str]) -> GroupState:
        for topic in topics:
            await self._ids_of(topic)
        async with answering(self._publish_timeout_seconds), self._database.transaction(ALL_WORKSPACES) as connection:
            return await reading.group(connection, name, topics, now=self._clock.now())

    async def trim(self) -> int:
        """Delete what is older than its topic's retention and committed by all groups; returns how many.

        Small transactions, so that publishers and readers never wait for it.
        """
        async with self._database.transaction(ALL_WORKSPACES) as connection:
            partitions = (await connection.execute(_TRIMMABLE)).all()
        deleted = 0
        for row in partitions:
            before = self._clock.now() - timedelta(seconds=row.retention_seconds)
            deleted += await self._trim_partition(row.id, row.floor, before)
        return deleted

    async def _trim_partition(self, partition_id: int, floor: int, before: datetime) -> int:
        deleted = 0
        while True:
            async with self._database.transaction(ALL_WORKSPACES) as connection:
                outcome = await connection.execute(
                    _TRIM, {"id": partition_id, "floor": floor, "batch": _TRIM_BATCH, "before": before}
                )
            deleted += outcome.rowcount
            if outcome.rowcount < _TRIM_BATCH:
                return deleted

    async def _trim_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(_TRIM_EVERY_SECONDS)
            try:
                deleted = await self.trim()
            except DatabaseUnavailable as error:
                logger.warning("log not trimmed", extra={"error": str(error)})
            else:
                logger.info("log trimmed", extra={"records": deleted})

    async def _listen(self) -> None:
        """Wake the consumers of this process when anybody publishes or a group changes."""
        listener = Database(self._database.url, pool_size=1)
        try:
            while True:
                try:
                    await self._listen_until_lost(listener)
                except (OSError, SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                    logger.warning("log listener lost its connection", extra={"error": type(error).__name__})
                await asyncio.sleep(_LISTEN_AGAIN_SECONDS)
        finally:
            await listener.close()

    async def _listen_until_lost(self, listener: Database) -> None:
        lost = asyncio.Event()
        async with listener.engine.connect() as connection:
            try:
                raw = await connection.get_raw_connection()
                driver: Any = raw.driver_connection
                driver.add_termination_listener(lambda *_: lost.set())
                await driver.add_listener(CHANNEL, self._wake)
                self._wake_all()
                await lost.wait()
            finally:
                # The driver is used past the pool, which would give out a dead connection again.
                await connection.invalidate()

    def _wake(self, _connection: object, _pid: int, _channel: str, about: object) -> None:
        self._wake_all(str(about))

    def _wake_all(self, about: str = "") -> None:
        for consumer in self._consumers:
            consumer.wake(about)

    def _run(self, name: str, work: Callable[[], Any]) -> None:
        if name not in self._tasks or self._tasks[name].done():
            self._tasks[name] = asyncio.create_task(work(), name=f"log {name}")

    def _flusher_of(self, topic: str) -> Flusher[Sequence[Record]]:
        if topic not in self._flushers:
            self._lanes[topic] = DirectConnection(self._database.url, timeout_seconds=self._publish_timeout_seconds)

            async def write(publications: Sequence[Sequence[Record]]) -> None:
                await self._append(topic, [record for publication in publications for record in publication])

            self._flushers[topic] = Flusher(write, max_bytes=_WRITE_BYTES)
        return self._flushers[topic]

    async def _append(self, topic: str, records: Sequence[Record]) -> None:
        columns = _columns(records, await self._ids_of(topic))
        committing = False
        try:
            async with asyncio.timeout(self._publish_timeout_seconds), self._lanes[topic].transaction() as connection:
                appended = await connection.fetchval(_APPEND, *columns, self._clock.now(), CHANNEL, topic)
                if appended != len(records):
                    raise LogUnavailable(f"partitions of {topic} have gone", outcome_unknown=False)
                committing = True
        except (DatabaseUnavailable, TimeoutError) as error:
            raise LogUnavailable(
                f"the embedded log did not take the records: {str(error) or 'timeout'}", outcome_unknown=committing
            ) from error

    async def _ids_of(self, topic: str) -> tuple[int, ...]:
        if topic not in self._partition_ids:
            async with (
                answering(self._publish_timeout_seconds),
                self._database.transaction(ALL_WORKSPACES) as connection,
            ):
                ids = tuple((await connection.scalars(_PARTITIONS_OF, {"topic": topic})).all())
            if not ids:
                raise Misconfigured(f"topic {topic} does not exist: start a leadflow service, which makes it")
            self._partition_ids[topic] = ids
        return self._partition_ids[topic]


def _columns(records: Sequence[Record], ids: Sequence[int]) -> tuple[str | bytes, ...]:
    """What _APPEND takes of records: the partitions that get any and how many; then, of each record, its partition,
    its place from the head of that on, and what it holds.
    """
    numbers = partitions_of([record.key for record in records], len(ids))
    ends = [0] * len(ids)
    places = []
    for number in numbers:
        places.append(ends[number])
        ends[number] += 1
    taken = [number for number, end in enumerate(ends) if end]
    return (
        _integers([ids[number] for number in taken]),
        _integers([ends[number] for number in taken]),
        _integers([ids[number] for number in numbers]),
        _integers(places),
        *_joined([record.key for record in records]),
        *_joined([record.value for record in records]),
        *_joined(_encoded([record.headers for record in records])),
    )


def _joined(parts: Sequence[bytes]) -> tuple[bytes, str]:
    """One after the other, and the length of each."""
    return b"".join(parts), _integers([*map(len, parts)])


def _integers(values: Sequence[int]) -> str:
    """An array as PostgreSQL reads it."""
    return f"{{{_ENCODE(values)[1:-1].decode()}}}"


def _encoded(several: Sequence[Mapping[str, bytes]]) -> list[bytes]:
    """JSON with each byte as one character, because a jsonb column would refuse NUL. Records that were published
    together share their headers, which are written once.
    """
    written = []
    last: Mapping[str, bytes] | None = None
    as_json = b""
    for headers in several:
        if headers is not last:
            last, as_json = headers, _as_json(headers)
        written.append(as_json)
    return written


def _as_json(headers: Mapping[str, bytes]) -> bytes:
    return _ENCODE({name: value.decode("latin-1") for name, value in headers.items()}) if headers else b""
