"""Letters for somebody who takes them one by one: few questions to the log, little at hand, each for itself."""

import uuid
from datetime import UTC, datetime

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from sqlalchemy import text

from services.command.letters import Letters, Place, not_sent_back
from shared.db.engine import Database
from shared.errors import InvalidInput, LogUnavailable
from shared.events.topics import DEAD_LETTER_TOPICS, ENGAGEMENT_EVENTS
from shared.log.dead_letter import DeadLetter, publish_dead_letters
from shared.log.protocol import Log, Partition, ReceivedRecord
from shared.settings import Settings
from tests.support.postgres import as_owner
from tests.support.waiting import wait_until

TOPIC = ENGAGEMENT_EVENTS.name
LETTERS = Partition(f"{TOPIC}-dlq", 0)
OTHERS = Partition(DEAD_LETTER_TOPICS[1].name, 0)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Asked:
    """What a log was asked to show, from which offset and how many; it fails to answer the questions in `failing`."""

    def __init__(self, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
        self.questions: list[tuple[Partition, int, int]] = []
        self.failing: set[int] = set()
        self._browse = log.browse
        monkeypatch.setattr(log, "browse", self._answer)

    async def _answer(self, partition: Partition, *, offset: int, max_records: int) -> object:
        self.questions.append((partition, offset, max_records))
        if len(self.questions) in self.failing:
            raise LogUnavailable("it is away", outcome_unknown=False)
        return await self._browse(partition, offset=offset, max_records=max_records)


@pytest.fixture
def asked(log: Log, monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(log, monkeypatch)


async def dead(log: Log, *values: bytes, topic: str = TOPIC) -> None:
    """Letters of records of `topic` that nobody could handle."""
    letters = [
        DeadLetter(ReceivedRecord(Partition(topic, 0), number, b"k", value, {}, NOW), "not_json")
        for number, value in enumerate(values)
    ]
    await publish_dead_letters(log, letters, now=NOW)


def at(*offsets: int, partition: Partition = LETTERS) -> list[Place]:
    return [Place(partition, offset) for offset in offsets]


async def found(letters: Letters, places: list[Place]) -> list[bytes | str]:
    """The content of each letter, or why it could not be had."""
    return [await _content(letters, place) for place in places]


async def _content(letters: Letters, place: Place) -> bytes | str:
    try:
        return (await letters.at(place)).record.value
    except InvalidInput as error:
        return error.code
    except LogUnavailable:
        return "unavailable"


async def test_neighbours_come_by_one_question_and_no_more_than_are_wanted(
    log: Log, database: Database, asked: Asked
) -> None:
    await dead(log, *(b"%d" % number for number in range(6)))
    await dead(log, b"other", topic=OTHERS.topic.removesuffix("-dlq"))
    places = [*at(1, 2, 4), *at(0, partition=OTHERS)]

    contents = await found(Letters(database, log, places), places)

    assert contents == [b"1", b"2", b"4", b"other"]
    assert asked.questions == [(LETTERS, 1, 4), (OTHERS, 0, 1)]


async def test_letters_are_found_in_any_order_and_as_often_as_they_are_asked_for(
    log: Log, database: Database
) -> None:
    await dead(log, b"0", b"1", b"2")
    places = at(2, 0, 2, 1, 1)

    contents = await found(Letters(database, log, places), places)

    assert contents == [b"2", b"0", b"2", b"1", b"1"]


async def test_large_letters_come_a_few_at_a_time_and_whole(log: Log, database: Database, asked: Asked) -> None:
    large = [bytes([number]) * 1_000_000 for number in range(8)]
    for value in large:
        await dead(log, value)
    places = at(*range(8))

    contents = await found(Letters(database, log, places), places)

    assert contents == large
    assert len(asked.questions) > 1


async def test_what_is_not_there_is_told_by_one_question_more(log: Log, database: Database, asked: Asked) -> None:
    await dead(log, b"0", b"1")
    places = at(0, 1, 2, 3, 4)

    contents = await found(Letters(database, log, places), places)

    assert contents == [b"0", b"1", "not_found", "not_found", "not_found"]
    assert asked.questions == [(LETTERS, 0, 5), (LETTERS, 2, 3)]


async def test_a_topic_that_nobody_made_has_no_letters(log: Log, database: Database) -> None:
    places = at(0, 1, partition=Partition(f"nobody-{uuid.uuid4().hex}-dlq", 0))

    assert await found(Letters(database, log, places), places) == ["not_found", "not_found"]


@pytest.mark.parametrize("engine", ["embedded"], indirect=True)
async def test_what_is_no_longer_kept_hides_nothing_behind_it(
    log: Log, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.command.letters._STRETCH", 2)
    await dead(log, *(b"%d" % number for number in range(6)))
    async with as_owner(database) as connection:
        await connection.execute(text('DELETE FROM log.records WHERE "offset" IN (0, 1, 4)'))
    places = at(*range(6))

    contents = await found(Letters(database, log, places), places)

    assert contents == ["not_found", "not_found", b"2", b"3", "not_found", b"5"]


@pytest.mark.parametrize("engine", ["kafka"], indirect=True)
async def test_offsets_that_no_letter_has_hide_nothing_behind_them(
    log: Log, database: Database, monkeypatch: pytest.MonkeyPatch, asked: Asked
) -> None:
    monkeypatch.setattr("services.command.letters._STRETCH", 3)
    await dead(log, b"0", b"1")
    await in_a_transaction(log, b"2")
    await dead(log, b"4")
    await no_longer_kept(until=1)
    places = at(*range(5))

    contents = await found(Letters(database, log, places), places)
    asked_for = [offset for _, offset, _ in asked.questions]
    to_go = await not_sent_back(database, log, LETTERS.topic, reason=None, limit=10)

    assert contents == ["not_found", b"1", b"2", "not_found", b"4"]
    assert asked_for == [0, 3]
    assert to_go == at(1, 2, 4)


async def test_a_question_that_fails_is_the_matter_of_one_letter(log: Log, database: Database, asked: Asked) -> None:
    await dead(log, *(b"%d" % number for number in range(4)))
    asked.failing = {1, 2}
    places = at(*range(4))

    contents = await found(Letters(database, log, places), places)

    assert contents == ["unavailable", "unavailable", b"2", b"3"]
    assert [offset for _, offset, _ in asked.questions] == [0, 1, 2]


async def in_a_transaction(log: Log, value: bytes) -> None:
    """A letter on Kafka, and the end of its transaction, which takes an offset of its own."""
    settings, end = Settings(), (await log.extent(LETTERS.topic))[LETTERS].end
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap_servers, transactional_id=f"letters-{uuid.uuid4().hex}"
    )
    await producer.start()
    try:
        async with producer.transaction():
            await producer.send_and_wait(settings.kafka_prefix + LETTERS.topic, value, partition=0)
    finally:
        await producer.stop()

    async def is_ended() -> bool:
        return (await log.extent(LETTERS.topic))[LETTERS].end == end + 2

    await wait_until(is_ended, "the end of the transaction is in the topic")


async def no_longer_kept(*, until: int) -> None:
    """As after the retention on Kafka, for the letters before `until`."""
    settings = Settings()
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers)
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(settings.kafka_prefix + LETTERS.topic, 0): RecordsToDelete(until)})
    finally:
        await admin.close()
