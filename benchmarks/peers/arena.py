"""Broker and PostgreSQL of the benchmark, real and on this machine, and what they have used of its processors."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from sqlalchemy.engine import make_url

from benchmarks.bench.machine import processor_seconds
from shared.db.embedded_postgres import EmbeddedPostgres
from shared.events.topics import ALL_TOPICS, ENGAGEMENT_EVENTS, TopicSpec
from shared.log.kafka import KafkaLog
from shared.log.protocol import Record
from tests.support.kafka_broker import LocalBroker
from tests.support.postgres import PostgresServer

CROSSINGS = replace(ENGAGEMENT_EVENTS, name="crossings")
_PEERS_TOPICS = (ENGAGEMENT_EVENTS, CROSSINGS)
_LEADFLOWS_TOPICS = (*ALL_TOPICS, CROSSINGS)
_POLL_MS = 200
_READ_SECONDS = 60.0
_CHUNK = 2000


@dataclass(frozen=True, slots=True)
class Arena:
    """What every run is held in."""

    broker: LocalBroker
    postgres: PostgresServer
    postmaster: int
    socket_directory: str
    directory: Path

    def used(self) -> tuple[float, float]:
        """Processor seconds of PostgreSQL and of the broker so far."""
        return _with_children(self.postmaster), processor_seconds(self.broker.pid)

    def changelogs(self, prefix: str) -> list[Path]:
        """Where the broker keeps the topics that an engine has made for itself under `prefix`."""
        known = tuple(prefix + topic.name for topic in _LEADFLOWS_TOPICS)
        return [place for place in self.broker.data.glob(f"*{prefix}*") if not place.name.startswith(known)]


@asynccontextmanager
async def arena(directory: Path, broker: LocalBroker) -> AsyncIterator[Arena]:
    """A PostgreSQL with a migrated template, beside `broker`."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(EmbeddedPostgres(directory).running())
        server = PostgresServer(url, prefix="peers")
        await server.make_template()
        postmaster = int((directory / "postgresql" / "postmaster.pid").read_text().split("\n", 1)[0])
        yield Arena(broker, server, postmaster, str(make_url(url).query["host"]), directory)


async def load(bootstrap: str, prefix: str, records: Sequence[tuple[bytes, bytes]]) -> None:
    """Topics of their own for one run of leadflow, and the records in them."""
    async with feeding(bootstrap, prefix, leadflow=True) as feed:
        await feed.publish(records)


@dataclass(frozen=True, slots=True)
class Feed:
    """The topic that everybody reads, and who writes it."""

    log: KafkaLog

    async def publish(self, records: Sequence[tuple[bytes, bytes]]) -> None:
        """Returns when all are acknowledged."""
        made = [Record(key, value, {"workspace": b"default"}) for key, value in records]
        for first in range(0, len(made), _CHUNK):
            await self.log.publish(ENGAGEMENT_EVENTS.name, made[first : first + _CHUNK])


@asynccontextmanager
async def feeding(bootstrap: str, prefix: str, *, leadflow: bool) -> AsyncIterator[Feed]:
    """The topics of a run: leadflow has more of them than those that its peers read and write."""
    log = KafkaLog(bootstrap, prefix=prefix, publish_timeout_seconds=60)
    await log.start()
    try:
        topics: Sequence[TopicSpec] = _LEADFLOWS_TOPICS if leadflow else _PEERS_TOPICS
        await log.ensure_topics(topics)
        yield Feed(log)
    finally:
        await log.stop()


async def make_changelogs(bootstrap: str, topics: Collection[str]) -> None:
    """Compacted topics as wide as the source, for an engine that is surer of its start if they are there."""
    async with _admin(bootstrap) as admin:
        compacted = {"cleanup.policy": "compact"}
        await admin.create_topics(
            [NewTopic(topic, ENGAGEMENT_EVENTS.partitions, 1, topic_configs=compacted) for topic in topics]
        )


async def forget(bootstrap: str, prefix: str) -> None:
    """Delete the topics of a run, so that the broker has no more to look after in the last run than in the first."""
    async with _admin(bootstrap) as admin:
        done = [topic for topic in await admin.list_topics() if prefix in topic]
        if done:
            await admin.delete_topics(done)


async def unread(bootstrap: str, group: str, topic: str) -> tuple[dict[int, int], int]:
    """Where a group reads each partition of a topic from, by what it has committed, and how many records that is."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    async with _admin(bootstrap) as admin:
        committed = await admin.list_consumer_group_offsets(group)
    await consumer.start()
    try:
        places = [TopicPartition(topic, number) for number in await _partitions(consumer, topic)]
        ends: Mapping[TopicPartition, int] = await consumer.end_offsets(places)
    finally:
        await consumer.stop()
    # A partition without a commit is read from its beginning; Kafka tells -1 for some of those.
    first = {place: max(0, committed[place].offset if place in committed else 0) for place in places}
    return {place.partition: first[place] for place in places}, sum(ends[place] - first[place] for place in places)


@asynccontextmanager
async def _admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def read_all(bootstrap: str, topic: str) -> list[tuple[bytes, bytes | None]]:
    """Every committed record of a topic, as (key, value), each partition in its order; none if there is no topic."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_committed", auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        numbers = consumer.partitions_for_topic(topic) or await _partitions(consumer, topic)
        places = [TopicPartition(topic, number) for number in numbers]
        if not places:
            return []
        consumer.assign(places)
        ends: Mapping[TopicPartition, int] = await consumer.end_offsets(places)
        found: list[tuple[bytes, bytes | None]] = []
        deadline = time.monotonic() + _READ_SECONDS
        while not await _all_read(consumer, ends, but=0):
            batches = await consumer.getmany(timeout_ms=_POLL_MS, max_records=5000)
            found += [(one.key or b"", one.value) for records in batches.values() for one in records]
            # The last record of a transaction is a marker, which no consumer is shown.
            if not batches and await _all_read(consumer, ends, but=1):
                break
            if time.monotonic() > deadline:
                raise TimeoutError(f"{topic} could not be read to its end")
        return found
    finally:
        await consumer.stop()


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> set[int]:
    cluster = await consumer._client.fetch_all_metadata()  # noqa: SLF001 - a topic that nobody has subscribed to
    return set(cluster.partitions_for_topic(topic) or ())


async def _all_read(consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int], *, but: int) -> bool:
    positions = {place: await consumer.position(place) for place in ends}
    return all(positions[place] >= end - but for place, end in ends.items())


@asynccontextmanager
async def over_tcp(socket_directory: str) -> AsyncIterator[int]:
    """A port that leads to PostgreSQL's socket, for a driver that knows no sockets."""

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_unix_connection(f"{socket_directory}/.s.PGSQL.5432")
        await asyncio.gather(_pipe(reader, upstream_writer), _pipe(upstream_reader, writer))

    server = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def table(url: str) -> None:
    """The table of class B, in a database of its own."""
    connection = await asyncpg.connect(url)
    await connection.execute(
        "CREATE SCHEMA peers; CREATE TABLE peers.lead (key text PRIMARY KEY, score float8 NOT NULL,"
        " events bigint NOT NULL, last_us bigint NOT NULL) WITH (fillfactor = 90)"
    )
    await connection.close()


def _with_children(pid: int) -> float:
    """A server that has a process per connection: its own time, that of those gone, and of those here."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return _with_gone(pid) + sum(_used(int(child)) for child in children)


def _used(pid: int) -> float:
    try:
        return processor_seconds(pid)
    except OSError:
        return 0.0


def _with_gone(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")
