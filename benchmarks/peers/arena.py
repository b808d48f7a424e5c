"""Broker and PostgreSQL of the benchmark, real and on this machine, and what they have used of its processors."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from sqlalchemy.engine import make_url

from benchmarks.bench.machine import processor_seconds
from shared.db.embedded_postgres import EmbeddedPostgres
from shared.events.topics import ALL_TOPICS, ENGAGEMENT_EVENTS
from shared.log.kafka import KafkaLog
from shared.log.protocol import Record
from tests.support.kafka_broker import LocalBroker
from tests.support.postgres import PostgresServer

CROSSINGS = replace(ENGAGEMENT_EVENTS, name="crossings")
_IDLE_MS = 1000
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
    """Topics of their own for one run, and the records in them."""
    log = KafkaLog(bootstrap, prefix=prefix, publish_timeout_seconds=60)
    await log.start()
    try:
        await log.ensure_topics((*ALL_TOPICS, CROSSINGS))
        made = [Record(key, value, {"workspace": b"default"}) for key, value in records]
        for first in range(0, len(made), _CHUNK):
            await log.publish(ENGAGEMENT_EVENTS.name, made[first : first + _CHUNK])
    finally:
        await log.stop()


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
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            batches = await consumer.getmany(timeout_ms=_IDLE_MS if not found else 500, max_records=5000)
            found += [(one.key or b"", one.value) for records in batches.values() for one in records]
            if not batches and await _all_read(consumer, ends):
                return found
        raise TimeoutError(f"{topic} could not be read to its end")
    finally:
        await consumer.stop()


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> set[int]:
    cluster = await consumer._client.fetch_all_metadata()  # noqa: SLF001 - a topic that nobody has subscribed to
    return set(cluster.partitions_for_topic(topic) or ())


async def _all_read(consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> bool:
    positions = {place: await consumer.position(place) for place in ends}
    # The last record of a transaction is a marker, which no consumer is shown.
    return all(positions[place] >= end - 1 for place, end in ends.items())


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
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


def _with_gone(pid: int) -> float:
    import os

    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")
