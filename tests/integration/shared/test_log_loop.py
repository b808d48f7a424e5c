"""The consumer loop on a real log: what it commits, what it waits out, and what it dies of."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from shared.db.engine import Database
from shared.errors import DatabaseUnavailable
from shared.events.topics import TopicSpec
from shared.log.dead_letter import DeadLetter, publish_dead_letters, topic_of_dead_letters
from shared.log.embedded import EmbeddedLog
from shared.log.loop import Handle, Progress, consume
from shared.log.protocol import ReceivedRecord, Record
from shared.retry import RetryPolicy
from tests.support.log_engines import a_topic
from tests.support.waiting import wait_until

pytestmark = pytest.mark.postgres

QUICK = RetryPolicy(first_seconds=0.01, longest_seconds=0.05)


@pytest.fixture
async def log(database: Database) -> AsyncIterator[EmbeddedLog]:
    log = EmbeddedLog(database, session_timeout_seconds=2)
    await log.start()
    yield log
    await log.stop()


@pytest.fixture
async def topic(log: EmbeddedLog) -> TopicSpec:
    topic = a_topic(partitions=2)
    await log.ensure_topics([topic])
    return topic


class Handler:
    """Keeps what it was given; fails as often as it is told to."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.attempts = 0
        self.handled: list[bytes] = []
        self.before: Callable[[Sequence[ReceivedRecord]], Awaitable[None]] | None = None

    async def __call__(self, records: Sequence[ReceivedRecord]) -> None:
        self.attempts += 1
        if self.before is not None:
            await self.before(records)
        if self.failures:
            raise self.failures.pop(0)
        self.handled += [record.value for record in records]


@asynccontextmanager
async def running(
    log: EmbeddedLog, topic: TopicSpec, handle: Handle, *, progress: Progress | None = None
) -> AsyncIterator["asyncio.Task[None]"]:
    """The loop as a service runs it; stopped and waited for at the end."""
    stop = asyncio.Event()
    task = asyncio.create_task(
        consume(log, [topic.name], group="g", member="m", handle=handle, stop=stop, progress=progress, policy=QUICK)
    )
    try:
        yield task
    finally:
        stop.set()
        await asyncio.wait([task], timeout=5)
        assert task.done()


def records(*values: str) -> list[Record]:
    return [Record(b"key", value.encode()) for value in values]


async def test_handled_batches_are_committed_and_do_not_come_again(log: EmbeddedLog, topic: TopicSpec) -> None:
    first, second = Handler(), Handler()
    async with running(log, topic, first):
        await log.publish(topic.name, records("a", "b"))
        await wait_until(lambda: first.handled == [b"a", b"b"], "the first batch")

    async with running(log, topic, second):
        await log.publish(topic.name, records("c"))
        await wait_until(lambda: bool(second.handled), "the second batch")

    assert second.handled == [b"c"]


async def test_passing_trouble_is_waited_out_and_the_same_batch_comes_again(
    log: EmbeddedLog, topic: TopicSpec
) -> None:
    handler, progress = Handler(DatabaseUnavailable(), DatabaseUnavailable()), Progress()
    async with running(log, topic, handler, progress=progress):
        await log.publish(topic.name, records("a", "b"))
        await wait_until(lambda: handler.handled == [b"a", b"b"], "the batch")
        await wait_until(lambda: progress.records_handled == 2, "progress")

    assert handler.attempts == 3
    assert (progress.failures_in_row, progress.paused, progress.last_error) == (0, False, None)


async def test_waiting_is_told_apart_from_being_stuck(log: EmbeddedLog, topic: TopicSpec) -> None:
    handler, progress = Handler(*[DatabaseUnavailable("away") for _ in range(10_000)]), Progress()

    async with running(log, topic, handler, progress=progress):
        await log.publish(topic.name, records("a"))
        await wait_until(lambda: progress.failures_in_row > 2, "some failures")

        assert progress.paused
        assert progress.stalled_seconds() == 0
        assert progress.last_error == "DatabaseUnavailable: away"


async def test_what_nobody_classified_ends_the_loop_and_commits_nothing(log: EmbeddedLog, topic: TopicSpec) -> None:
    async with running(log, topic, Handler(ZeroDivisionError())) as task:
        await log.publish(topic.name, records("a"))
        with pytest.raises(ZeroDivisionError):
            await task

    heir = Handler()
    async with running(log, topic, heir):
        await wait_until(lambda: heir.handled == [b"a"], "the batch again")


async def test_a_batch_whose_commit_is_rejected_is_dropped_and_read_again(log: EmbeddedLog, topic: TopicSpec) -> None:
    handler, progress = Handler(), Progress()

    async def another_member_comes_and_goes(_: Sequence[ReceivedRecord]) -> None:
        handler.before = None
        async with log.consume([topic.name], group="g", member="passer-by"):
            pass

    handler.before = another_member_comes_and_goes
    async with running(log, topic, handler, progress=progress):
        await log.publish(topic.name, records("a"))
        await wait_until(lambda: progress.records_handled == 1, "the batch")

    assert handler.handled == [b"a", b"a"]
    assert progress.commits_rejected == 1


async def test_a_stop_lets_the_batch_in_hand_finish_and_commits_it(log: EmbeddedLog, topic: TopicSpec) -> None:
    begun, finish = asyncio.Event(), asyncio.Event()
    handler, heir = Handler(), Handler()

    async def slowly(_: Sequence[ReceivedRecord]) -> None:
        begun.set()
        await finish.wait()

    handler.before = slowly
    stop = asyncio.Event()
    task = asyncio.create_task(consume(log, [topic.name], group="g", member="m", handle=handler, stop=stop))
    await log.publish(topic.name, records("a"))
    await begun.wait()
    stop.set()
    finish.set()
    await task

    assert handler.handled == [b"a"]
    async with running(log, topic, heir):
        await log.publish(topic.name, records("b"))
        await wait_until(lambda: bool(heir.handled), "the next batch")
    assert heir.handled == [b"b"]


async def test_progress_knows_partitions_and_lag(log: EmbeddedLog, topic: TopicSpec) -> None:
    progress = Progress()

    async with running(log, topic, Handler(), progress=progress):
        await wait_until(lambda: len(progress.lag) == 2, "lag of both partitions")

        assert {partition.number for partition in progress.assignment} == {0, 1}
        assert {lag.records for lag in progress.lag.values()} == {0}


async def test_a_dead_letter_is_durable_before_its_record_is_committed(log: EmbeddedLog, topic: TopicSpec) -> None:
    await log.ensure_topics([replace(topic, name=topic_of_dead_letters(topic.name), partitions=1)])

    async def bury(batch: Sequence[ReceivedRecord]) -> None:
        letters = [DeadLetter(record, "not JSON") for record in batch]
        await publish_dead_letters(log, letters, now=batch[0].published_at)

    async with running(log, topic, bury):
        await log.publish(topic.name, records("{"))
        async with log.consume([topic_of_dead_letters(topic.name)], group="people", member="m") as people:
            (letter,) = await people.poll(max_records=10, timeout_seconds=5)

    assert letter.value == b"{"
    assert letter.headers["dead-letter-topic"] == topic.name.encode()
