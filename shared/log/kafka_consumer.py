"""A member of a Kafka group, by aiokafka: manual commits, and nothing committed that was taken away.

aiokafka rebalances in the background, eagerly: all partitions are revoked, then given out anew. What was
polled before a revocation can no longer be committed, even if the partition comes back; it is polled again.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, ConsumerStoppedError, IllegalStateError, KafkaError

from shared.errors import CommitRejected, LogUnavailable
from shared.failpoints import reach
from shared.log.kafka_ending import ended
from shared.log.kafka_security import KafkaSecurity
from shared.log.protocol import Lag, Partition, Rebalances, ReceivedRecord

logger = logging.getLogger(__name__)

_HEARTBEATS_PER_SESSION = 10
_LONGEST_REBALANCE_SECONDS = 60.0
# Joining a group waits for the other members, and aiokafka counts that as one request.
_REQUEST_MARGIN_SECONDS = 10.0
_LONGEST_WORK_SECONDS = 300.0
# Who divides the partitions of a group while the broker is coming back may know of none, and gives none out. A later
# look at the topics has them given out anew; aiokafka's own would come after five minutes.
_TOPICS_EVERY_SECONDS = 10.0
# aiokafka asks a broker one thing at a time: while it waits for news of idle partitions (half a second, unless told),
# a busy one whose records are in hand gets no more of them.
_NEWS_SECONDS = 0.1
# Once may be a broker that is away; aiokafka may go on waiting for a coordinator after it is back.
_TOLERATED_COMMITS = 1
_STOP_SECONDS = 3.0
_ABANDON_SECONDS = 1.0


@dataclass(slots=True)
class _Place:
    """How far one partition is, since it was given to this member."""

    committed: int
    seen: deque[tuple[int, datetime]] = field(default_factory=deque)
    behind_since: float | None = None

    def commit(self, offset: int) -> None:
        self.committed = offset
        self.behind_since = None
        while self.seen and self.seen[0][0] < offset:
            self.seen.popleft()


class KafkaConsumer(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """Begins to join on entering, leaves on exit. A broken aiokafka consumer is replaced at the next poll."""

    def __init__(
        self,
        bootstrap_servers: str,
        topics: Sequence[str],
        *,
        security: KafkaSecurity,
        prefix: str,
        group: str,
        member: str,
        static: bool,
        session_timeout_seconds: float,
        call_timeout_seconds: float,
    ) -> None:
        self._prefix = prefix
        self._topics = tuple(prefix + topic for topic in topics)
        self._group = prefix + group
        self._call_timeout_seconds = call_timeout_seconds
        rebalance_seconds = min(_LONGEST_REBALANCE_SECONDS, 2 * session_timeout_seconds)
        self._options: dict[str, Any] = {
            "bootstrap_servers": bootstrap_servers,
            **security.options,
            "client_id": member,
            "group_id": self._group,
            "group_instance_id": member if static else None,
            "enable_auto_commit": False,
            "auto_offset_reset": "earliest",
            "isolation_level": "read_committed",
            "session_timeout_ms": int(session_timeout_seconds * 1000),
            "heartbeat_interval_ms": int(session_timeout_seconds * 1000 / _HEARTBEATS_PER_SESSION),
            "rebalance_timeout_ms": int(rebalance_seconds * 1000),
            "request_timeout_ms": int((rebalance_seconds + _REQUEST_MARGIN_SECONDS) * 1000),
            "max_poll_interval_ms": int(_LONGEST_WORK_SECONDS * 1000),
            "fetch_max_wait_ms": int(_NEWS_SECONDS * 1000),
            "metadata_max_age_ms": int(_TOPICS_EVERY_SECONDS * 1000),
        }
        self._consumer: AIOKafkaConsumer | None = None
        self._places: dict[TopicPartition, _Place] = {}
        self._commits_unanswered = 0
        self._rebalances = Rebalances()
        self._without_partitions_since = time.monotonic()

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def poll(self, *, max_records: int, timeout_seconds: float) -> Sequence[ReceivedRecord]:
        consumer = self._consumer or await self._open()
        try:
            async with asyncio.timeout(timeout_seconds + self._call_timeout_seconds):
                polled = await consumer.getmany(timeout_ms=int(timeout_seconds * 1000), max_records=max_records)
        except (KafkaError, ConsumerStoppedError, TimeoutError, OSError) as error:
            await self._close()
            raise LogUnavailable(f"Kafka took the consumer down: {error!r}", outcome_unknown=False) from error
        return [self._received(record) for records in polled.values() for record in records]

    async def commit(self, offsets: Mapping[Partition, int]) -> None:
        wanted = {self._on_broker(part): offset for part, offset in offsets.items()}
        if not wanted:
            return
        if self._consumer is None or not wanted.keys() <= self._places.keys():
            raise CommitRejected("the partitions were taken away since they were polled")
        places = {partition: self._places[partition] for partition in wanted}
        try:
            async with asyncio.timeout(self._call_timeout_seconds):
                await self._consumer.commit(wanted)
        except (CommitFailedError, IllegalStateError) as error:
            self._places.clear()
            raise CommitRejected(f"the group has moved on: {error}") from error
        except (KafkaError, TimeoutError, OSError) as error:
            self._commits_unanswered += 1
            if self._commits_unanswered > _TOLERATED_COMMITS:
                await self._close()
            raise LogUnavailable(f"Kafka did not take the offsets: {error!r}", outcome_unknown=True) from error
        self._commits_unanswered = 0
        for partition, place in places.items():
            place.commit(wanted[partition])

    async def rewind(self) -> None:
        if self._consumer is None:
            return
        for partition in self._places.keys() & self._consumer.assignment():
            place = self._places[partition]
            place.seen.clear()
            with suppress(IllegalStateError):
                self._consumer.seek(partition, place.committed)

    def assignment(self) -> frozenset[Partition]:
        held = self._consumer.assignment() if self._consumer is not None else ()
        return frozenset(self._in_protocol(partition) for partition in held)

    def rebalances(self) -> Rebalances:
        return self._rebalances

    async def lag(self) -> Mapping[Partition, Lag]:
        consumer = self._consumer
        if consumer is None:
            raise LogUnavailable("the connection to Kafka is closed", outcome_unknown=False)
        try:
            async with asyncio.timeout(self._call_timeout_seconds):
                held = sorted(consumer.assignment())
                ends = await consumer.end_offsets(held) if held else {}
                committed = {partition: await self._committed(consumer, partition) for partition in held}
        except (KafkaError, TimeoutError, OSError) as error:
            raise LogUnavailable(f"Kafka does not tell the lag: {error!r}", outcome_unknown=False) from error
        return {
            self._in_protocol(partition): self._lag_of(partition, ends[partition] - offset)
            for partition, offset in committed.items()
        }

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        if tuple(revoked):
            reach("partitions-revoked")
        self._places.clear()
        self._without_partitions_since = time.monotonic()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._places.clear()
        self._rebalances += Rebalances(1, time.monotonic() - self._without_partitions_since)
        logger.info(
            "partitions assigned",
            extra={"group": self._group, "partitions": sorted(f"{p.topic}/{p.partition}" for p in assigned)},
        )

    async def _committed(self, consumer: AIOKafkaConsumer, partition: TopicPartition) -> int:
        if partition in self._places:
            return self._places[partition].committed
        committed = await consumer.committed(partition)
        if committed is None:
            committed = (await consumer.beginning_offsets([partition]))[partition]
        return int(committed)

    def _lag_of(self, partition: TopicPartition, records: int) -> Lag:
        """Kafka does not tell the age of what was not polled yet; what is known for sure is since when it waits."""
        place = self._places.get(partition)
        if place is None or records <= 0:
            return Lag(records=max(0, records), seconds=0.0)
        if place.seen:
            age = (datetime.now(UTC) - place.seen[0][1]).total_seconds()
            return Lag(records=records, seconds=max(0.0, age))
        place.behind_since = place.behind_since or time.monotonic()
        return Lag(records=records, seconds=time.monotonic() - place.behind_since)

    def _received(self, record: ConsumerRecord) -> ReceivedRecord:
        partition = TopicPartition(record.topic, record.partition)
        published_at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
        place = self._places.setdefault(partition, _Place(committed=record.offset))
        place.seen.append((record.offset, published_at))
        return ReceivedRecord(
            partition=self._in_protocol(partition),
            offset=record.offset,
            key=record.key or b"",
            value=record.value or b"",
            headers=dict(record.headers),
            published_at=published_at,
        )

    def _on_broker(self, partition: Partition) -> TopicPartition:
        return TopicPartition(self._prefix + partition.topic, partition.number)

    def _in_protocol(self, partition: TopicPartition) -> Partition:
        return Partition(partition.topic.removeprefix(self._prefix), partition.partition)

    async def _open(self) -> AIOKafkaConsumer:
        """Connect, and begin to join.

        Joining waits for members that died until their session ends, which may be longer than any call:
        giving up on it would only leave one more dead member to wait for. So it goes on behind the polls.
        """
        consumer = AIOKafkaConsumer(**self._options)
        try:
            async with asyncio.timeout(self._call_timeout_seconds):
                await consumer.start()
        except (KafkaError, TimeoutError, OSError) as error:
            await _stop_consumer(consumer)
            raise LogUnavailable(f"Kafka does not answer: {error!r}", outcome_unknown=False) from error
        consumer.subscribe(self._topics, listener=self)
        self._commits_unanswered = 0
        self._consumer = consumer
        return consumer

    async def _close(self) -> None:
        consumer, self._consumer = self._consumer, None
        self._places.clear()
        if consumer is not None:
            await _stop_consumer(consumer)


async def _stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Leave the group if that is quick; with brokers away aiokafka would wait for them."""
    if await ended(consumer.stop(), timeout_seconds=_STOP_SECONDS):
        return
    for part in (consumer._fetcher, consumer._client):  # noqa: SLF001 - no public way to stop without goodbyes
        if part is not None:
            await ended(part.close(), timeout_seconds=_ABANDON_SECONDS)
