"""What the consumer of parked elements does with what the log brings."""

import pytest

from services.ingest.domain.outcome import parked
from services.ingest.domain.parking import Origin, element_parked
from services.ingest.handlers import Handlers
from services.ingest.parked.repository import ParkedFilter, ParkedRepository
from shared.clock import ManualClock
from shared.db.engine import Database
from shared.errors import DatabaseUnavailable
from shared.events.codec import encode
from shared.events.topics import ALL_TOPICS, PARKED_ELEMENTS
from shared.log.dead_letter import stored_letter
from shared.log.embedded import EmbeddedLog
from shared.log.letter_sealing import opened_letter
from shared.log.protocol import Partition, ReceivedRecord
from tests.support.ingesting import NOON
from tests.support.messages import an_event, on_the_log

ORIGIN = Origin("default", "web", "segment", "element", NOON, {"content-type": "application/json"})
GOOD = encode(element_parked(parked("unknown_type", "map it"), b"\x00\xff raw", ORIGIN, most_bytes=100))
POISON = {
    "no JSON": b"\xff",
    "another message": on_the_log(an_event()),
    "a NUL that PostgreSQL cannot store": GOOD.replace(b"map it", b"map\\u0000"),
    "a disposition that does not exist": GOOD.replace(b'"parked","code"', b'"lost","code"'),
}


def received(offset: int, value: bytes) -> ReceivedRecord:
    return ReceivedRecord(Partition(PARKED_ELEMENTS.name, 0), offset, b"k", value, {}, NOON)


async def test_an_element_is_stored_once_however_often_it_is_delivered(database: Database) -> None:
    repository = ParkedRepository(database)
    handlers = Handlers(repository, EmbeddedLog(database), ManualClock(NOON), database)

    await handlers.handle([received(0, GOOD), received(1, GOOD)])
    await handlers.handle([received(0, GOOD)])

    (element,) = await repository.page("default", ParkedFilter(), limit=10)
    assert (element.body, element.origin, element.is_whole) == (b"\x00\xff raw", ORIGIN, True)
    assert (element.reason.code, element.state, element.attempts) == ("unknown_type", "parked", 0)


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
async def test_what_cannot_be_stored_is_dead_lettered_and_its_neighbours_are_stored(
    database: Database, poison: bytes
) -> None:
    log = EmbeddedLog(database)
    await log.start()
    await log.ensure_topics(ALL_TOPICS)
    repository = ParkedRepository(database)

    await Handlers(repository, log, ManualClock(NOON), database).handle([received(0, poison), received(1, GOOD)])

    async with log.consume([f"{PARKED_ELEMENTS.name}-dlq"], group="people", member="me") as consumer:
        (letter,) = await consumer.poll(max_records=10, timeout_seconds=5)
    await log.stop()
    assert (await opened_letter(database, stored_letter(letter))).record.value == poison
    assert len(await repository.page("default", ParkedFilter(), limit=10)) == 1


async def test_while_postgresql_is_away_the_batch_has_to_come_again() -> None:
    nowhere = Database("postgresql://nobody@127.0.0.1:1/none", timeout_seconds=0.5)
    handlers = Handlers(ParkedRepository(nowhere), EmbeddedLog(nowhere), ManualClock(NOON), nowhere)

    with pytest.raises(DatabaseUnavailable):
        await handlers.handle([received(0, GOOD)])
