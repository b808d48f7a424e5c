"""Everything that a world has said, read past its services: log, subscriber and tables."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from pydantic_core import from_json

from shared.events.topics import ENGAGEMENT_EVENTS
from tests.faults.world import World

SCORES, THRESHOLDS, STAGES = "lead-scores", "lead-thresholds", "lead-stages"
_READ_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A record as it lies on the log; `place` is its partition and offset, `origin` that of the one that died."""

    topic: str
    place: tuple[int, int]
    value: bytes
    origin: tuple[bytes, bytes] | None = None


@dataclass
class Said:
    """All messages of a topic by their ids: the first body of each, and every other body that the id came with."""

    bodies: dict[str, bytes] = field(default_factory=dict)
    messages: dict[str, dict[str, Any]] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    repeated: int = 0

    def hear(self, id_: str, body: bytes) -> None:
        if id_ not in self.bodies:
            self.bodies[id_], self.messages[id_] = body, from_json(body)
            return
        self.repeated += 1
        if self.bodies[id_] != body:
            self.changed.append(id_)

    def by_lead(self) -> dict[str, list[dict[str, Any]]]:
        """Messages of each lead in the order in which they were first seen."""
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for message in self.messages.values():
            found[message["subject"]].append(message)
        return found


@dataclass
class Story:
    """What came of the load."""

    topics: dict[str, Said]
    delivered: Said
    stored: set[str]
    dead: int
    published: int
    partitions: set[int] = field(default_factory=set)

    def widely_read(self, partitions: int) -> bool:
        """Whether events lie in more than the first `partitions`."""
        return any(number >= partitions for number in self.partitions)


async def read(world: World) -> Story:
    """Read all of it."""
    topics = {name: Said() for name in (SCORES, THRESHOLDS, STAGES)}
    published = 0
    partitions: set[int] = set()
    dead: set[object] = set()
    for record in await records(world):
        if record.topic in topics:
            message = from_json(record.value)
            topics[record.topic].hear(message["id"], record.value)
        if record.topic == ENGAGEMENT_EVENTS.name:
            published += 1
            partitions.add(record.place[0])
        if record.topic.endswith("-dlq"):
            dead.add((record.topic, record.origin or record.place))
    delivered = Said()
    for request in world.sink.requests:
        delivered.hear(request.headers["webhook-id"], request.body)
    stored = {row["event_id"] for row in await world.query("SELECT event_id FROM scorer.event WHERE NOT voided")}
    return Story(topics, delivered, stored, len(dead), published, partitions)


async def records(world: World) -> Sequence[LogRecord]:
    """All records of all topics, in the order of each partition."""
    if world.plan.log == "embedded":
        rows = await world.query("""
            SELECT topic, number, "offset", value, headers FROM log.records
            JOIN log.partitions ON partitions.id = records.partition_id ORDER BY topic, number, "offset"
        """)
        origins = [_origin(_headers_of(row["headers"])) for row in rows]
        return [
            LogRecord(row["topic"], (row["number"], row["offset"]), row["value"], origin)
            for row, origin in zip(rows, origins, strict=True)
        ]
    assert world.servers.broker is not None
    bootstrap = world.servers.broker.bootstrap
    async with asyncio.timeout(_READ_SECONDS):
        places = await _places(bootstrap, world.kafka_prefix)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False
        )
        await consumer.start()
        try:
            return [record async for record in _everything(consumer, places, world.kafka_prefix)]
        finally:
            await consumer.stop()


def _headers_of(stored: bytes) -> Mapping[str, bytes]:
    headers: Mapping[str, str] = from_json(stored) if stored else {}
    return {name: value.encode("latin-1") for name, value in headers.items()}


def _origin(headers: Mapping[str, bytes]) -> tuple[bytes, bytes] | None:
    partition, offset = headers.get("dead-letter-partition"), headers.get("dead-letter-offset")
    return None if partition is None or offset is None else (partition, offset)


async def _places(bootstrap: str, prefix: str) -> list[TopicPartition]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        found = await admin.describe_topics()
    finally:
        await admin.close()
    return [
        TopicPartition(topic["topic"], part["partition"])
        for topic in found
        if topic["topic"].startswith(prefix)
        for part in topic["partitions"]
    ]


async def _everything(
    consumer: AIOKafkaConsumer, places: Sequence[TopicPartition], prefix: str
) -> AsyncIterator[LogRecord]:
    ends = await consumer.end_offsets(list(places))
    wanted = {place for place, end in ends.items() if end > 0}
    consumer.assign(list(wanted))
    if not wanted:
        return
    await consumer.seek_to_beginning()
    while wanted:
        polled = await consumer.getmany(timeout_ms=500, max_records=5000)
        for place, found in polled.items():
            for record in found:
                topic, at = place.topic.removeprefix(prefix), (place.partition, record.offset)
                yield LogRecord(topic, at, record.value, _origin(dict(record.headers)))
        wanted = {place for place in wanted if await consumer.position(place) < ends[place]}
