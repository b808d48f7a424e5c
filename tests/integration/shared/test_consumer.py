"""What the metrics tell of a consumer: its own partitions, and only for as long as it has them."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from prometheus_client import REGISTRY

from shared.clock import SystemClock
from shared.consumer import ConsumerTask
from shared.db.engine import Database
from shared.events.topics import TopicSpec
from shared.log.embedded import EmbeddedLog
from shared.log.protocol import ReceivedRecord, Record
from shared.service import Context
from shared.settings import Settings
from tests.support.log_engines import a_topic
from tests.support.waiting import wait_until

pytestmark = pytest.mark.postgres

PATIENCE_SECONDS = 60.0


@pytest.fixture
async def log(database: Database) -> AsyncIterator[EmbeddedLog]:
    log = EmbeddedLog(database)
    await log.start()
    yield log
    await log.stop()


@pytest.fixture
async def topic(log: EmbeddedLog) -> TopicSpec:
    topic = a_topic(partitions=4)
    await log.ensure_topics([topic])
    return topic


async def handle(_records: Sequence[ReceivedRecord]) -> None:
    """Everything is fine."""


def told(name: str, group: str) -> list[float]:
    """The values of a metric for a group, over all partitions."""
    return [
        sample.value
        for family in REGISTRY.collect()
        for sample in family.samples
        if sample.name == name and sample.labels.get("group") == group
    ]


async def test_partitions_that_another_process_reads_now_are_told_no_longer(
    database: Database, log: EmbeddedLog, topic: TopicSpec
) -> None:
    group, stop = topic.name, asyncio.Event()
    context = Context(settings=Settings(instance="first"), database=database, log=log, clock=SystemClock())
    task = ConsumerTask(context, (topic,), group=group, handle=handle, max_records=10)
    assert told("leadflow_consumer_rebalances_total", group) == [0]
    running = asyncio.create_task(task.run(stop))
    try:
        await log.publish(topic.name, [Record(b"k", b"v", {})])

        def tells(partitions: int) -> bool:
            return len(told("leadflow_consumer_lag_seconds", group)) == partitions

        await wait_until(lambda: tells(4), "all partitions are told", timeout_seconds=PATIENCE_SECONDS)
        async with log.consume([topic.name], group=group, member="second") as second:

            async def shared() -> bool:
                await second.poll(max_records=1, timeout_seconds=0.1)
                return tells(2)

            await wait_until(shared, "only its own are told", timeout_seconds=PATIENCE_SECONDS)

        def has_handled() -> bool:
            return told("leadflow_consumer_records_total", group) == [1]

        await wait_until(has_handled, "the record is counted", timeout_seconds=PATIENCE_SECONDS)
    finally:
        stop.set()
        await running

    assert told("leadflow_consumer_batch_records_count", group) == [1]
    assert min(told("leadflow_consumer_rebalances_total", group)) >= 2
