"""What only the embedded engine does: retention, leases in the database, one transaction per write."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from shared.clock import ManualClock
from shared.db.embedded_postgres import EmbeddedPostgres
from shared.db.engine import Database
from shared.db.migrations import migrate
from shared.db.reach import ALL_WORKSPACES
from shared.errors import LogUnavailable, Misconfigured
from shared.events.topics import TopicSpec
from shared.log.embedded import EmbeddedLog
from shared.log.protocol import Consumer, Partition, Record
from tests.support.log_engines import a_topic
from tests.support.postgres import PostgresServer, as_owner
from tests.support.waiting import wait_until

pytestmark = pytest.mark.postgres

DAY = timedelta(days=1)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 3, 1, tzinfo=UTC))


@pytest.fixture
async def log(database: Database, clock: ManualClock) -> AsyncIterator[EmbeddedLog]:
    log = EmbeddedLog(database, session_timeout_seconds=2, clock=clock)
    await log.start()
    yield log
    await log.stop()


@pytest.fixture
async def topic(log: EmbeddedLog) -> TopicSpec:
    topic = replace(a_topic(partitions=1), retention_seconds=int(DAY.total_seconds()))
    await log.ensure_topics([topic])
    return topic


def records(count: int) -> list[Record]:
    return [Record(b"key", str(number).encode()) for number in range(count)]


async def commit_next(consumer: Consumer, count: int) -> None:
    batch = await consumer.poll(max_records=count, timeout_seconds=5)
    await consumer.commit({batch[-1].partition: batch[-1].offset + 1})


async def test_old_records_that_every_group_committed_are_trimmed(
    log: EmbeddedLog, topic: TopicSpec, clock: ManualClock
) -> None:
    await log.publish(topic.name, records(2500))
    clock.advance(2 * DAY)
    await log.publish(topic.name, records(10))
    async with log.consume([topic.name], group="g", member="m") as consumer:
        await commit_next(consumer, 2400)

    assert await log.trim() == 2400
    assert await log.trim() == 0


async def test_a_group_that_never_committed_holds_everything(
    log: EmbeddedLog, topic: TopicSpec, clock: ManualClock
) -> None:
    await log.publish(topic.name, records(10))
    async with log.consume([topic.name], group="slow", member="m"):
        pass
    async with log.consume([topic.name], group="quick", member="m") as consumer:
        await commit_next(consumer, 10)
    clock.advance(2 * DAY)

    assert await log.trim() == 0


async def test_a_topic_that_nobody_reads_keeps_records_for_its_retention(
    log: EmbeddedLog, topic: TopicSpec, clock: ManualClock
) -> None:
    await log.publish(topic.name, records(10))

    assert await log.trim() == 0
    clock.advance(2 * DAY)
    assert await log.trim() == 10


async def test_a_group_that_begins_after_a_trim_starts_at_the_oldest_that_is_left(
    log: EmbeddedLog, topic: TopicSpec, clock: ManualClock
) -> None:
    await log.publish(topic.name, records(10))
    clock.advance(2 * DAY)
    await log.trim()
    await log.publish(topic.name, records(3))

    async with log.consume([topic.name], group="late", member="m") as consumer:
        lag = (await consumer.poll(max_records=1, timeout_seconds=5), await consumer.lag())[1]
        await consumer.rewind()
        batch = await consumer.poll(max_records=10, timeout_seconds=5)

    assert [record.offset for record in batch] == [10, 11, 12]
    assert [partition.records for partition in lag.values()] == [3]


async def test_the_later_of_two_members_of_one_name_takes_the_place(log: EmbeddedLog, topic: TopicSpec) -> None:
    async with log.consume([topic.name], group="g", member="same") as first:
        await first.poll(max_records=1, timeout_seconds=0)
        async with log.consume([topic.name], group="g", member="same") as second:
            await second.poll(max_records=1, timeout_seconds=0)

            await wait_until(lambda: refused(first), "the first is told")
            assert len(second.assignment()) == 1


async def refused(consumer: Consumer) -> bool:
    try:
        await consumer.poll(max_records=1, timeout_seconds=0)
    except Misconfigured:
        return True
    return False


async def test_a_member_that_was_expelled_joins_again_by_itself(
    log: EmbeddedLog, topic: TopicSpec, database: Database
) -> None:
    async with log.consume([topic.name], group="g", member="m") as consumer:
        await consumer.poll(max_records=1, timeout_seconds=0)
        async with database.transaction(ALL_WORKSPACES) as connection:
            await connection.execute(text("DELETE FROM log.members"))
            await connection.execute(text("UPDATE log.groups SET generation = generation + 1"))

        await log.publish(topic.name, records(1))
        await wait_until(lambda: got_something(consumer), "records again")


async def got_something(consumer: Consumer) -> bool:
    return bool(await consumer.poll(max_records=1, timeout_seconds=0.1))


async def test_a_reader_waits_for_an_offset_that_is_given_but_not_committed(
    log: EmbeddedLog, topic: TopicSpec, database: Database
) -> None:
    held, release = asyncio.Event(), asyncio.Event()

    async def hold_the_head() -> None:
        async with database.transaction(ALL_WORKSPACES) as connection:
            await connection.execute(text("SELECT head FROM log.partitions FOR UPDATE"))
            held.set()
            await release.wait()

    holding = asyncio.create_task(hold_the_head())
    await held.wait()
    publishing = asyncio.create_task(log.publish(topic.name, records(1)))
    async with log.consume([topic.name], group="g", member="m") as consumer:
        assert await consumer.poll(max_records=1, timeout_seconds=0.2) == []
        assert not publishing.done()
        release.set()
        await asyncio.gather(holding, publishing)

        assert len(await consumer.poll(max_records=1, timeout_seconds=5)) == 1


async def test_without_notifications_polling_still_finds_everything(
    log: EmbeddedLog, topic: TopicSpec, database: Database
) -> None:
    async with log.consume([topic.name], group="g", member="m") as consumer:
        log._tasks["listen"].cancel()
        polling = asyncio.create_task(consumer.poll(max_records=1, timeout_seconds=5))
        await log.publish(topic.name, records(1))

        assert len(await polling) == 1


async def test_a_lost_listener_comes_back(log: EmbeddedLog, topic: TopicSpec, database: Database) -> None:
    async with log.consume([topic.name], group="g", member="m"):
        await wait_until(lambda: listens_beside(database, set()), "listening")
        lost = await listeners(database)
        async with as_owner(database) as connection:
            await connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM unnest(CAST(:pids AS integer[])) AS pid"),
                {"pids": sorted(lost)},
            )

        await wait_until(lambda: listens_beside(database, lost), "listening again")


async def values_of(log: EmbeddedLog, topic: TopicSpec) -> list[bytes]:
    found = await log.browse(Partition(topic.name, 0), offset=0, max_records=100)
    assert [record.offset for record in found] == list(range(len(found)))
    return [record.value for record in found]


async def published(log: EmbeddedLog, topic: TopicSpec, value: bytes) -> bool:
    """Whether it is; when not, it must be certain that nothing was."""
    try:
        await log.publish(topic.name, [Record(b"key", value)])
    except LogUnavailable as error:
        if error.outcome_unknown:
            raise
        return False
    return True


async def end_all_sessions(database: Database) -> None:
    async with as_owner(database) as connection:
        await connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )


async def test_sessions_that_the_server_ends_between_two_writes_are_made_anew(
    log: EmbeddedLog, topic: TopicSpec, database: Database
) -> None:
    await log.publish(topic.name, [Record(b"key", b"before")])

    await end_all_sessions(database)

    await wait_until(lambda: published(log, topic, b"after"), "published again")
    await wait_until(lambda: readable(log, topic), "read again")
    assert await values_of(log, topic) == [b"before", b"after"]


async def readable(log: EmbeddedLog, topic: TopicSpec) -> bool:
    try:
        return bool(await values_of(log, topic))
    except LogUnavailable:
        return False


async def test_a_session_that_the_server_ends_in_the_middle_of_a_write_leaves_nothing(
    log: EmbeddedLog, topic: TopicSpec, database: Database
) -> None:
    await log.publish(topic.name, [Record(b"key", b"before")])
    async with as_owner(database) as holding:
        await holding.execute(text("SELECT head FROM log.partitions FOR UPDATE"))
        publishing = asyncio.create_task(log.publish(topic.name, [Record(b"key", b"lost")]))
        blocked = "SELECT pid FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0"
        await wait_until(lambda: some(database, blocked), "it waits for the lock")
        await holding.execute(text(f"SELECT pg_terminate_backend(pid) FROM ({blocked}) AS those"))

        with pytest.raises(LogUnavailable) as refusal:
            await publishing

    assert not refusal.value.outcome_unknown
    await wait_until(lambda: published(log, topic, b"after"), "published again")
    assert await values_of(log, topic) == [b"before", b"after"]


async def some(database: Database, query: str) -> bool:
    async with as_owner(database) as connection:
        return (await connection.execute(text(query))).first() is not None


async def test_a_server_that_is_stopped_between_two_writes_is_waited_for(tmp_path: Path, topic: TopicSpec) -> None:
    server = EmbeddedPostgres(tmp_path)
    async with server.running() as url:
        database = Database(url)
        await migrate(database)
        log = EmbeddedLog(database, publish_timeout_seconds=2.0)
        await log.start()
        await log.ensure_topics([topic])
        await log.publish(topic.name, [Record(b"key", b"before")])

    assert not await published(log, topic, b"lost")

    async with server.running():
        await wait_until(lambda: published(log, topic, b"after"), "published again")
        await wait_until(lambda: readable(log, topic), "read again")
        assert await values_of(log, topic) == [b"before", b"after"]
        await log.stop()
        await database.close()


async def test_records_and_headers_of_all_lengths_come_out_as_they_went_in(
    log: EmbeddedLog, topic: TopicSpec
) -> None:
    shared = {"one": b"\x00\xff", "two": b""}
    sent = [
        Record(b"", b"", {}),
        Record(b"k" * 70_000, b"v" * 300_000, shared),
        Record(b"\x00", b"{}", shared),
        Record(b"key", b"\\x41", {"three": bytes(range(256))}),
    ]

    await log.publish(topic.name, sent)

    found = await log.browse(Partition(topic.name, 0), offset=0, max_records=10)
    assert [(record.key, record.value, record.headers) for record in found] == [
        (record.key, record.value, record.headers) for record in sent
    ]


async def listens_beside(database: Database, others: set[int]) -> bool:
    return bool(await listeners(database) - others)


async def listeners(database: Database) -> set[int]:
    """Server processes of this test's database that listen."""
    async with as_owner(database) as connection:
        pids = await connection.scalars(
            text("SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()")
        )
        return set(pids)


async def test_it_publishes_while_everybody_else_holds_all_connections(database_url: str, topic: TopicSpec) -> None:
    small = Database(database_url, pool_size=1)
    log = EmbeddedLog(small)
    await log.start()

    async with small.transaction(ALL_WORKSPACES):
        await log.publish(topic.name, records(1))

    await log.stop()
    await small.close()


async def test_a_database_without_the_schema_is_refused_with_the_remedy(postgres_server: PostgresServer) -> None:
    async with postgres_server.fresh_url(migrated=False) as url:
        database = Database(url)

        with pytest.raises(Misconfigured, match="leadflow migrate"):
            await EmbeddedLog(database).start()

        await database.close()
