"""leadflow as its users run it, on both logs: real processes, HTTP in, scores and messages out."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from services.command.runtime import database
from shared.events.codec import decode
from shared.events.topics import TOPICS
from shared.log.embedded import EmbeddedLog
from shared.log.kafka import KafkaLog
from shared.log.protocol import Log, ReceivedRecord
from shared.settings import Settings
from tests.e2e.commands import COMMANDS
from tests.support.leadflow_process import Installation, Running, gather_limited, until_json
from tests.support.waiting import wait_until

SCHEMAS = Path(__file__).resolve().parents[2] / "shared" / "events" / "schema"
MODEL = {
    "model": "e2e",
    "scores": {
        "engagement": {"rules": [{"id": "page", "on": "page_viewed", "points": 2}]},
        "fit": {"rules": [{"id": "boss", "if": {"attributes.title": "boss"}, "points": 10}]},
        "total": {"combine": {"engagement": 1, "fit": 1}},
    },
    "bands": {"total": {"hot": 12, "cold": 0}},
    "thresholds": {"mql": {"score": "total", "enter": 12, "exit": 6}},
}
PIPELINE = {
    "pipeline": "e2e",
    "stages": [
        {"id": "new", "initial": True},
        {"id": "mql", "enter_when": {"threshold": "mql"}},
        {"id": "won", "terminal": "won"},
    ],
}


@pytest.fixture
async def up(installation: Installation) -> AsyncIterator[Running]:
    async with installation.running() as running:
        yield running


@pytest.fixture
async def client(installation: Installation, up: Running) -> AsyncIterator[httpx.AsyncClient]:
    """A client that may do everything, of a workspace with a model and a pipeline."""
    key = installation.run("keys", "create", "--scope", "admin")
    async with up.client(key) as client:
        await wait_until(lambda: _is_let_in(client), "the key is known")
        for path, document in (("/v1/models", MODEL), ("/v1/pipelines", PIPELINE)):
            answer = await client.post(path, json={"document": document})
            assert answer.status_code == 201, answer.text
        yield client


async def _is_let_in(client: httpx.AsyncClient) -> bool:
    return (await client.get("/v1/leads")).status_code == 200


def an_event(name: str, email: str = "ann@acme.example", **more: Any) -> dict[str, Any]:
    return {"id": name, "type": "page_viewed", "lead": {"email": email}, **more}


async def test_an_event_becomes_a_score_a_threshold_a_stage_and_valid_messages(
    installation: Installation, client: httpx.AsyncClient
) -> None:
    posted = await client.post("/v1/events", json=an_event("e1", attributes={"title": "boss"}))
    assert posted.status_code == 202, posted.text

    found = await until_json(client, "/v1/leads?stage=mql", lambda found: found["leads"], "the lead is in stage mql")

    (lead,) = found["leads"]
    assert lead["scores"] == {"engagement": 2, "fit": 10, "total": 12}
    detail = (await client.get(f"/v1/leads/{lead['id']}")).json()
    assert {entry["name"] for entry in detail["ledger"]["total"]["entries"]} == {"engagement", "fit"}
    messages = await _messages(installation, expected=6)
    types = sorted(message["type"] for message in messages)
    assert types == [
        "engagement.accepted",
        "lead.events_recorded",
        "lead.score_changed",
        "lead.stage_changed",
        "lead.stage_changed",
        "lead.threshold_entered",
    ]
    for message in messages:
        schema = json.loads((SCHEMAS / f"{message['type']}.v1.json").read_text())  # noqa: TID251 - our own file
        Draft202012Validator(schema).validate(message)


async def test_what_cannot_be_an_event_is_refused_with_its_place_and_stops_nothing(client: httpx.AsyncClient) -> None:
    start = b'{"id": "x", "type": "page_viewed", "lead": {"email": "a@b.example"}, '
    bodies = {
        "unknown field": start + b'"colour": 1}',
        "wrong type": b'{"id": "x", "type": 7, "lead": {"email": "a@b.example"}}',
        "NUL": start + b'"properties": {"p": "\\u0000"}}',
        "surrogate": start + b'"properties": {"p": "\\ud800"}}',
        "NaN": start + b'"properties": {"p": NaN}}',
        "1e400": start + b'"properties": {"p": 1e400}}',
        "deep": b'{"id": "x", "properties": ' + b'{"p":' * 10_000 + b"1" + b"}" * 10_000 + b"}",
        "large": b'{"id": "' + b"x" * 6 * 1024 * 1024 + b'"}',
    }
    for name, body in bodies.items():
        answer = await client.post("/v1/events", content=body, headers={"content-type": "application/json"})
        assert 400 <= answer.status_code < 500, (name, answer.status_code)
        assert answer.status_code != 401, name

    stranger = {"Authorization": "Bearer nonsense"}
    assert (await client.post("/v1/events", json=an_event("e"), headers=stranger)).status_code == 401
    forged = {"x-signature": "00", "content-type": "application/json"}
    assert (await client.post("/v1/webhooks/unheard-of", content=b"{}", headers=forged)).status_code == 401

    await client.post("/v1/events", json=an_event("good"))
    await until_json(client, "/v1/leads", lambda found: found["leads"], "the next good event is scored")


async def test_kill_minus_nine_loses_nothing_and_counts_nothing_twice(up: Running, client: httpx.AsyncClient) -> None:
    events = [an_event(f"e{number}", f"p{number % 10}@acme.example") for number in range(400)]
    accepted: list[str] = []

    async def post_until_accepted(event: dict[str, Any]) -> None:
        async def is_accepted() -> bool:
            try:
                return (await client.post("/v1/events", json=event)).status_code == 202
            except httpx.TransportError:
                return False

        await wait_until(is_accepted, "the event is accepted", timeout_seconds=90, every_seconds=0.1)
        accepted.append(event["id"])

    posting = asyncio.create_task(gather_limited(8, [post_until_accepted(event) for event in events]))
    for progress in (50, 150, 300):
        await wait_until(partial(_reached, accepted, progress), "posting goes on", timeout_seconds=90)
        up.kill()
        up.start()
        await up.wait_until_ready()
    await posting

    def all_counted(found: dict[str, Any]) -> bool:
        return len(found["leads"]) == 10 and all(lead["scores"]["total"] == 80 for lead in found["leads"])

    await until_json(client, "/v1/leads", all_counted, "each of 400 events counts once", timeout_seconds=60)


async def test_sigterm_finishes_what_is_in_hand(
    installation: Installation, client: httpx.AsyncClient, up: Running
) -> None:
    await client.post("/v1/events", json=[an_event(f"e{number}") for number in range(200)])

    assert up.stop() == 0

    async with installation.running() as again:
        client.base_url = httpx.URL(again.base_url)
        await until_json(
            client,
            "/v1/leads",
            lambda found: found["leads"] and found["leads"][0]["scores"]["total"] == 400,
            "everything accepted before the end is scored after the restart",
            timeout_seconds=30,
        )


@pytest.mark.kafka
async def test_services_in_processes_of_their_own_do_the_same(
    tmp_path: Path, kafka_bootstrap: str, database_url: str
) -> None:
    installation = Installation(
        tmp_path,
        {
            "LEADFLOW_KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap,
            "LEADFLOW_KAFKA_PREFIX": f"apart-{random.SystemRandom().randrange(10**9)}-",
            "LEADFLOW_DATABASE_URL": database_url,
        },
    )
    installation.run("migrate")
    key = installation.run("keys", "create", "--scope", "admin")
    async with (
        installation.running("ingest") as ingest,
        installation.running("scorer") as scorer,
        installation.running("pipeline") as pipeline,
    ):
        async with scorer.client(key) as client:
            assert (await client.post("/v1/models", json={"document": MODEL})).status_code == 201
        async with ingest.client(key) as client:
            assert (await client.post("/v1/events", json=an_event("e1"))).status_code == 202
        async with pipeline.client(key) as client:
            found = await until_json(client, "/v1/leads", lambda found: found["leads"], "the lead is listed")
    assert found["leads"][0]["scores"]["total"] == 2
    assert {"ingest", "scorer", "pipeline", "migrate", "up"} == set(COMMANDS)


def _reached(accepted: list[str], progress: int) -> bool:
    return len(accepted) >= progress


async def _messages(installation: Installation, *, expected: int) -> list[dict[str, Any]]:
    """Everything on the topics, as JSON, once `expected` messages are there."""
    records: list[ReceivedRecord] = []
    topics = [topic.name for topic in TOPICS]
    async with _log_of(installation) as log, log.consume(topics, group="test", member="t") as consumer:

        async def polled() -> bool:
            records.extend(await consumer.poll(max_records=100, timeout_seconds=0.5))
            return len(records) >= expected

        await wait_until(polled, f"{expected} messages are on the topics", timeout_seconds=30)
    return [decode(record.value).model_dump(mode="json") for record in records]


@asynccontextmanager
async def _log_of(installation: Installation) -> AsyncIterator[Log]:
    """The log of a running installation, for somebody who only listens."""
    bootstrap = installation.environment.get("LEADFLOW_KAFKA_BOOTSTRAP_SERVERS")
    async with database(Settings(data_dir=installation.directory / "data", database_url=None)) as opened:
        prefix = installation.environment.get("LEADFLOW_KAFKA_PREFIX", "")
        log: Log = KafkaLog(bootstrap, prefix=prefix) if bootstrap else EmbeddedLog(opened)
        await log.start()
        try:
            yield log
        finally:
            await log.stop()
