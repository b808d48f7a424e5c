"""The outbox: what a transaction wrote leaves in order, at least once, and always as the same bytes."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from shared.db.engine import Database
from shared.db.outbox import Outbox, Outgoing
from shared.db.reach import ALL_WORKSPACES
from shared.errors import LogUnavailable
from shared.events.codec import encode
from shared.events.envelope import LeadReference, message_id
from shared.events.scores import LeadMerged, Merge
from shared.events.topics import ALL_TOPICS, LEAD_SCORES
from shared.log.embedded import EmbeddedLog
from shared.log.messages import received_at_of
from shared.log.protocol import Record
from shared.observability import tracing
from shared.observability.tracing import TraceContext
from tests.support.waiting import wait_until

AT = datetime(2026, 6, 1, tzinfo=UTC)


def outgoing(lead: str, sequence: int) -> Outgoing:
    reference = LeadReference(id=lead, emails=(), external_ids={})
    message = LeadMerged(
        id=message_id(LEAD_SCORES, lead, sequence),
        source="/leadflow/test",
        subject=lead,
        time=AT,
        workspace="default",
        data=Merge(lead=reference, sequence=sequence, absorbed="x"),
    )
    return Outgoing(LEAD_SCORES, lead, message)


class LogThatFailsOnce(EmbeddedLog):
    """Takes the records and then says that it does not know whether it did."""

    failures = 1

    async def publish(self, topic: str, records: Sequence[Record]) -> None:
        await super().publish(topic, records)
        if self.failures:
            self.failures -= 1
            raise LogUnavailable("nobody knows", outcome_unknown=True)


class LogThatTakesNothing(EmbeddedLog):
    """Refuses every record, and says whether it would do so to another process, too."""

    refusals = 0
    is_alone = False

    async def publish(self, topic: str, records: Sequence[Record]) -> None:
        self.refusals += 1
        raise LogUnavailable("no", outcome_unknown=False)

    async def fails_us_alone(self) -> bool:
        return self.is_alone


class LogThatWaits(EmbeddedLog):
    """Takes records once it may."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.asked, self.goes_on = asyncio.Event(), asyncio.Event()

    async def publish(self, topic: str, records: Sequence[Record]) -> None:
        self.asked.set()
        await self.goes_on.wait()
        await super().publish(topic, records)


class LogThatTakesLong(EmbeddedLog):
    """While it takes the first records, another process writes a message and tells nobody here."""

    meanwhile: Outgoing | None = None

    async def publish(self, topic: str, records: Sequence[Record]) -> None:
        await super().publish(topic, records)
        if self.meanwhile:
            await write(self._database, Outbox("scorer"), self.meanwhile)
            self.meanwhile = None


@asynccontextmanager
async def relaying(database: Database, outbox: Outbox, log: EmbeddedLog) -> AsyncIterator[None]:
    """A relay that runs, and has made no progress for ever when it begins."""
    stop = asyncio.Event()
    outbox._progress.last_progress = -math.inf
    relay = asyncio.create_task(outbox.relay_task(database, log, poll_seconds=0.01)(stop))
    try:
        yield
    finally:
        stop.set()
        outbox.wake()
        await asyncio.wait_for(relay, 5)


@pytest.fixture
async def log(database: Database) -> AsyncIterator[EmbeddedLog]:
    log = EmbeddedLog(database)
    await log.start()
    await log.ensure_topics(ALL_TOPICS)
    yield log
    await log.stop()


async def write(database: Database, outbox: Outbox, *items: Outgoing) -> None:
    async with database.transaction(ALL_WORKSPACES) as connection:
        await outbox.append(connection, items)


async def published(log: EmbeddedLog, count: int) -> list[bytes]:
    found: list[bytes] = []
    async with log.consume([LEAD_SCORES.name], group="test", member="t") as consumer:
        while len(found) < count:
            found += [record.value for record in await consumer.poll(max_records=1000, timeout_seconds=5)]
    return found


async def test_messages_of_a_lead_leave_in_the_order_of_writing(database: Database, log: EmbeddedLog) -> None:
    outbox = Outbox("scorer")
    items = [outgoing("ann", sequence) for sequence in range(1, 1201)]
    for start in range(0, 1200, 300):
        await write(database, outbox, *items[start : start + 300])

    while await outbox.relay_once(database, log):
        pass

    assert await published(log, 1200) == [encode(item.message) for item in items]
    async with database.transaction(ALL_WORKSPACES) as connection:
        assert (await outbox.backlog(connection)).messages == 0


async def test_where_a_message_comes_from_and_since_when_goes_with_it(database: Database, log: EmbeddedLog) -> None:
    trace = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True, state="congo=1")
    outbox = Outbox("scorer")
    await write(database, outbox, replace(outgoing("ann", 1), trace=trace, received_at=AT), outgoing("bea", 1))

    await outbox.relay_once(database, log)

    async with log.consume([LEAD_SCORES.name], group="test", member="t") as consumer:
        records = {record.key: record for record in await consumer.poll(max_records=10, timeout_seconds=5)}
    assert tracing.read_record(records[b"ann"]) == trace
    assert received_at_of(records[b"ann"]) == AT
    assert records[b"bea"].headers.keys() == {"content-type", "workspace", "traceparent"}
    assert {record.headers["workspace"] for record in records.values()} == {b"default"}


async def test_what_a_transaction_took_back_is_never_told(database: Database, log: EmbeddedLog) -> None:
    outbox = Outbox("scorer")

    async def write_and_fail() -> None:
        async with database.transaction(ALL_WORKSPACES) as connection:
            await outbox.append(connection, [outgoing("ann", 1)])
            raise RuntimeError("after all, no")

    with pytest.raises(RuntimeError, match="after all"):
        await write_and_fail()

    assert await outbox.relay_once(database, log) == 0


async def test_an_unknown_outcome_is_repeated_with_the_same_bytes(database: Database, log: EmbeddedLog) -> None:
    outbox = Outbox("scorer")
    await write(database, outbox, outgoing("ann", 1))
    doubtful = LogThatFailsOnce(database)

    with pytest.raises(LogUnavailable):
        await outbox.relay_once(database, doubtful)
    assert await outbox.relay_once(database, doubtful) == 1

    first, second = await published(log, 2)
    assert first == second
    await doubtful.stop()


async def test_two_relays_never_publish_the_same_message_twice(database: Database, log: EmbeddedLog) -> None:
    outbox, other = Outbox("scorer"), Outbox("scorer")
    await write(database, outbox, *(outgoing(f"lead{number % 7}", number) for number in range(1, 1001)))

    while sum(await asyncio.gather(outbox.relay_once(database, log), other.relay_once(database, log))):
        pass

    assert len(set(await published(log, 1000))) == 1000
    async with log.consume([LEAD_SCORES.name], group="count", member="c") as consumer:
        assert len(await consumer.poll(max_records=5000, timeout_seconds=5)) == 1000


async def test_the_relay_task_waits_out_trouble_and_ends_when_told(database: Database, log: EmbeddedLog) -> None:
    outbox, stop = Outbox("scorer"), asyncio.Event()
    doubtful = LogThatFailsOnce(database)
    relay = asyncio.create_task(outbox.relay_task(database, doubtful)(stop))
    await write(database, outbox, outgoing("ann", 1))
    outbox.wake()

    async def is_empty() -> bool:
        async with database.transaction(ALL_WORKSPACES) as connection:
            return (await outbox.backlog(connection)).messages == 0

    await wait_until(is_empty, "the outbox is empty")
    stop.set()
    outbox.wake()
    await asyncio.wait_for(relay, 5)
    await doubtful.stop()


async def test_what_another_process_wrote_during_a_turn_waits_for_no_poll(
    database: Database, log: EmbeddedLog
) -> None:
    outbox, stop, busy = Outbox("scorer"), asyncio.Event(), LogThatTakesLong(database)
    busy.meanwhile = outgoing("bea", 1)
    await write(database, outbox, outgoing("ann", 1))

    relay = asyncio.create_task(outbox.relay_task(database, busy, poll_seconds=3600)(stop))

    told = await asyncio.wait_for(published(log, 2), 60)
    assert set(told) == {encode(outgoing(lead, 1).message) for lead in ("ann", "bea")}
    stop.set()
    outbox.wake()
    await asyncio.wait_for(relay, 5)
    await busy.stop()


async def test_a_relay_that_alone_is_refused_is_stuck_until_it_gets_something_through(
    database: Database, log: EmbeddedLog
) -> None:
    outbox, refusing = Outbox("scorer"), LogThatTakesNothing(database)
    refusing.is_alone = True
    await write(database, outbox, outgoing("ann", 1))

    async with relaying(database, outbox, refusing):
        await wait_until(lambda: refusing.refusals > 1, "it is refused")
        refused = outbox.stuck()
    async with relaying(database, outbox, log):
        await wait_until(lambda: outbox.stuck() is None, "its message goes out")

    assert refused == "no progress for inf s"
    assert len(await published(log, 1)) == 1
    await refusing.stop()


async def test_a_relay_waits_out_a_log_that_refuses_everybody_and_then_has_its_whole_time(
    database: Database, log: EmbeddedLog
) -> None:
    outbox, refusing = Outbox("scorer"), LogThatTakesNothing(database)
    await write(database, outbox, outgoing("ann", 1))

    async with relaying(database, outbox, refusing):
        await wait_until(lambda: refusing.refusals > 1, "it is refused")
        waiting = outbox.stuck()
        refusing.is_alone = True
        await wait_until(lambda: not outbox._progress.paused, "it is the only one refused")
        afterwards = outbox.stuck()

    assert (waiting, afterwards) == (None, None)
    await refusing.stop()


async def test_a_relay_lives_while_it_is_another_ones_turn(database: Database, log: EmbeddedLog) -> None:
    outbox, other, waits = Outbox("scorer"), Outbox("scorer"), LogThatWaits(database)
    await write(database, outbox, outgoing("ann", 1))

    turn = asyncio.create_task(other.relay_once(database, waits))
    await waits.asked.wait()
    async with relaying(database, outbox, log):
        await wait_until(lambda: outbox.stuck() is None, "it has looked")
        waits.goes_on.set()
        assert await turn == 1

    assert len(await published(log, 1)) == 1
    await waits.stop()
