"""What reaches the scorer's consumer: the readable is counted, the rest kept aside; nothing blocks the topic."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import text

from services.scorer.handlers import Handlers
from services.scorer.service import Scorer
from shared.clock import ManualClock
from shared.db.engine import Database
from shared.db.outbox import Outbox
from shared.db.reach import ALL_WORKSPACES
from shared.events.topics import ALL_TOPICS, ENGAGEMENT_EVENTS
from shared.log.dead_letter import stored_letter
from shared.log.embedded import EmbeddedLog
from shared.log.letter_sealing import opened_letter
from shared.log.protocol import Partition, ReceivedRecord
from tests.support.messages import NOON, an_event, on_the_log

PARTITION = Partition(ENGAGEMENT_EVENTS.name, 0)


@pytest.fixture
async def log(database: Database) -> AsyncIterator[EmbeddedLog]:
    log = EmbeddedLog(database)
    await log.start()
    await log.ensure_topics(ALL_TOPICS)
    yield log
    await log.stop()


def received(offset: int, value: bytes) -> ReceivedRecord:
    return ReceivedRecord(PARTITION, offset, b"key", value, {}, NOON)


def with_property(value: bytes) -> bytes:
    return on_the_log(an_event("poison", properties={"x": "MARK"})).replace(b'"MARK"', value)


POISON = {
    "no JSON": b"\xff\xfe",
    "another kind of message": b'{"type": "lead.unheard_of"}',
    "a NUL character": with_property(b'"\\u0000"'),
    "a lone surrogate": with_property(b'"\\ud800"'),
    "not a number": with_property(b"NaN"),
    "infinity": with_property(b"1e400"),
    "an integer beyond 64 bits": with_property(b"123456789012345678901234567890"),
    "nested 10,000 deep": with_property(b"[" * 10_000 + b"]" * 10_000),
    "empty": b"",
}


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
async def test_poison_is_kept_aside_and_its_neighbours_count(
    database: Database, log: EmbeddedLog, poison: bytes
) -> None:
    clock = ManualClock(NOON + timedelta(minutes=1))
    handlers = Handlers(Scorer(database, Outbox("scorer"), clock), log, clock, database)

    await handlers.handle(
        [received(0, on_the_log(an_event("a"))), received(1, poison), received(2, on_the_log(an_event("b")))]
    )

    async with database.transaction(ALL_WORKSPACES) as connection:
        counted = await connection.execute(text("SELECT event_id FROM scorer.event ORDER BY event_id"))
        assert [row.event_id for row in counted] == ["a", "b"]
    async with log.consume([f"{ENGAGEMENT_EVENTS.name}-dlq"], group="people", member="me") as consumer:
        (letter,) = await consumer.poll(max_records=10, timeout_seconds=5)
    assert (await opened_letter(database, stored_letter(letter))).record.value == poison
    assert letter.headers["dead-letter-offset"] == b"1"
    assert letter.headers["dead-letter-reason"] in {b"invalid_message", b"not_storable"}
