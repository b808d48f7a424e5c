"""After an erasure nothing of the lead is left: in PostgreSQL, dead letters, nor in topics after their retention."""

import asyncio
import csv
import subprocess
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from pydantic_core import to_json
from sqlalchemy.engine import make_url
from typer.testing import CliRunner

from services.command.main import app
from services.ingest.importing.files import digest_of
from services.ingest.importing.mapping import parse_mapping
from services.ingest.importing.position import PositionFile
from services.ingest.importing.runner import Importer
from services.ingest.publisher import Publisher, PublisherLimits
from services.ingest.service import Ingest
from services.pipeline.documents import versions as documents
from services.scorer.leads.history import Tuning
from services.scorer.models import versions as models
from services.scorer.rebuild.rebuilding import verify
from shared.clock import ManualClock, SystemClock
from shared.db.embedded_postgres import _programs
from shared.events.json import Json, JsonLimits
from shared.events.topics import ALL_TOPICS, DEAD_LETTER_TOPICS, ENGAGEMENT_EVENTS, LEAD_SCORES
from shared.log.connect import open_log
from shared.log.embedded import EmbeddedLog
from shared.log.protocol import Log, Record
from shared.settings import Settings
from tests.support.dumps import dump, places
from tests.support.pipeline import B2B
from tests.support.receiver import ReceivedRequest, Receiver, receiving
from tests.support.waiting import wait_until
from tests.support.webhooks import segment
from tests.support.whole import Whole, whole

EMAIL = "quill.canary@veiled-otter.example"
CANARIES = (
    EMAIL,
    "Quillaria Canaryfeather",
    "+4915550123987",
    "Veiled Otter Holdings",
    "203.0.113.77",
    "about the purple zeppelin",
    "visitor-canary-4711",
    "crm-canary-0815",
    "Lilac Canary Deal",
    "/only-for/quill-canary",
)
_, NAME, PHONE, COMPANY, ADDRESS, WORDS, VISITOR, CRM_ID, DEAL, PAGE = CANARIES
OTHER = "bystander@calm-heron.example"
PERSON = {"email": EMAIL, "name": NAME, "phone": PHONE, "company": COMPANY}
MODEL: Json = {
    "model": "test",
    "scores": {
        "engagement": {"rules": [{"id": "page", "on": "page_viewed", "points": 10, "half_life": "7d"}]},
    },
}
ENGINES = [
    pytest.param("embedded", marks=pytest.mark.postgres),
    pytest.param("kafka", marks=[pytest.mark.postgres, pytest.mark.kafka]),
]


@dataclass(frozen=True)
class World:
    """A leadflow that runs, on either log, and a receiver that takes nothing and says back what it was sent."""

    whole: Whole
    client: httpx.AsyncClient
    log: Log
    settings: Settings
    receiver: Receiver
    directory: Path

    async def post(self, path: str, body: Any, status: int = 202) -> Any:
        answer = await self.client.post(path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def get(self, path: str, **query: str) -> Any:
        answer = await self.client.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def lead(self, email: str) -> str:
        """The id of the lead with this address, once the pipeline knows of it."""
        found: list[str] = []

        async def is_known() -> bool:
            leads = (await self.get("/v1/leads", email=email))["leads"]
            found[:] = [lead["id"] for lead in leads]
            return bool(found)

        await wait_until(is_known, f"{email} is known", timeout_seconds=120, every_seconds=0.2)
        return found[0]

    async def events(self, lead: str) -> list[str]:
        return sorted(one["id"] for one in (await self.get(f"/v1/scores/{lead}/events", limit="100"))["events"])

    async def is_counted(self) -> bool:
        """Whether the scorer has handled all there is."""
        group = await self.log.group("scorer", [ENGAGEMENT_EVENTS.name])
        return all(lag.records == 0 for lag in group.lag.values())

    async def letters(self) -> dict[str, bytes]:
        """The topics of dead letters, as bytes."""
        return await contents(self.log, [topic.name for topic in DEAD_LETTER_TOPICS])


async def contents(log: Log, topics: list[str]) -> dict[str, bytes]:
    found = {}
    for topic in topics:
        parts: list[bytes] = []
        for partition, extent in (await log.extent(topic)).items():
            offset = extent.first
            while offset < extent.end and (records := await log.browse(partition, offset=offset, max_records=500)):
                parts += [b"\n".join((one.key, one.value, *one.headers.values())) for one in records]
                offset = records[-1].offset + 1
        found[topic] = b"\n".join(parts)
    return found


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which log there is. Not async: a broker that must be started first runs a loop of its own."""
    if request.param == "kafka":
        monkeypatch.setenv("LEADFLOW_KAFKA_BOOTSTRAP_SERVERS", request.getfixturevalue("kafka_bootstrap"))
        monkeypatch.setenv("LEADFLOW_KAFKA_PREFIX", f"t{uuid.uuid4().hex[:8]}-")
    return str(request.param)


@pytest.fixture
async def world(database_url: str, engine: str, tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(receiving(500))
        receiver.answer = lambda request: refused(receiver, request)
        running = await stack.enter_async_context(whole(database_url))
        clock = SystemClock()
        await models.publish(running.database, clock, "default", MODEL, by="test", reason="test")
        await documents.publish(running.database, clock, "default", B2B, by="test", reason="test")
        settings = Settings()
        log = open_log(settings, running.database)
        await log.start()
        stack.push_async_callback(log.stop)
        client = await running.client("default")
        yield World(running, client, log, settings, receiver, tmp_path)


def refused(receiver: Receiver, request: ReceivedRequest) -> tuple[int, dict[str, str]]:
    """A CRM that fails for one lead, and says of whom it was told.

    It takes all else: a receiver that failed before would be left alone for a while.
    """
    if EMAIL.encode() not in request.body:
        receiver.body = b""
        return 200, {}
    receiver.body = to_json(PERSON)
    return 500, {}


def an_item(number: int, lead: dict[str, Any], **more: Any) -> dict[str, Any]:
    moment = datetime.now(UTC) - timedelta(hours=number)
    return {"id": f"e-{number}", "type": "page_viewed", "occurred_at": moment.isoformat(), "lead": lead, **more}


async def send_by_webhook(world: World) -> None:
    await world.post("/v1/sources", {"id": "segment", "kind": "segment", "secrets": [SECRET]}, 201)
    page = {
        "type": "page",
        "name": "Pricing",
        "messageId": "m-1",
        "anonymousId": VISITOR,
        "timestamp": datetime.now(UTC).isoformat(),
        "context": {"ip": ADDRESS},
        "properties": {"comment": WORDS, "ip": ADDRESS},
    }
    identify = {**page, "type": "identify", "messageId": "m-2", "userId": CRM_ID, "traits": PERSON}
    for element in (page, identify):
        signed = segment(element, secret=SECRET)
        answer = await world.client.post("/v1/webhooks/segment", content=signed.body, headers=dict(signed.headers))
        assert answer.status_code == 202, answer.text


SECRET = "segment-secret-of-this-test"


async def send_by_file(world: World) -> None:
    path = world.directory / "people.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["email", "name", "phone", "company", "note"])
        rows.writerow([EMAIL, NAME, PHONE, COMPANY, WORDS])
    attributes: dict[str, Json] = {name: name for name in ("name", "phone", "company", "note")}
    event: Json = {"id": "email", "occurred_at": {"value": "2026-03-02T10:00:00Z"}, "attributes": attributes}
    mapping: Json = {"source": "file", "lead": {"email": "email"}, "events": {"lead_captured": event}}
    ingest = Ingest(Publisher(world.log, ENGAGEMENT_EVENTS.name, PublisherLimits(100, 2**20)), JsonLimits(), 2**19)
    done = await Importer(ingest, SystemClock()).run(
        path,
        parse_mapping(mapping),
        positions=PositionFile.of(world.directory, digest_of(path)),
        refused_path=world.directory / "refused",
        on_progress=lambda _: None,
    )
    assert done.accepted == 1


async def send_what_nobody_can_read(world: World) -> None:
    """An element that is parked, and records on two topics that are poison."""
    await world.post("/v1/events", an_item(9, {"email": EMAIL}, type="No Type!", properties=PERSON), 422)
    poison = b'{"half": ' + to_json({**PERSON, "text": WORDS, "ip": ADDRESS})[:-1]
    for topic in (ENGAGEMENT_EVENTS, LEAD_SCORES):
        await world.log.publish(topic.name, [Record(b"poison", poison, {})])

    async def are_aside() -> bool:
        letters = await world.letters()
        parked = (await world.get("/v1/parked"))["elements"]
        return bool(parked) and sum(bool(content) for content in letters.values()) == 2

    await wait_until(are_aside, "what nobody can read is set aside", timeout_seconds=120, every_seconds=0.2)


async def let_everything_in(world: World) -> tuple[str, str]:
    """A lead that came by every way there is, and another one; their ids."""
    await world.post("/v1/subscriptions", {"url": world.receiver.url, "event_types": []}, 201)
    await world.post("/v1/events", an_item(1, {"email": OTHER}, properties={"path": "/"}))
    await send_by_webhook(world)
    lead, other = await world.lead(EMAIL), await world.lead(OTHER)
    await send_by_file(world)
    await world.post("/v1/events", an_item(2, {"email": EMAIL}, properties={"comment": WORDS, "url": PAGE}))
    await world.post(
        "/v1/events", {**an_item(4, {"email": EMAIL}, properties={"name": DEAL}), "type": "deal_updated"}
    )
    await send_what_nobody_can_read(world)

    async def is_all_there() -> bool:
        deliveries = (await world.get(f"/v1/leads/{lead}/export"))["deliveries"]
        answers = [answer["response"] for one in deliveries for answer in one["answers"]]
        return len(await world.events(lead)) == 5 and any(NAME in (answer or "") for answer in answers)

    await wait_until(is_all_there, "five events, and a delivery that failed", timeout_seconds=120, every_seconds=0.2)
    return lead, other


async def erased(world: World, lead: str) -> None:
    answer = await world.client.delete(f"/v1/scores/{lead}")
    assert answer.status_code == 202, answer.text

    async def is_complete() -> bool:
        return bool((await world.get(f"/v1/scores/{lead}/erasure"))["completed_at"])

    async def is_told() -> bool:
        page = await world.get("/v1/feed", type="lead.erased")
        return [message["subject"] for message in page["messages"]] == [lead]

    await wait_until(is_complete, "the erasure is complete", timeout_seconds=120, every_seconds=0.2)
    await wait_until(is_told, "lead.erased is told", timeout_seconds=120, every_seconds=0.2)


async def after_their_retention(world: World) -> None:
    """Let the time pass for which topics are kept."""
    topics = {topic.name: 1 for topic in ALL_TOPICS}
    if not world.settings.kafka_bootstrap_servers:
        later = EmbeddedLog(
            world.whole.database,
            clock=ManualClock(datetime.now(UTC) + timedelta(hours=1)),
            retention_seconds=topics,
        )
        await later.start()
        await later.ensure_topics(ALL_TOPICS)
        await later.trim()
        await later.stop()
        return
    admin = AIOKafkaAdminClient(bootstrap_servers=world.settings.kafka_bootstrap_servers)
    await admin.start()
    try:
        ends = {
            TopicPartition(world.settings.kafka_prefix + topic, partition.number): RecordsToDelete(extent.end)
            for topic in topics
            for partition, extent in (await world.log.extent(topic)).items()
        }
        await admin.delete_records(ends)
    finally:
        await admin.close()


async def test_nothing_of_an_erased_lead_is_left_and_nobody_else_notices(world: World, database_url: str) -> None:
    lead, other = await let_everything_in(world)
    before = await world.get(f"/v1/scores/{other}", at="2026-12-31T00:00:00Z")
    is_embedded = not world.settings.kafka_bootstrap_servers
    topics = {"log.records"} if is_embedded else set()
    said = places(CANARIES, await contents(world.log, [topic.name for topic in ALL_TOPICS]))
    held = places(CANARIES, await dump(database_url, without=topics))

    await erased(world, lead)

    assert {value for value, _ in said} == set(CANARIES), "the search finds what is there"
    assert held == [], "everything is sealed"
    assert places(CANARIES, await dump(database_url, without=topics)) == []
    assert places(CANARIES, await world.letters()) == []
    assert await world.get(f"/v1/scores/{other}", at="2026-12-31T00:00:00Z") == before
    found = await verify(world.whole.database, "default", SystemClock(), at=None, tuning=Tuning(0))
    assert (found.leads, found.different) == (1, 0)

    await after_their_retention(world)

    assert places(CANARIES, await dump(database_url)) == []
    assert places(CANARIES, await contents(world.log, [topic.name for topic in ALL_TOPICS])) == []


@pytest.mark.parametrize("engine", ENGINES[:1], indirect=True)
async def test_an_old_backup_with_the_last_keys_has_nothing_of_an_erased_lead(
    world: World, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lead, other = await let_everything_in(world)
    old, keys = world.directory / "old.dump", world.directory / "keys.dump"
    before = await world.get(f"/v1/scores/{other}", at="2026-12-31T00:00:00Z")
    await asyncio.to_thread(program, "pg_dump", database_url, old, "--exclude-schema=sealing")
    await erased(world, lead)
    await asyncio.to_thread(program, "pg_dump", database_url, keys, "--schema=sealing")

    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(restored(database_url, [old, keys]))
        running = await stack.enter_async_context(whole(url))
        again = replace(world, whole=running, client=await running.client("default"))
        answers = {path: (await again.client.get(path)).status_code for path in paths_of(lead)}
        listed = [
            await again.get("/v1/leads", **query)
            for query in ({}, {"email": EMAIL}, {"attribute": f"company={COMPANY}"})
        ]
        parked = await again.get("/v1/parked")
        others = (await again.get("/v1/leads", email=OTHER))["leads"]
        unchanged = await again.get(f"/v1/scores/{other}", at="2026-12-31T00:00:00Z")
        verified = await verify(running.database, "default", SystemClock(), at=None, tuning=Tuning(0))
        monkeypatch.setenv("LEADFLOW_DATABASE_URL", url)
        done = await asyncio.to_thread(CliRunner().invoke, app, ["leads", "erase", "--restored"])
        left = [name for name, text in (await dump(url)).items() if lead.encode() in text]

    assert set(answers.values()) == {404}, answers
    assert [[one["id"] for one in page["leads"]] for page in listed] == [[other], [], []]
    assert parked["elements"] == []
    assert ([one["id"] for one in others], others[0]["emails"], unchanged) == ([other], [OTHER], before)
    assert (verified.leads, verified.different) == (1, 0)
    assert (done.exit_code, f"lead {lead} is erased" in done.stdout) == (0, True), done.output
    assert not {"scorer.lead", "scorer.identity", "scorer.event", "pipeline.hot_row", "pipeline.timeline"} & set(left)


def paths_of(lead: str) -> list[str]:
    """Where a lead is asked for."""
    of_scorer = [f"/v1/scores/{lead}{part}" for part in ("", "/events", "/forecast", "/export")]
    return of_scorer + [f"/v1/leads/{lead}{part}" for part in ("", "/timeline", "/stages", "/export")]


@asynccontextmanager
async def restored(database_url: str, parts: Sequence[Path]) -> AsyncIterator[str]:
    """Another database of the same server, made of these dumps."""
    name = f"restored_{uuid.uuid4().hex[:12]}"
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        url = make_url(database_url).set(database=name).render_as_string(hide_password=False)
        for part in parts:
            await asyncio.to_thread(program, "pg_restore", url, part)
        yield url
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await connection.close()


def program(name: str, url: str, file: Path, *options: str) -> None:
    way = [f"--file={file}", "--format=custom"] if name == "pg_dump" else ["--exit-on-error", str(file)]
    command = [str(_programs() / name), f"--dbname={url}", *options, *way]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


async def test_a_later_event_begins_a_new_lead_without_the_past(world: World) -> None:
    lead, other = await let_everything_in(world)
    await erased(world, lead)

    await send_again(world)
    await world.post("/v1/events", {**an_item(0, {"email": EMAIL}), "id": "e-new"})
    again = await world.lead(EMAIL)
    await wait_until(world.is_counted, "everything that came again is handled", timeout_seconds=120)

    assert again not in {lead, other}
    assert await world.events(again) == ["e-new"]
    for path in (f"/v1/scores/{lead}", f"/v1/scores/{lead}/export", f"/v1/leads/{lead}", f"/v1/leads/{lead}/export"):
        assert (await world.client.get(path)).status_code == 404


async def send_again(world: World) -> None:
    """What was sent before the erasure comes once more: from the platform, and from the log."""
    await world.post("/v1/events", an_item(2, {"email": EMAIL}, properties={"comment": WORDS}))
    late = {
        **an_item(3, {"email": EMAIL}),
        "source": "api",
        "native_type": None,
        "received_at": (datetime.now(UTC) - timedelta(hours=1)).isoformat(),
        "properties": {},
        "attributes": {"company": COMPANY},
    }
    late["lead"] = {"email": EMAIL, "external_ids": {}, "anonymous_id": None}
    message = {
        "specversion": "1.0",
        "id": "e-3",
        "type": "engagement.accepted",
        "source": "api",
        "subject": "digest",
        "time": late["occurred_at"],
        "datacontenttype": "application/json",
        "workspace": "default",
        "data": late,
    }
    await world.log.publish(ENGAGEMENT_EVENTS.name, [Record(b"late", to_json(message), {})])


async def test_an_export_has_everything_and_another_workspace_has_nothing(world: World) -> None:
    lead, _ = await let_everything_in(world)
    stranger = await world.whole.client("elsewhere")

    of_scorer = await world.get(f"/v1/scores/{lead}/export")
    of_pipeline = await world.get(f"/v1/leads/{lead}/export")

    texts = {"scorer": to_json(of_scorer), "pipeline": to_json(of_pipeline)}
    assert {value for value, name in places(CANARIES, texts) if name == "scorer"} == set(CANARIES)
    assert len(of_scorer["events"]) == 5
    assert {line["kind"] for line in of_pipeline["timeline"]} >= {"event", "score"}
    assert any(message["type"] == "lead.score_changed" for message in of_pipeline["messages"])
    answers = [answer["response"] for one in of_pipeline["deliveries"] for answer in one["answers"]]
    assert any(NAME in (answer or "") for answer in answers)
    for method, path in (
        ("GET", f"/v1/scores/{lead}/export"),
        ("GET", f"/v1/leads/{lead}/export"),
        ("DELETE", f"/v1/scores/{lead}"),
        ("GET", f"/v1/scores/{lead}/erasure"),
    ):
        assert (await stranger.request(method, path)).status_code == 404
