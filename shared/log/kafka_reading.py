"""A Kafka cluster as people look at it: topics, what they hold, records without a group, groups from outside.

Every question opens connections of its own and closes them again: nobody asks often.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from shared.errors import LogUnavailable, Misconfigured
from shared.log.kafka_ending import ended
from shared.log.kafka_security import KafkaSecurity
from shared.log.protocol import BROWSED_BYTES, Extent, GroupState, Lag, Partition, ReceivedRecord, TopicState

_POLL_MS = 200
_FETCHED_BYTES = 1024 * 1024
# To see the first record of each partition. What was fetched lies in cycles of aiokafka's for a while, and a scorer
# that is behind looks again and again how far: with the megabyte of old it grew by eight each time.
_FIRST_BYTES = 64 * 1024
_CLOSE_SECONDS = 2.0
_LIVE_STATES = {"Stable", "PreparingRebalance", "CompletingRebalance"}
_FIELD_STATE, _FIELD_MEMBERS = 2, 5
_MIN_IN_SYNC = "min.insync.replicas"


class KafkaReader:
    """Looks at the topics and groups whose names begin with `prefix`; every answer within `timeout_seconds`."""

    def __init__(
        self, bootstrap_servers: str, *, security: KafkaSecurity, prefix: str, timeout_seconds: float
    ) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._security = security
        self._prefix = prefix
        self._timeout_seconds = timeout_seconds

    async def topics(self) -> Mapping[str, TopicState]:
        async with self._answering(), self._admin() as admin:
            found = {
                topic["topic"]: topic["partitions"]
                for topic in await admin.describe_topics()
                if topic["topic"].startswith(self._prefix) and topic["partitions"]
            }
            needed = await _min_in_sync(admin, found)
        return {
            name.removeprefix(self._prefix): _state(partitions, needed.get(name))
            for name, partitions in found.items()
        }

    async def extent(self, topic: str) -> Mapping[Partition, Extent]:
        async with self._answering(), self._consumer() as consumer:
            extents = await self._extents(consumer, [topic])
        return {self._in_protocol(place): extent for place, extent in extents.items()}

    async def browse(self, partition: Partition, *, offset: int, max_records: int) -> Sequence[ReceivedRecord]:
        place = TopicPartition(self._prefix + partition.topic, partition.number)
        async with self._answering(), self._consumer() as consumer:
            extent = (await self._extents(consumer, [partition.topic])).get(place)
            if extent is None:
                return []
            consumer.assign([place])
            consumer.seek(place, max(offset, extent.first))
            records = await _until(consumer, place, end=extent.end, max_records=max_records)
        return [self._received(record) for record in records]

    async def group(self, name: str, topics: Sequence[str]) -> GroupState:
        async with self._answering():
            async with self._admin() as admin:
                members = await _members(admin, self._prefix + name)
                committed = await admin.list_consumer_group_offsets(self._prefix + name)
            async with self._consumer(most_bytes=_FIRST_BYTES) as consumer:
                waiting = {
                    place: Extent(max(extent.first, _committed(committed, place)), extent.end)
                    for place, extent in (await self._extents(consumer, topics)).items()
                }
                oldest = await _oldest(consumer, waiting)
        now = datetime.now(UTC)
        return GroupState(
            members=members,
            lag={
                self._in_protocol(place): Lag(
                    max(0, extent.end - extent.first),
                    max(0.0, (now - oldest[place]).total_seconds()) if place in oldest else 0.0,
                )
                for place, extent in waiting.items()
            },
        )

    async def _extents(self, consumer: AIOKafkaConsumer, topics: Sequence[str]) -> dict[TopicPartition, Extent]:
        places: list[TopicPartition] = []
        # Without a subscription nobody asks for it, and a question for offsets then waits a tenth of a second.
        if not await consumer._client.force_metadata_update():  # noqa: SLF001
            raise KafkaError("no broker tells which topics there are")
        for topic in topics:
            numbers = consumer.partitions_for_topic(self._prefix + topic)
            if not numbers:
                raise Misconfigured(f"topic {topic} does not exist: start a leadflow service, which makes it")
            places += [TopicPartition(self._prefix + topic, number) for number in sorted(numbers)]
        first, end = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        return {place: Extent(first[place], end[place]) for place in places}

    def _in_protocol(self, place: TopicPartition) -> Partition:
        return Partition(place.topic.removeprefix(self._prefix), place.partition)

    def _received(self, record: ConsumerRecord) -> ReceivedRecord:
        return ReceivedRecord(
            partition=self._in_protocol(TopicPartition(record.topic, record.partition)),
            offset=record.offset,
            key=record.key or b"",
            value=record.value or b"",
            headers=dict(record.headers),
            published_at=_published_at(record),
        )

    @asynccontextmanager
    async def _answering(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                yield
        except (KafkaError, TimeoutError, OSError) as error:
            raise LogUnavailable(f"Kafka does not answer: {error!r}", outcome_unknown=False) from error

    @asynccontextmanager
    async def _consumer(self, *, most_bytes: int = _FETCHED_BYTES) -> AsyncIterator[AIOKafkaConsumer]:
        """With up to `most_bytes` of each partition at once, or a single batch of records if that is larger."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap_servers,
            **self._security.options,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_partition_fetch_bytes=most_bytes,
        )
        try:
            await consumer.start()
            yield consumer
        finally:
            await ended(consumer.stop(), timeout_seconds=_CLOSE_SECONDS)

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap_servers, **self._security.options)
        try:
            await admin.start()
            yield admin
        finally:
            await ended(admin.close(), timeout_seconds=_CLOSE_SECONDS)


async def _min_in_sync(admin: AIOKafkaAdminClient, topics: Iterable[str]) -> dict[str, int]:
    """By topic; without those whose configuration Kafka does not let this login see."""
    asked = [ConfigResource(ConfigResourceType.TOPIC, name, {_MIN_IN_SYNC: ""}) for name in topics]
    return {
        name: int(entries[0][1])
        for response in await admin.describe_configs(asked)
        for _, _, _, name, entries in response.resources
        if entries
    }


def _state(partitions: Sequence[Mapping[str, Any]], min_in_sync: int | None) -> TopicState:
    return TopicState(
        partitions=len(partitions),
        replicas=min(len(part["replicas"]) for part in partitions),
        in_sync=min(len(part["isr"]) for part in partitions),
        leaderless=sum(part["leader"] < 0 for part in partitions),
        min_in_sync=min_in_sync,
    )


async def _members(admin: AIOKafkaAdminClient, group: str) -> int:
    described = await admin.describe_consumer_groups([group])
    found = [entry for response in described for entry in response.groups]
    return sum(len(entry[_FIELD_MEMBERS]) for entry in found if entry[_FIELD_STATE] in _LIVE_STATES)


def _committed(offsets: Mapping[TopicPartition, Any], place: TopicPartition) -> int:
    return max(0, offsets[place].offset) if place in offsets else 0


async def _until(
    consumer: AIOKafkaConsumer, place: TopicPartition, *, end: int, max_records: int
) -> list[ConsumerRecord]:
    """Up to `max_records` from where the consumer stands, until they are large enough together.

    Not all offsets have a record, so its place decides.
    """
    records: list[ConsumerRecord] = []
    size = 0
    while len(records) < max_records and size < BROWSED_BYTES and await consumer.position(place) < end:
        polled = await consumer.getmany(place, timeout_ms=_POLL_MS, max_records=max_records - len(records))
        more = [record for record in polled.get(place, []) if record.offset < end]
        size += sum(len(record.value or b"") for record in more)
        records += more
    return records


async def _oldest(
    consumer: AIOKafkaConsumer, waiting: Mapping[TopicPartition, Extent]
) -> dict[TopicPartition, datetime]:
    """When the first record of each of these stretches was published; none where there is no record."""
    behind = {place: extent for place, extent in waiting.items() if extent.end > extent.first}
    oldest: dict[TopicPartition, datetime] = {}
    consumer.assign(list(behind))
    for place, extent in behind.items():
        consumer.seek(place, extent.first)
    for place, extent in behind.items():
        for record in await _until(consumer, place, end=extent.end, max_records=1):
            oldest[place] = _published_at(record)
    return oldest


def _published_at(record: ConsumerRecord) -> datetime:
    return datetime.fromtimestamp(record.timestamp / 1000, UTC)
