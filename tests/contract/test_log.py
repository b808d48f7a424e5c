"""The promises of shared.log.protocol, held by both engines."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiokafka.partitioner import DefaultPartitioner

from shared.errors import CommitRejected, InvalidInput, LogUnavailable, Misconfigured
from shared.events.topics import TopicSpec
from shared.log.protocol import (
    BROWSED_BYTES,
    MAX_RECORD_BYTES,
    Consumer,
    Log,
    Partition,
    ReceivedRecord,
    Record,
    TopicState,
    size_of,
)
from tests.support.kafka_broker import KafkaBroker
from tests.support.log_engines import (
    PUBLISH_TIMEOUT_SECONDS,
    EmbeddedEngine,
    KafkaEngine,
    LogEngine,
    a_topic,
    embedded_engine_of_its_own,
)
from tests.support.log_member import member_process
from tests.support.waiting import wait_until

ENGINES = [
    pytest.param("embedded", marks=pytest.mark.postgres),
    pytest.param("kafka", marks=pytest.mark.kafka),
]
# For a busy machine; what is measured against it takes milliseconds on an idle one.
MARGIN_SECONDS = 4.0


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> LogEngine:
    if request.param == "kafka":
        return KafkaEngine(request.getfixturevalue("kafka_broker"))
    return EmbeddedEngine(request.getfixturevalue("database_url"))


@pytest.fixture(params=ENGINES)
def broker_to_disturb(request: pytest.FixtureRequest) -> KafkaBroker | None:
    if request.param == "embedded":
        return None
    broker: KafkaBroker = request.getfixturevalue("kafka_broker")
    if not broker.controllable:
        pytest.skip("the broker belongs to somebody else: it cannot be stopped")
    return broker


@pytest.fixture
async def mortal_engine(broker_to_disturb: KafkaBroker | None, tmp_path: Path) -> AsyncIterator[LogEngine]:
    """An engine whose server the test may take away."""
    if broker_to_disturb is not None:
        engine = KafkaEngine(broker_to_disturb)
        yield engine
        await engine.bring_back()
        return
    async with embedded_engine_of_its_own(tmp_path) as embedded:
        yield embedded


@pytest.fixture
async def log(engine: LogEngine) -> AsyncIterator[Log]:
    async with engine.opened() as log:
        yield log


@pytest.fixture
async def topic(log: Log) -> TopicSpec:
    topic = a_topic()
    await log.ensure_topics([topic])
    return topic


def numbered(count: int, *, first: int = 0, keys: int = 20) -> list[Record]:
    return [Record(f"key-{n % keys}".encode(), str(n).encode()) for n in range(first, first + count)]


async def read(consumer: Consumer, count: int, *, timeout_seconds: float = 20.0) -> list[ReceivedRecord]:
    records: list[ReceivedRecord] = []
    deadline = time.monotonic() + timeout_seconds
    while len(records) < count:
        assert time.monotonic() < deadline, f"{len(records)} of {count} records came"
        records += await consumer.poll(max_records=count - len(records), timeout_seconds=0.5)
    return records


async def read_and_commit(consumer: Consumer, count: int) -> list[ReceivedRecord]:
    records = await read(consumer, count)
    await consumer.commit(after(records))
    return records


async def read_nothing(consumer: Consumer) -> None:
    assert await consumer.poll(max_records=10, timeout_seconds=0.5) == []


def after(records: Sequence[ReceivedRecord]) -> dict[Partition, int]:
    return {record.partition: record.offset + 1 for record in records}


def values(records: Sequence[ReceivedRecord | Record]) -> set[bytes]:
    return {record.value for record in records}


async def holds(consumer: Consumer, count: int) -> bool:
    """Whether the member has come to hold `count` partitions; polling is how it gets to know."""
    await consumer.poll(max_records=1, timeout_seconds=0.1)
    await consumer.rewind()
    return len(consumer.assignment()) == count


class TestOrderAndContent:
    async def test_records_of_one_key_stay_in_one_partition_and_in_order(self, log: Log, topic: TopicSpec) -> None:
        for first in range(0, 300, 50):
            await log.publish(topic.name, numbered(50, first=first))

        async with log.consume([topic.name], group=topic.name, member="m") as consumer:
            records = await read(consumer, 300)

        by_key: dict[bytes, list[ReceivedRecord]] = defaultdict(list)
        for record in records:
            by_key[record.key].append(record)
        for of_key in by_key.values():
            assert len({record.partition for record in of_key}) == 1
            assert [int(record.value) for record in of_key] == sorted(int(record.value) for record in of_key)

    async def test_both_engines_place_a_key_where_kafkas_default_does(self, log: Log, topic: TopicSpec) -> None:
        keys = [b"", b"a", b"lead-1", b"lead-22", "läd".encode(), bytes(range(256))]
        numbers = list(range(topic.partitions))
        await log.publish(topic.name, [Record(key, b"") for key in keys])

        async with log.consume([topic.name], group=topic.name, member="m") as consumer:
            places = {record.key: record.partition.number for record in await read(consumer, len(keys))}

        assert places == {key: DefaultPartitioner()(key, numbers, numbers) for key in keys}

    async def test_bytes_come_out_as_they_went_in(self, log: Log, topic: TopicSpec) -> None:
        every_byte = bytes(range(256))
        sent = Record(
            every_byte, every_byte * 3, {"content-type": b"a/b", "raw": every_byte, "empty": b"", "ä": b"\0"}
        )

        await log.publish(topic.name, [sent])
        async with log.consume([topic.name], group=topic.name, member="m") as consumer:
            (received,) = await read(consumer, 1)

        assert Record(received.key, received.value, dict(received.headers)) == sent
        assert abs((datetime.now(UTC) - received.published_at).total_seconds()) < 30

    async def test_a_large_batch_comes_through_whole(self, log: Log, topic: TopicSpec) -> None:
        sent = [
            Record(record.key, record.value.ljust(230, b" "), record.headers) for record in numbered(10_000, keys=500)
        ]

        await log.publish(topic.name, sent)
        async with log.consume([topic.name], group=topic.name, member="m") as consumer:
            received = await read(consumer, 10_000)

        assert values(received) == values(sent)

    async def test_a_poll_returns_no_more_than_asked_for(self, log: Log, topic: TopicSpec) -> None:
        await log.publish(topic.name, numbered(100))

        async with log.consume([topic.name], group=topic.name, member="m") as consumer:
            first = await read(consumer, 1)
            more = await consumer.poll(max_records=7, timeout_seconds=2)

        assert len(first) == 1
        assert 0 < len(more) <= 7

    async def test_a_record_of_exactly_the_limit_passes(self, log: Log, topic: TopicSpec) -> None:
        room = MAX_RECORD_BYTES - size_of(Record(b"k", b""))

        await log.publish(topic.name, [Record(b"k", b"x" * room)] * 3)
        async with log.consume([topic.name], group=topic.name, member="m") as consumer:
            received = await read(consumer, 3)

        assert {len(record.value) for record in received} == {room}

    async def test_an_oversized_record_is_refused_and_nothing_of_its_batch_published(
        self, log: Log, topic: TopicSpec
    ) -> None:
        with pytest.raises(InvalidInput):
            await log.publish(topic.name, [*numbered(3), Record(b"k", b"x" * (MAX_RECORD_BYTES + 1))])

        await log.publish(topic.name, [Record(b"k", b"later")])
        async with log.consume([topic.name], group=topic.name, member="m") as consumer:
            assert values(await read(consumer, 1)) == {b"later"}
            await read_nothing(consumer)

    async def test_an_empty_publish_does_nothing(self, log: Log, topic: TopicSpec) -> None:
        await log.publish(topic.name, [])


class TestTopics:
    async def test_ensuring_twice_is_harmless(self, log: Log, topic: TopicSpec) -> None:
        await log.ensure_topics([topic, a_topic()])

        await log.publish(topic.name, numbered(1))

    async def test_processes_that_ensure_at_the_same_time_agree(self, engine: LogEngine) -> None:
        topic = a_topic()
        async with engine.opened() as one, engine.opened() as other:
            await asyncio.gather(one.ensure_topics([topic]), other.ensure_topics([topic]))

            await asyncio.gather(one.publish(topic.name, numbered(1)), other.publish(topic.name, numbered(1)))

    async def test_fewer_partitions_than_needed_is_a_misconfiguration(self, log: Log, topic: TopicSpec) -> None:
        with pytest.raises(Misconfigured, match="partitions"):
            await log.ensure_topics([replace(topic, partitions=topic.partitions + 1)])

    async def test_a_topic_that_nobody_ensured_is_a_misconfiguration(self, log: Log) -> None:
        with pytest.raises(Misconfigured):
            await log.publish(a_topic().name, numbered(1))
        with pytest.raises(Misconfigured):
            async with log.consume([a_topic().name], group="nobody", member="m"):
                pass


class TestGroups:
    async def test_a_new_group_starts_at_the_oldest_and_every_group_sees_everything(
        self, log: Log, topic: TopicSpec
    ) -> None:
        await log.publish(topic.name, numbered(30))

        for group in ("one", "two"):
            async with log.consume([topic.name], group=f"{topic.name}-{group}", member="m") as consumer:
                assert values(await read_and_commit(consumer, 30)) == values(numbered(30))

    async def test_what_was_committed_does_not_come_again(self, log: Log, topic: TopicSpec) -> None:
        await log.publish(topic.name, numbered(30))
        async with log.consume([topic.name], group=topic.name, member="m") as consumer:
            await read_and_commit(consumer, 30)
        await log.publish(topic.name, numbered(5, first=30))

        async with log.consume([topic.name], group=topic.name, member="m") as consumer:
            assert values(await read(consumer, 5)) == values(numbered(5, first=30))

    async def test_what_was_polled_and_not_committed_comes_again(self, log: Log, topic: TopicSpec) -> None:
        await log.publish(topic.name, numbered(30))
        async with log.consume([topic.name], group=topic.name, member="m") as consumer:
            await read(consumer, 30)

        async with log.consume([topic.name], group=topic.name, member="m") as consumer:
            assert values(await read(consumer, 30)) == values(numbered(30))

    async def test_rewind_delivers_again_what_was_not_committed(self, log: Log, topic: TopicSpec) -> None:
        await log.publish(topic.name, numbered(30))
        async with log.consume([topic.name], group=topic.name, member="m") as consumer:
            done = await read_and_commit(consumer, 10)
            failed = await read(consumer, 20)
            await consumer.rewind()

            again = await read(consumer, 20)

        assert values(again) == values(failed)
        assert not values(again) & values(done)

    async def test_one_member_may_read_several_topics(self, log: Log, topic: TopicSpec) -> None:
        other = a_topic(partitions=1)
        await log.ensure_topics([other])
        await log.publish(topic.name, numbered(3))
        await log.publish(other.name, numbered(3, first=3))

        async with log.consume([topic.name, other.name], group=topic.name, member="m") as consumer:
            assert values(await read(consumer, 6)) == values(numbered(6))
            assert len(consumer.assignment()) == topic.partitions + 1

    async def test_two_members_share_the_partitions_and_one_takes_over_when_the_other_leaves(
        self, log: Log, topic: TopicSpec
    ) -> None:
        async with AsyncExitStack() as stack:
            stays = await stack.enter_async_context(log.consume([topic.name], group=topic.name, member="stays"))
            async with log.consume([topic.name], group=topic.name, member="leaves") as leaves:
                await wait_until(lambda: holds(stays, 2), "half for the first")
                await wait_until(lambda: holds(leaves, 2), "half for the second")
                assert not stays.assignment() & leaves.assignment()

                await log.publish(topic.name, numbered(40))
                shares = await asyncio.gather(poll_for_a_while(stays), poll_for_a_while(leaves))
                assert all(shares)
                assert sorted(int(record.value) for share in shares for record in share) == list(range(40))

            await wait_until(lambda: holds(stays, 4), "all for the first", timeout_seconds=MARGIN_SECONDS)
            assert values(await read(stays, 40)) == values(numbered(40))

    async def test_joining_is_a_rebalance_and_so_is_a_neighbour_that_joins(self, log: Log, topic: TopicSpec) -> None:
        async with log.consume([topic.name], group=topic.name, member="first") as first:
            await wait_until(lambda: holds(first, 4), "all for the first")
            alone = first.rebalances()
            async with log.consume([topic.name], group=topic.name, member="second") as second:
                await wait_until(lambda: holds(second, 2), "half for the second")
                await wait_until(lambda: holds(first, 2), "half for the first")

                assert alone.number >= 1
                assert first.rebalances().number > alone.number
                assert first.rebalances().seconds >= alone.seconds >= 0

    async def test_a_batch_polled_before_a_rebalance_cannot_be_committed(self, log: Log, topic: TopicSpec) -> None:
        await log.publish(topic.name, numbered(40))
        async with log.consume([topic.name], group=topic.name, member="first") as first:
            polled = await read(first, 40)
            async with log.consume([topic.name], group=topic.name, member="second") as second:
                await wait_until(lambda: holds(second, 2), "half for the second")

                with pytest.raises(CommitRejected):
                    await first.commit(after(polled))

                await wait_until(lambda: holds(first, 2), "half for the first")
                again = [*await poll_for_a_while(first), *await poll_for_a_while(second)]
        assert values(again) == values(numbered(40))

    async def test_a_member_that_keeps_working_keeps_its_partitions(
        self, engine: LogEngine, log: Log, topic: TopicSpec
    ) -> None:
        await log.publish(topic.name, numbered(10))
        async with log.consume([topic.name], group=topic.name, member="busy") as busy:
            polled = await read(busy, 10)
            done = time.monotonic() + 1.5 * engine.session_timeout_seconds
            await wait_until(lambda: time.monotonic() > done, "work longer than the session timeout")

            await busy.commit(after(polled))

    async def test_lag_counts_what_is_not_committed_and_tells_its_age(self, log: Log, topic: TopicSpec) -> None:
        await log.publish(topic.name, numbered(40))
        async with log.consume([topic.name], group=topic.name, member="m") as consumer:
            records = await read(consumer, 40)
            before = await consumer.lag()
            await consumer.commit(after(records))
            afterwards = await consumer.lag()

        assert set(before) == {Partition(topic.name, number) for number in range(4)}
        assert sum(lag.records for lag in before.values()) == 40
        assert max(lag.seconds for lag in before.values()) > 0
        assert {(lag.records, lag.seconds) for lag in afterwards.values()} == {(0, 0.0)}

    async def test_an_idle_poll_ends_with_its_timeout_and_a_publish_ends_it_earlier(
        self, log: Log, topic: TopicSpec
    ) -> None:
        async with log.consume([topic.name], group=topic.name, member="m") as consumer:
            await wait_until(lambda: holds(consumer, 4), "all partitions")
            started = time.monotonic()
            await read_nothing(consumer)
            assert 0.4 < time.monotonic() - started < 0.5 + MARGIN_SECONDS

            polling = asyncio.create_task(consumer.poll(max_records=10, timeout_seconds=10))
            await log.publish(topic.name, numbered(1))
            started = time.monotonic()
            assert values(await polling) == {b"0"}
            assert time.monotonic() - started < MARGIN_SECONDS


async def poll_for_a_while(consumer: Consumer) -> list[ReceivedRecord]:
    records: list[ReceivedRecord] = []
    while batch := await consumer.poll(max_records=500, timeout_seconds=1.0):
        records += batch
    return records


class TestLookingOn:
    async def test_people_read_any_stretch_without_a_group(self, log: Log, topic: TopicSpec) -> None:
        await log.publish(topic.name, [Record(b"k", str(n).encode(), {"h": b"\xff"}) for n in range(10)])
        (partition,) = [place for place, extent in (await log.extent(topic.name)).items() if extent.end]

        stretch = await log.browse(partition, offset=4, max_records=3)
        rest = await log.browse(partition, offset=7, max_records=100)
        nothing = await log.browse(partition, offset=10, max_records=100)

        assert [(record.offset, record.value) for record in stretch] == [(4, b"4"), (5, b"5"), (6, b"6")]
        assert [record.offset for record in rest] == [7, 8, 9]
        assert nothing == []
        assert {(record.partition, record.key, record.headers["h"]) for record in stretch} == {
            (partition, b"k", b"\xff")
        }
        assert (await log.group(topic.name, [topic.name])).members == 0

    async def test_large_records_are_read_some_at_a_time_and_all_of_them(self, log: Log, topic: TopicSpec) -> None:
        large = [bytes([number]) * 1_000_000 for number in range(10)]
        for value in large:
            await log.publish(topic.name, [Record(b"k", value)])
        (partition,) = [place for place, extent in (await log.extent(topic.name)).items() if extent.end]

        looks, start = [], 0
        while look := await log.browse(partition, offset=start, max_records=100):
            looks.append(sum(len(record.value) for record in look))
            assert [record.value for record in look] == large[start : start + len(look)]
            start = look[-1].offset + 1

        assert start == len(large)
        assert max(looks) <= BROWSED_BYTES + MAX_RECORD_BYTES

    async def test_the_extent_of_every_partition_is_told(self, log: Log, topic: TopicSpec) -> None:
        await log.publish(topic.name, numbered(20))

        extents = await log.extent(topic.name)

        assert set(extents) == {Partition(topic.name, number) for number in range(topic.partitions)}
        assert sum(extent.end - extent.first for extent in extents.values()) == 20

    async def test_topics_are_told_with_their_partitions(self, log: Log, topic: TopicSpec) -> None:
        found = (await log.topics())[topic.name]

        assert found == TopicState(topic.partitions, replicas=1, in_sync=1, leaderless=0, min_in_sync=1)
        assert found.takes_records

    async def test_a_group_is_seen_from_outside_with_its_members_and_its_backlog(
        self, log: Log, topic: TopicSpec
    ) -> None:
        before = datetime.now(UTC)
        await log.publish(topic.name, [Record(b"k", b"1"), Record(b"k", b"2"), Record(b"k", b"3")])
        never_seen = await log.group(topic.name, [topic.name])

        async with log.consume([topic.name], group=topic.name, member="m") as consumer:
            (one, *_) = await read(consumer, 3)
            await consumer.commit({one.partition: one.offset + 1})
            behind = await log.group(topic.name, [topic.name])
            await consumer.commit({one.partition: 3})
            done = await log.group(topic.name, [topic.name])

        longest = (datetime.now(UTC) - before).total_seconds() + 1
        assert never_seen.members == 0
        assert sum(lag.records for lag in never_seen.lag.values()) == 3
        assert behind.members == 1
        assert behind.lag[one.partition].records == 2
        assert 0 <= behind.lag[one.partition].seconds <= longest
        assert {(lag.records, lag.seconds) for lag in done.lag.values()} == {(0, 0.0)}

    async def test_what_nobody_ensured_cannot_be_looked_at(self, log: Log) -> None:
        for looking in (
            log.extent("nobody-made-this"),
            log.browse(Partition("nobody-made-this", 0), offset=0, max_records=1),
            log.group("nobody", ["nobody-made-this"]),
        ):
            with pytest.raises(Misconfigured):
                await looking

    async def test_a_partition_that_is_none_is_empty(self, log: Log, topic: TopicSpec) -> None:
        assert await log.browse(Partition(topic.name, topic.partitions), offset=0, max_records=1) == []


class TestDeath:
    async def test_what_a_killed_member_had_polled_comes_again_and_its_partitions_are_taken_over(
        self, engine: LogEngine, log: Log, topic: TopicSpec
    ) -> None:
        await log.publish(topic.name, numbered(40))
        async with member_process(engine, topic.name, topic.name, "killed") as killed:
            assert len(await killed.polled(40)) == 40
            await killed.kill()

            async with log.consume([topic.name], group=topic.name, member="heir") as heir:
                assert await read_patiently(heir, values(numbered(40))) == values(numbered(40))

    async def test_a_member_that_stops_answering_loses_its_partitions_and_may_not_commit_afterwards(
        self, engine: LogEngine, log: Log, topic: TopicSpec
    ) -> None:
        await log.publish(topic.name, numbered(40))
        async with member_process(engine, topic.name, topic.name, "zombie") as zombie:
            assert len(await zombie.polled(40)) == 40
            zombie.pause()
            async with log.consume([topic.name], group=topic.name, member="heir") as heir:
                await wait_until(
                    lambda: holds(heir, 4),
                    "the zombie's partitions",
                    timeout_seconds=2 * engine.session_timeout_seconds + MARGIN_SECONDS,
                )
                records = await read_and_commit(heir, 40)
                zombie.resume()

                assert await zombie.commit() == "rejected"

        assert values(records) == values(numbered(40))
        async with log.consume([topic.name], group=topic.name, member="heir") as heir:
            await wait_until(
                lambda: holds(heir, 4),
                "the partitions of a group of nobody",
                timeout_seconds=2 * engine.session_timeout_seconds + MARGIN_SECONDS,
            )
            await read_nothing(heir)

    async def test_readers_skip_nothing_of_concurrent_publishers(self, engine: LogEngine, topic: TopicSpec) -> None:
        publishers, publishes, size = 8, 15, 5
        total = publishers * publishes * size

        async def publish_all(log: Log, publisher: int) -> None:
            for number in range(publishes):
                first = (publisher * publishes + number) * size
                await log.publish(topic.name, numbered(size, first=first))

        async with engine.opened() as one, engine.opened() as other:
            publishing = asyncio.gather(*(publish_all((one, other)[n % 2], n) for n in range(publishers)))
            async with one.consume([topic.name], group=topic.name, member="m") as consumer:
                records = await read(consumer, total)
                await read_nothing(consumer)
            await publishing

        assert values(records) == values(numbered(total))
        for number in range(topic.partitions):
            offsets = [record.offset for record in records if record.partition.number == number]
            assert offsets == list(range(len(offsets)))

    async def test_records_and_offsets_survive_a_new_log_object(self, engine: LogEngine, topic: TopicSpec) -> None:
        async with engine.opened() as log:
            await log.publish(topic.name, numbered(40))
            async with log.consume([topic.name], group=topic.name, member="m") as consumer:
                done = await read_and_commit(consumer, 15)

        async with engine.opened() as log, log.consume([topic.name], group=topic.name, member="m") as consumer:
            rest = await read(consumer, 25)

        assert values(done) | values(rest) == values(numbered(40))


class TestOutage:
    async def test_records_and_offsets_survive_the_server_and_the_same_log_goes_on(
        self, mortal_engine: LogEngine
    ) -> None:
        topic = a_topic()
        async with mortal_engine.opened() as log, AsyncExitStack() as stack:
            await log.ensure_topics([topic])
            await log.publish(topic.name, numbered(40))
            consumer = await stack.enter_async_context(log.consume([topic.name], group=topic.name, member="m"))
            done = await read_and_commit(consumer, 15)

            await mortal_engine.take_away()
            await expect_unavailable_within(log.publish(topic.name, numbered(1)), PUBLISH_TIMEOUT_SECONDS)
            await expect_unavailable_within(log.check(), 1.0)
            buffered = await polled_within_bounds(consumer)
            await mortal_engine.bring_back()

            await wait_until(lambda: publishes(log, topic), "publishing again")
            rest = await read_patiently(consumer, values(numbered(40)) - values(done) - buffered)
            assert values(done) | buffered | rest >= values(numbered(40))

    async def test_without_a_server_start_fails_in_time_and_stop_ends_in_time(self, mortal_engine: LogEngine) -> None:
        topic = a_topic()
        async with AsyncExitStack() as stack:
            log = await stack.enter_async_context(mortal_engine.opened())
            await log.ensure_topics([topic])
            await stack.enter_async_context(log.consume([topic.name], group=topic.name, member="m"))
            await log.publish(topic.name, numbered(1))
            await mortal_engine.take_away()
            with pytest.raises(LogUnavailable):
                await log.publish(topic.name, numbered(1))

            async with mortal_engine.opened(started=False) as other:
                await expect_unavailable_within(other.start(), PUBLISH_TIMEOUT_SECONDS + MARGIN_SECONDS)

            started = time.monotonic()
            await stack.aclose()
            assert time.monotonic() - started < 15

    async def test_a_server_that_does_not_answer_keeps_nobody_waiting_beyond_the_timeout(
        self, mortal_engine: LogEngine
    ) -> None:
        topic = a_topic()
        async with mortal_engine.opened() as log:
            await log.ensure_topics([topic])
            await log.publish(topic.name, numbered(1))

            async with mortal_engine.frozen():
                outcomes = await asyncio.gather(*(publish_in_vain(log, topic, n) for n in range(1, 20)))

            await wait_until(lambda: publishes(log, topic), "publishing again")
            async with log.consume([topic.name], group=topic.name, member="m") as consumer:
                appeared = await read_patiently(consumer, {b"0", b"again"})
                appeared |= values(await poll_for_a_while(consumer))
        refused = {value for value, outcome_unknown in outcomes if not outcome_unknown}
        assert not refused & appeared
        assert {b"0", b"again"} <= appeared


async def publish_in_vain(log: Log, topic: TopicSpec, number: int) -> tuple[bytes, bool]:
    """What was not published, and whether it may still appear."""
    (record,) = numbered(1, first=number)
    started = time.monotonic()
    with pytest.raises(LogUnavailable) as refusal:
        await log.publish(topic.name, [record])
    assert time.monotonic() - started < PUBLISH_TIMEOUT_SECONDS + MARGIN_SECONDS
    return record.value, refusal.value.outcome_unknown


async def expect_unavailable_within(call: Awaitable[None], seconds: float) -> None:
    started = time.monotonic()
    with pytest.raises(LogUnavailable):
        await call
    assert time.monotonic() - started < seconds + MARGIN_SECONDS


async def polled_within_bounds(consumer: Consumer) -> set[bytes]:
    """What a poll without a server gives: nothing, or what the client had fetched before."""
    records: Sequence[ReceivedRecord] = ()
    started = time.monotonic()
    with suppress(LogUnavailable):
        records = await consumer.poll(max_records=10, timeout_seconds=0.5)
    assert time.monotonic() - started < 0.5 + PUBLISH_TIMEOUT_SECONDS + MARGIN_SECONDS
    return values(records)


async def publishes(log: Log, topic: TopicSpec) -> bool:
    try:
        await log.publish(topic.name, [Record(b"again", b"again")])
    except LogUnavailable:
        return False
    return True


async def read_patiently(consumer: Consumer, wanted: set[bytes]) -> set[bytes]:
    """Reads through an outage as a consumer loop would."""
    found: set[bytes] = set()
    deadline = time.monotonic() + 60
    while not wanted <= found:
        assert time.monotonic() < deadline, f"missing {wanted - found}"
        try:
            found |= values(await consumer.poll(max_records=100, timeout_seconds=0.5))
        except LogUnavailable:
            continue
    return found
