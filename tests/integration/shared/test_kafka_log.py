"""What only the Kafka engine does: a producer that is replaced, members that keep their place."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import OutOfOrderSequenceNumber

from shared.errors import LogUnavailable, Misconfigured
from shared.events.topics import TopicSpec
from shared.log.kafka import KafkaLog
from shared.log.kafka_consumer import KafkaConsumer
from shared.log.partitioner import partitions_of
from shared.log.protocol import Partition, ReceivedRecord, Record, next_offsets
from tests.support.kafka_broker import KafkaBroker
from tests.support.leadflow_process import free_port
from tests.support.log_engines import a_topic
from tests.support.waiting import wait_until

pytestmark = pytest.mark.kafka

# Enough for every partition to have one.
KEYS = [str(number).encode() for number in range(20)]


@pytest.fixture
async def log(kafka_bootstrap: str) -> AsyncIterator[KafkaLog]:
    log = KafkaLog(kafka_bootstrap, session_timeout_seconds=10, static_members=True)
    await log.start()
    yield log
    await log.stop()


@pytest.fixture
async def topic(log: KafkaLog) -> TopicSpec:
    topic = a_topic(partitions=2)
    await log.ensure_topics([topic])
    return topic


async def out_of_order(*_: Any, **__: Any) -> None:
    """What a producer does that lost its place."""
    raise OutOfOrderSequenceNumber


async def test_a_producer_that_lost_its_sequence_for_good_is_replaced(
    log: KafkaLog, topic: TopicSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = log._producer
    monkeypatch.setattr(broken, "send_batch", out_of_order)
    for _ in range(2):
        with pytest.raises(LogUnavailable):
            await log.publish(topic.name, [Record(b"key", b"lost")])

    await log.publish(topic.name, [Record(b"key", b"kept")])

    assert log._producer is not broken


async def test_a_producer_that_lost_its_sequence_in_one_partition_is_replaced_though_others_take_records(
    log: KafkaLog, topic: TopicSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = log._producer
    assert broken is not None
    send_batch = broken.send_batch
    by_partition = {number: key for key in KEYS for number in partitions_of([key], 2)}

    async def out_of_order_in_one(*arguments: Any, partition: int) -> Any:
        if partition == 0:
            raise OutOfOrderSequenceNumber
        return await send_batch(*arguments, partition=partition)

    monkeypatch.setattr(broken, "send_batch", out_of_order_in_one)
    for _ in range(2):
        with pytest.raises(LogUnavailable):
            await log.publish(topic.name, [Record(by_partition[0], b"lost")])
        if log._producer is broken:
            await log.publish(topic.name, [Record(by_partition[1], b"kept")])

    await log.publish(topic.name, [Record(by_partition[0], b"kept")])

    assert log._producer is not broken


async def test_a_producer_that_could_not_be_replaced_at_once_is_replaced_later(
    log: KafkaLog, topic: TopicSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = log._producer
    monkeypatch.setattr(broken, "send_batch", out_of_order)
    with monkeypatch.context() as away:
        away.setattr(log, "_bootstrap_servers", f"127.0.0.1:{free_port()}")
        for _ in range(3):
            with pytest.raises(LogUnavailable):
                await log.publish(topic.name, [Record(b"key", b"lost")])

    async def is_replaced() -> bool:
        with suppress(LogUnavailable):
            await log.publish(topic.name, [Record(b"key", b"kept")])
            return log._producer is not broken
        return False

    await wait_until(is_replaced, "a new producer")


async def test_a_consumer_whose_commits_nobody_answers_any_more_is_replaced(
    topic: TopicSpec, kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = KafkaLog(kafka_bootstrap, publish_timeout_seconds=3, session_timeout_seconds=10, static_members=True)
    await log.start()
    await log.publish(topic.name, [Record(b"key", b"value")])

    async def hang(*_: Any) -> None:
        await asyncio.Event().wait()

    async with log.consume([topic.name], group=topic.name, member="steady") as consumer:
        assert isinstance(consumer, KafkaConsumer)

        async def polled() -> bool:
            found[:] = await consumer.poll(max_records=10, timeout_seconds=1)
            return bool(found)

        found: list[ReceivedRecord] = []
        await wait_until(polled, "the record")
        monkeypatch.setattr(consumer._consumer, "commit", hang)
        for _ in range(2):
            with pytest.raises(LogUnavailable):
                await consumer.commit(next_offsets(found))

        await wait_until(polled, "the record again")
        await consumer.commit(next_offsets(found))
    await log.stop()


async def test_trouble_is_ones_own_only_while_the_topics_take_records(
    kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = a_topic(partitions=1)
    log = KafkaLog(kafka_bootstrap, prefix=f"{topic.name}-alone-")
    await log.start()
    await log.ensure_topics([topic])
    whole = await log.fails_us_alone()

    async with log._admin() as admin:
        place = ConfigResource(ConfigResourceType.TOPIC, log._prefix + topic.name, {"min.insync.replicas": "2"})
        await admin.alter_configs([place])

    async def needs_a_second_copy() -> bool:
        return (await log.topics())[topic.name].min_in_sync == 2

    await wait_until(needs_a_second_copy, "two copies are asked for")
    short = await log.fails_us_alone()
    monkeypatch.setattr(log._reader, "_bootstrap_servers", f"127.0.0.1:{free_port()}")
    away = await log.fails_us_alone()
    await log.stop()

    assert (whole, short, away) == (True, False, False)


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
async def test_records_are_kept_packed_and_read_by_whoever_packs_otherwise(
    kafka_broker: KafkaBroker, kafka_bootstrap: str, log: KafkaLog, compression: str
) -> None:
    topic, packing = a_topic(partitions=1), KafkaLog(kafka_bootstrap, compression=compression)
    written = [Record(b"key", b'{"type": "page_viewed"}' * 100) for _ in range(50)]
    await packing.start()
    await packing.ensure_topics([topic])

    await packing.publish(topic.name, written)

    read = await log.browse(Partition(topic.name, 0), offset=0, max_records=100)
    await packing.stop()
    assert [record.value for record in read] == [record.value for record in written]
    if kafka_broker.controllable:
        kept = sum(segment.stat().st_size for segment in (kafka_broker.data / f"{topic.name}-0").glob("*.log"))
        assert kept < sum(len(record.value) for record in written) / 10


async def test_what_is_older_than_its_retention_is_deleted_by_the_broker(
    log: KafkaLog, kafka_broker: KafkaBroker
) -> None:
    if not kafka_broker.controllable:
        pytest.skip("only a broker of our own looks for old segments every few seconds")
    brief = replace(a_topic(partitions=1), retention_seconds=3)
    await log.ensure_topics([brief])
    partition = Partition(brief.name, 0)
    await log.publish(brief.name, [Record(b"key", b"a canary")])
    before = (await log.extent(brief.name))[partition]

    async def has_expired() -> bool:
        extent = (await log.extent(brief.name))[partition]
        return extent.first == extent.end == before.end

    def is_off_the_disk() -> bool:
        segments = (kafka_broker.data / f"{brief.name}-0").glob("*.log*")
        return sum(segment.stat().st_size for segment in segments) == 0

    assert before.end == 1
    await wait_until(has_expired, "the record has expired", timeout_seconds=90, every_seconds=0.2)
    await wait_until(is_off_the_disk, "its segment is deleted", timeout_seconds=90, every_seconds=0.2)


async def test_a_static_member_that_restarts_gets_its_partitions_back_without_waiting(
    topic: TopicSpec, kafka_bootstrap: str
) -> None:
    log = KafkaLog(kafka_bootstrap, session_timeout_seconds=100, static_members=True)
    await log.start()
    for _ in range(2):
        async with log.consume([topic.name], group=topic.name, member="steady") as consumer:
            await wait_until(lambda: len(consumer.assignment()) == 2, "both partitions", timeout_seconds=50)
    await log.stop()


async def test_topics_are_made_with_their_retention_and_the_brokers_time(
    log: KafkaLog, topic: TopicSpec, kafka_bootstrap: str
) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()
    (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic.name)])
    await admin.close()

    settings = {entry[0]: entry[1] for entry in answer.resources[0][4]}
    assert settings["retention.ms"] == "86400000"
    assert settings["message.timestamp.type"] == "LogAppendTime"


async def test_more_replicas_than_brokers_is_a_misconfiguration(kafka_bootstrap: str) -> None:
    log = KafkaLog(kafka_bootstrap, replication_factor=99)
    await log.start()

    with pytest.raises(Misconfigured, match="InvalidReplicationFactor"):
        await log.ensure_topics([a_topic()])

    await log.stop()
