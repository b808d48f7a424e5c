"""The log on Kafka, by aiokafka.

Its idempotent producer waits for ever when brokers are away, and so may its stop: every call here has a
timeout of its own. What timed out may still be delivered, and the errors say so.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    KafkaError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    ProducerFenced,
    TopicAlreadyExistsError,
    UnknownProducerId,
    for_code,
)

from shared.errors import InvalidInput, LogUnavailable, Misconfigured
from shared.events.topics import TopicSpec
from shared.log.flusher import Flusher
from shared.log.kafka_consumer import KafkaConsumer
from shared.log.kafka_ending import ended
from shared.log.kafka_reading import KafkaReader
from shared.log.kafka_security import PLAINTEXT, KafkaSecurity
from shared.log.partitioner import partitions_of
from shared.log.protocol import (
    MAX_RECORD_BYTES,
    Consumer,
    Extent,
    GroupState,
    Partition,
    ReceivedRecord,
    Record,
    TopicState,
    sizes_of,
    total_size,
)

logger = logging.getLogger(__name__)

_BATCH_BYTES = 512 * 1024
_WRITE_BYTES = 4 * 1024 * 1024
_REQUEST_TIMEOUT_MS = 10_000
_CHECK_SECONDS = 1.0
_STOP_SECONDS = 3.0
_ABANDON_SECONDS = 1.0
_ADMIN_SECONDS = 20.0
_ADMIN_RETRY_SECONDS = 0.2
# One of these can be chance; after two in a row in one partition the producer does not recover by itself.
_PRODUCER_FAULTS = (
    OutOfOrderSequenceNumber,
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    UnknownProducerId,
    ProducerFenced,
    ProducerClosed,
)
_TOLERATED_FAULTS = 1
# The broker's time, so that ages do not depend on the senders' clocks.
_TOPIC_CONFIGURATION = {"message.timestamp.type": "LogAppendTime"}
_LONGEST_SEGMENT_SECONDS = 86_400
_MINIMUM_IN_SYNC = {"min.insync.replicas": "2"}


class KafkaLog:
    """The engine `kafka`.

    With `static_members` a restarted consumer takes its place back without a rebalance, and one that
    leaves for good is missed only after the session timeout. `prefix` goes before the names of topics and
    groups on the broker, so that several leadflows can share one.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        *,
        security: KafkaSecurity = PLAINTEXT,
        replication_factor: int = 1,
        compression: str = "none",
        publish_timeout_seconds: float = 5.0,
        session_timeout_seconds: float = 30.0,
        static_members: bool = False,
        prefix: str = "",
        retention_seconds: Mapping[str, int] | None = None,
    ) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._retention_seconds = retention_seconds or {}
        self._security = security
        self._prefix = prefix
        self._replication_factor = replication_factor
        self._compression = None if compression == "none" else compression
        self._publish_timeout_seconds = publish_timeout_seconds
        self._session_timeout_seconds = session_timeout_seconds
        self._static_members = static_members
        self._producer: AIOKafkaProducer | None = None
        self._renewal: asyncio.Task[AIOKafkaProducer] | None = None
        self._faults_in_row: dict[tuple[str, int], int] = {}
        self._flushers: dict[tuple[str, int], Flusher[Record]] = {}
        self._reader = KafkaReader(
            bootstrap_servers, security=security, prefix=prefix, timeout_seconds=publish_timeout_seconds
        )

    async def start(self) -> None:
        self._producer = await self._started_producer()

    async def stop(self) -> None:
        closing = [asyncio.ensure_future(flusher.close()) for flusher in self._flushers.values()]
        self._flushers.clear()
        if closing:
            await asyncio.wait(closing, timeout=_STOP_SECONDS)
        renewal, self._renewal = self._renewal, None
        if renewal is not None:
            renewal.cancel()
            await asyncio.wait([renewal])
        producer, self._producer = self._producer, None
        if producer is not None:
            await _stop_producer(producer)

    async def ensure_topics(self, topics: Sequence[TopicSpec]) -> None:
        topics = [
            replace(
                topic,
                name=self._prefix + topic.name,
                retention_seconds=self._retention_seconds.get(topic.name, topic.retention_seconds),
            )
            for topic in topics
        ]
        try:
            async with asyncio.timeout(_ADMIN_SECONDS), self._admin() as admin:
                while True:
                    if await self._all_usable(admin, topics):
                        return
                    await asyncio.sleep(_ADMIN_RETRY_SECONDS)
        except (KafkaError, TimeoutError, OSError) as error:
            raise LogUnavailable(f"Kafka did not make the topics: {error!r}", outcome_unknown=True) from error

    async def publish(self, topic: str, records: Sequence[Record]) -> None:
        total_size(records)
        if not records:
            return
        topic = self._prefix + topic
        deadline = asyncio.get_running_loop().time() + self._publish_timeout_seconds
        count = await self._partition_count(topic)
        lanes: dict[int, list[Record]] = {}
        numbers = partitions_of([record.key for record in records], count)
        for number, record in zip(numbers, records, strict=True):
            lanes.setdefault(number, []).append(record)
        remaining = max(0.0, deadline - asyncio.get_running_loop().time())
        if len(lanes) == 1:
            ((number, lane),) = lanes.items()
            await self._submit(topic, number, lane, remaining)
            return
        outcomes = await asyncio.gather(
            *(self._submit(topic, number, lane, remaining) for number, lane in lanes.items()),
            return_exceptions=True,
        )
        _raise_worst(outcomes)

    @asynccontextmanager
    async def consume(self, topics: Sequence[str], *, group: str, member: str) -> AsyncIterator[Consumer]:
        for topic in topics:
            await self._partition_count(self._prefix + topic)
        consumer = KafkaConsumer(
            self._bootstrap_servers,
            topics,
            security=self._security,
            prefix=self._prefix,
            group=group,
            member=member,
            static=self._static_members,
            session_timeout_seconds=self._session_timeout_seconds,
            call_timeout_seconds=self._publish_timeout_seconds,
        )
        async with consumer:
            yield consumer

    async def check(self) -> None:
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                await (await self._opened()).client.fetch_all_metadata()
        except (KafkaError, TimeoutError, OSError) as error:
            raise LogUnavailable(f"Kafka does not answer: {error!r}", outcome_unknown=False) from error

    async def fails_us_alone(self) -> bool:
        """Asked by connections of its own: those of the producer may be what is broken."""
        try:
            return all(topic.takes_records for topic in (await self._reader.topics()).values())
        except LogUnavailable:
            return False

    async def topics(self) -> Mapping[str, TopicState]:
        return await self._reader.topics()

    async def extent(self, topic: str) -> Mapping[Partition, Extent]:
        await self._partition_count(self._prefix + topic)
        return await self._reader.extent(topic)

    async def browse(self, partition: Partition, *, offset: int, max_records: int) -> Sequence[ReceivedRecord]:
        return await self._reader.browse(partition, offset=offset, max_records=max_records)

    async def group(self, name: str, topics: Sequence[str]) -> GroupState:
        return await self._reader.group(name, topics)

    async def _submit(self, topic: str, number: int, lane: Sequence[Record], timeout_seconds: float) -> None:
        flusher = self._flusher_of(topic, number)
        await flusher.submit(lane, size=sum(sizes_of(lane)), timeout_seconds=timeout_seconds)

    def _flusher_of(self, topic: str, number: int) -> Flusher[Record]:
        if (topic, number) not in self._flushers:

            async def write(records: Sequence[Record]) -> None:
                await self._write(topic, number, records)

            self._flushers[topic, number] = Flusher(write, max_bytes=_WRITE_BYTES)
        return self._flushers[topic, number]

    async def _write(self, topic: str, number: int, records: Sequence[Record]) -> None:
        """One partition's records in as few batches as hold them; each batch is acknowledged as one."""
        acknowledged: list[asyncio.Future[Any]] = []
        try:
            async with asyncio.timeout(self._publish_timeout_seconds):
                producer = await self._opened()
                for batch in _batches(producer, records):
                    sent = await producer.send_batch(batch, topic, partition=number)
                    # One by one: what went out before a failure decides whether the outcome is known.
                    acknowledged.append(sent)
                await asyncio.gather(*acknowledged)
        except MessageSizeTooLargeError as error:
            raise InvalidInput("the broker takes no record of this size", code="record_too_large") from error
        except (KafkaError, TimeoutError, OSError) as error:
            await self._count_fault(error, (topic, number))
            raise LogUnavailable(f"Kafka did not confirm: {error!r}", outcome_unknown=bool(acknowledged)) from error
        finally:
            for future in acknowledged:
                future.add_done_callback(_retrieve)
        self._faults_in_row.pop((topic, number), None)

    async def _count_fault(self, error: Exception, lane: tuple[str, int]) -> None:
        """Give the producer up when this partition does not get over it, however well the others do."""
        if not isinstance(error, _PRODUCER_FAULTS):
            return
        in_row = self._faults_in_row[lane] = self._faults_in_row.get(lane, 0) + 1
        logger.warning("producer fault", extra={"error": type(error).__name__, "in_row": in_row})
        if in_row <= _TOLERATED_FAULTS or self._producer is None:
            return
        broken, self._producer = self._producer, None
        self._faults_in_row.clear()
        self._renew()
        await _stop_producer(broken)

    async def _opened(self) -> AIOKafkaProducer:
        """The producer, or a new one in place of one that was given up; tried again as long as Kafka is away."""
        if self._producer is not None:
            return self._producer
        if self._renewal is None:
            raise LogUnavailable("the connection to Kafka is closed", outcome_unknown=False)
        # Many wait for it, and those that give up waiting do not end it.
        return await asyncio.shield(self._renew() if self._renewal.done() else self._renewal)

    def _renew(self) -> "asyncio.Task[AIOKafkaProducer]":
        self._renewal = asyncio.create_task(self._renewed_producer(), name="Kafka producer renewal")
        self._renewal.add_done_callback(_retrieve)
        return self._renewal

    async def _renewed_producer(self) -> AIOKafkaProducer:
        self._producer = producer = await self._started_producer()
        return producer

    async def _started_producer(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap_servers,
            **self._security.options,
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            compression_type=self._compression,
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
            max_batch_size=_BATCH_BYTES,
            max_request_size=MAX_RECORD_BYTES,
        )
        try:
            async with asyncio.timeout(self._publish_timeout_seconds):
                await producer.start()
        except asyncio.CancelledError:
            await _stop_producer(producer)
            raise
        except (KafkaError, TimeoutError, OSError) as error:
            await _stop_producer(producer)
            raise LogUnavailable(
                f"Kafka at {self._bootstrap_servers} does not answer: {error!r}", outcome_unknown=False
            ) from error
        return producer

    async def _partition_count(self, topic: str) -> int:
        try:
            async with asyncio.timeout(self._publish_timeout_seconds):
                client = (await self._opened()).client
                found = client.cluster.partitions_for_topic(topic)
                if not found:
                    found = (await client.fetch_all_metadata()).partitions_for_topic(topic)
        except (KafkaError, TimeoutError, OSError) as error:
            raise LogUnavailable(f"Kafka does not answer: {error!r}", outcome_unknown=False) from error
        if not found:
            raise Misconfigured(f"topic {topic} does not exist: start a leadflow service, which makes it")
        return len(found)

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap_servers, **self._security.options)
        try:
            await admin.start()
            yield admin
        finally:
            await ended(admin.close(), timeout_seconds=_ABANDON_SECONDS)

    async def _all_usable(self, admin: AIOKafkaAdminClient, topics: Sequence[TopicSpec]) -> bool:
        """Whether each topic has all of its partitions, each with a leader; the missing are asked for."""
        found = {topic["topic"]: topic["partitions"] for topic in await admin.describe_topics()}
        missing = [topic for topic in topics if topic.name not in found]
        if missing:
            await self._create(admin, missing)
            return False
        for topic in topics:
            if len(found[topic.name]) < topic.partitions:
                raise Misconfigured(
                    f"topic {topic.name} has {len(found[topic.name])} partitions, leadflow needs "
                    f"{topic.partitions}: add them with kafka-topics --alter --partitions"
                )
        return all(part["leader"] >= 0 for topic in topics for part in found[topic.name])

    async def _create(self, admin: AIOKafkaAdminClient, topics: Sequence[TopicSpec]) -> None:
        response = await admin.create_topics([self._new_topic(topic) for topic in topics])
        for name, code, *message in response.topic_errors:
            kind = for_code(code)
            if code == 0 or kind is TopicAlreadyExistsError or kind.retriable:
                continue
            raise Misconfigured(f"Kafka refuses to make topic {name}: {kind.__name__} {' '.join(map(str, message))}")

    def _new_topic(self, topic: TopicSpec) -> NewTopic:
        configuration = {
            **_TOPIC_CONFIGURATION,
            "retention.ms": str(topic.retention_seconds * 1000),
            # Only whole segments are deleted, and never the one that is written to.
            "segment.ms": str(min(topic.retention_seconds, _LONGEST_SEGMENT_SECONDS) * 1000),
        }
        if self._replication_factor >= 3:
            configuration |= _MINIMUM_IN_SYNC
        return NewTopic(topic.name, topic.partitions, self._replication_factor, topic_configs=configuration)


def _batches(producer: AIOKafkaProducer, records: Sequence[Record]) -> list[Any]:
    """Batches that the producer sends as they are: one future each, instead of one per record."""
    batches = []
    batch = None
    for record in records:
        if batch is None or not _appended(batch, record):
            batch = producer.create_batch()
            batches.append(batch)
            # A batch of its own holds a record of any size that the log takes.
            _appended(batch, record)
    return batches


def _appended(batch: Any, record: Record) -> bool:
    metadata = batch.append(timestamp=None, key=record.key, value=record.value, headers=list(record.headers.items()))
    return metadata is not None


def _retrieve(future: "asyncio.Future[Any]") -> None:
    """Nobody waits for a timed-out send any more; its late error is no news."""
    if not future.cancelled():
        future.exception()


def _raise_worst(outcomes: Sequence[BaseException | None]) -> None:
    """Some partitions may have taken their records: then the outcome of the whole is not known."""
    errors = [outcome for outcome in outcomes if outcome is not None]
    if not errors:
        return
    for error in errors:
        if not isinstance(error, LogUnavailable):
            raise error
    unknown = len(errors) < len(outcomes) or any(getattr(error, "outcome_unknown", True) for error in errors)
    raise LogUnavailable(str(errors[0]), outcome_unknown=unknown) from errors[0]


async def _stop_producer(producer: AIOKafkaProducer) -> None:
    """Flush if that is quick. Else nothing of this producer may stay behind: it would send later, unasked."""
    if await ended(producer.stop(), timeout_seconds=_STOP_SECONDS):
        return
    sender = producer._sender.sender_task  # noqa: SLF001 - aiokafka has no way to stop without flushing
    if sender is not None:
        sender.cancel()
        await asyncio.wait([sender], timeout=_ABANDON_SECONDS)
    await ended(producer.client.close(), timeout_seconds=_ABANDON_SECONDS)
