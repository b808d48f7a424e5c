"""A record that its headers give to one workspace and its body to another is of neither: no consumer takes it in."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import uuid4

import pytest
from msgspec import structs
from sqlalchemy import text

from services.ingest import handlers as ingest
from services.ingest.domain.outcome import parked
from services.ingest.domain.parking import Origin, element_parked
from services.ingest.parked.repository import ParkedRepository
from services.pipeline import handlers as pipeline
from services.pipeline.service import PipelineService
from services.scorer import handlers as scorer
from services.scorer.service import Scorer
from shared.clock import ManualClock
from shared.db.engine import Database
from shared.db.outbox import Outbox, Outgoing
from shared.db.reach import ALL_WORKSPACES
from shared.errors import InvalidInput
from shared.events.codec import encode
from shared.events.topics import ALL_TOPICS, ENGAGEMENT_EVENTS, LEAD_SCORES, PARKED_ELEMENTS, TOPICS
from shared.log.dead_letter import sort_out, stored_letter
from shared.log.embedded import EmbeddedLog
from shared.log.kafka import KafkaLog
from shared.log.letter_sealing import opened_letter
from shared.log.messages import message_of
from shared.log.protocol import Log, Partition, ReceivedRecord
from tests.support.messages import NOON, an_event, on_the_log
from tests.support.pipeline import a_score_change

pytestmark = pytest.mark.postgres

CLOCK = ManualClock(NOON + timedelta(minutes=1))
Handle = Callable[[Sequence[ReceivedRecord]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Consumer:
    """A service's consumer: what it reads, and whose rows it has written."""

    topic: str
    handle: Callable[[Database, Log], Handle]
    body: Callable[[str, int], bytes]
    written: str


def _scorers(database: Database, log: Log) -> Handle:
    return scorer.Handlers(Scorer(database, Outbox("scorer"), CLOCK), log, CLOCK, database).handle


def _pipelines(database: Database, log: Log) -> Handle:
    service = PipelineService(database, CLOCK, Outbox("pipeline"), on_told=lambda: None)
    return pipeline.Handlers(service, log, CLOCK, database).handle


def _ingests(database: Database, log: Log) -> Handle:
    return ingest.Handlers(ParkedRepository(database), log, CLOCK, database).handle


def _element(workspace: str, number: int) -> bytes:
    origin = Origin(workspace, "web", "segment", "element", NOON)
    outcome = parked("unknown_type", "map it", element_id=str(number))
    return encode(element_parked(outcome, b"{}", origin, most_bytes=100))


def _lead(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


CONSUMERS = {
    "scorer": Consumer(
        ENGAGEMENT_EVENTS.name,
        _scorers,
        lambda workspace, number: on_the_log(an_event(str(number), workspace=workspace)),
        "SELECT workspace FROM scorer.event ORDER BY workspace",
    ),
    "pipeline": Consumer(
        LEAD_SCORES.name,
        _pipelines,
        lambda workspace, number: encode(a_score_change(1, lead=_lead(number), workspace=workspace)),
        "SELECT workspace FROM pipeline.lead ORDER BY workspace",
    ),
    "ingest": Consumer(
        PARKED_ELEMENTS.name, _ingests, _element, "SELECT workspace FROM ingest.parked ORDER BY workspace"
    ),
}


ENGINES = ["embedded", pytest.param("kafka", marks=pytest.mark.kafka)]
# What goes through an outbox: the scorer's, the pipeline's, and what the pipeline sends back.
RELAYED = [topic for topic in TOPICS if topic is not PARKED_ELEMENTS]


@pytest.fixture
async def log(database: Database) -> AsyncIterator[EmbeddedLog]:
    log = EmbeddedLog(database)
    await log.start()
    await log.ensure_topics(ALL_TOPICS)
    yield log
    await log.stop()


def received(topic: str, offset: int, value: bytes, headers: Mapping[str, bytes]) -> ReceivedRecord:
    return ReceivedRecord(Partition(topic, 0), offset, b"key", value, headers, NOON)


@pytest.mark.parametrize("name", CONSUMERS)
async def test_it_is_dead_lettered_and_its_neighbours_are_taken_in(
    database: Database, log: EmbeddedLog, name: str
) -> None:
    consumer = CONSUMERS[name]
    headers: list[dict[str, bytes]] = [{"workspace": b"acme"}, {"workspace": b"bolt"}, {}]
    bodies = [consumer.body(workspace, number) for number, workspace in enumerate(("acme", "cat", "dog"))]
    records = [received(consumer.topic, *item) for item in zip(range(3), bodies, headers, strict=True)]

    await consumer.handle(database, log)(records)

    async with database.transaction(ALL_WORKSPACES) as connection:
        assert list(await connection.scalars(text(consumer.written))) == ["acme", "dog"]
    async with log.consume([f"{consumer.topic}-dlq"], group="people", member="me") as reader:
        (letter,) = await reader.poll(max_records=10, timeout_seconds=30)
    assert (await opened_letter(database, stored_letter(letter))).record.value == bodies[1]
    assert letter.headers["dead-letter-reason"] == b"workspace_mismatch"
    assert (letter.headers["dead-letter-offset"], letter.headers["workspace"]) == (b"1", b"bolt")


@pytest.fixture(params=ENGINES)
def kafka(request: pytest.FixtureRequest) -> str | None:
    """Where Kafka is; None for the embedded log. Not async: a broker that starts runs a loop of its own."""
    return str(request.getfixturevalue("kafka_bootstrap")) if request.param == "kafka" else None


async def test_what_a_service_tells_another_says_whose_it_is(database: Database, kafka: str | None) -> None:
    """By the relay of an outbox, and on either log: the header goes the whole way, and is what the reader checks."""
    topics = [replace(topic, name=f"{topic.name}-{uuid4().hex[:8]}") for topic in RELAYED]
    outbox = Outbox("scorer")
    async with opened_log(kafka or database.url, database) as log:
        await log.ensure_topics(topics)
        async with database.transaction(ALL_WORKSPACES) as connection:
            told = [
                Outgoing(topic, _lead(number), a_score_change(1, lead=_lead(number), workspace=workspace))
                for topic in topics
                for number, workspace in enumerate(("acme", "bolt"))
            ]
            await outbox.append(connection, told)

        await outbox.relay_once(database, log)

        found = [record for topic in topics for record in await records_of(log, topic.name, 2)]
    forged = [structs.replace(record, headers={**record.headers, "workspace": b"cat"}) for record in found]
    assert [record.headers["workspace"].decode() for record in found] == [
        message_of(record).workspace for record in found
    ]
    assert {record.headers["workspace"] for record in found} == {b"acme", b"bolt"}
    assert [letter.reason for letter in sort_out(forged, message_of)[1]] == ["workspace_mismatch"] * len(found)


async def records_of(log: Log, topic: str, count: int) -> list[ReceivedRecord]:
    found: list[ReceivedRecord] = []
    async with log.consume([topic], group=f"test-{topic}", member="me") as reader:
        while len(found) < count:
            found += await reader.poll(max_records=10, timeout_seconds=30)
    return found


@asynccontextmanager
async def opened_log(address: str, database: Database) -> AsyncIterator[Log]:
    log: Log = EmbeddedLog(database) if address == database.url else KafkaLog(address)
    await log.start()
    try:
        yield log
    finally:
        await log.stop()


@pytest.mark.parametrize("said", [b"", b"ACME", b"acme ", b"acm", b"\xff", b"acme,bolt"])
def test_a_header_says_the_very_name_or_another(said: bytes) -> None:
    record = received(ENGAGEMENT_EVENTS.name, 0, on_the_log(an_event(workspace="acme")), {"workspace": said})

    with pytest.raises(InvalidInput) as refusal:
        message_of(record)

    assert refusal.value.code == "workspace_mismatch"
