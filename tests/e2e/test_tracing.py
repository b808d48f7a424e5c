"""One lead's way from a platform's webhook to a subscriber, over three processes and either log: under one trace id,
and without a word about the person in anything that an operator reads.
"""

import json
import random
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.db.engine import Database
from shared.events.topics import ENGAGEMENT_EVENTS
from shared.log.connect import open_log
from shared.log.protocol import Record
from shared.observability.logs import FIELDS
from shared.settings import Settings
from tests.support import webhooks
from tests.support.collector import Span, spans_of
from tests.support.leadflow_process import Installation, until_json
from tests.support.receiver import ReceivedRequest, Receiver, receiving
from tests.support.waiting import wait_until

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
CALLERS_STATE = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
TRACE, CALLERS_SPAN = CALLER.split("-")[1:3]
POISONED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CANARIES = {
    "email": "canary.person@canary-mail.example",
    "name": "Canaria Birdsong",
    "company": "Yellowfeather Holdings",
    "ip": "203.0.113.77",
    "phone": "+46700123987",
}
ABOUT_HER = {"name": CANARIES["name"], "company": CANARIES["company"], "phone": CANARIES["phone"]}
MODEL = {
    "model": "traced",
    "scores": {"engagement": {"rules": [{"id": "page", "on": "page_viewed", "points": 12}]}},
    "thresholds": {"mql": {"score": "engagement", "enter": 12, "exit": 6}},
}
PIPELINE = {
    "pipeline": "traced",
    "stages": [{"id": "new", "initial": True}, {"id": "mql", "enter_when": {"threshold": "mql"}}],
}
SERVICES = ("ingest", "scorer", "pipeline")
PATIENCE = 60.0


@dataclass
class Journey:
    """What a lead's way left behind."""

    lead: dict[str, Any]
    delivered: ReceivedRequest
    spans: list[Span]
    timeline: list[dict[str, Any]]
    events: list[dict[str, Any]]
    feed: dict[str, Any]
    explained: str
    letters: list[dict[str, Any]]
    lines: list[dict[str, Any]]
    read_by_operators: dict[str, str] = field(default_factory=dict)

    def span(self, name: str, trace_id: str = TRACE) -> Span:
        """The one span of that name in the trace."""
        (found,) = [span for span in self.spans if span.name == name and span.trace_id == trace_id]
        return found

    def batch(self, name: str, holding: Span) -> Span:
        """The batch of that name that links to `holding`."""
        (found,) = [span for span in self.spans if span.name == name and (TRACE, holding.id) in span.links]
        return found


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def installation(request: pytest.FixtureRequest, tmp_path: Path, database_url: str) -> Installation:
    environment = {
        "LEADFLOW_DATABASE_URL": database_url,
        "LEADFLOW_LOG_LEVEL": "DEBUG",
        "LEADFLOW_PIPELINE_WEBHOOK_ALLOW_HTTP": "true",
        "LEADFLOW_PIPELINE_WEBHOOK_ALLOW_PRIVATE_ADDRESSES": "true",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    if request.param == "kafka":
        environment |= {
            "LEADFLOW_KAFKA_BOOTSTRAP_SERVERS": request.getfixturevalue("kafka_bootstrap"),
            "LEADFLOW_KAFKA_PREFIX": f"traced-{random.SystemRandom().randrange(10**9)}-",
            "LEADFLOW_LOG_SESSION_TIMEOUT_SECONDS": "6",
        }
    return Installation(tmp_path, environment)


@pytest.fixture
async def journey(installation: Installation) -> AsyncIterator[Journey]:
    async with receiving() as collector, receiving() as subscriber:
        subscriber.body = json.dumps(CANARIES).encode()
        exporting = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}"}
        exported = Installation(installation.directory, {**installation.environment, **exporting})
        yield await _travel(exported, collector, subscriber)


async def test_one_trace_leads_from_the_webhook_to_the_subscriber(journey: Journey) -> None:
    server = journey.span("POST /v1/webhooks/{source_id}")
    sent = journey.span("send engagement-events")
    tell = [span for span in journey.spans if span.name == "tell lead" and span.trace_id == TRACE]
    scored = journey.span("score lead")
    told_by = journey.delivered.headers["traceparent"].split("-")
    (posted,) = [span for span in journey.spans if span.id == told_by[2]]

    # Each step is a child of the one before, in the process that took it.
    assert (server.kind, server.parent_id, server.service) == ("server", CALLERS_SPAN, "leadflow-ingest")
    assert (sent.kind, sent.parent_id, sent.service) == ("producer", server.id, "leadflow-ingest")
    assert (scored.kind, scored.parent_id, scored.service) == ("producer", sent.id, "leadflow-scorer")
    assert {(span.kind, span.parent_id, span.service) for span in tell} == {
        ("producer", scored.id, "leadflow-pipeline")
    }
    assert told_by[:2] == ["00", TRACE]
    assert journey.delivered.headers["tracestate"] == CALLERS_STATE
    assert (posted.kind, posted.service) == ("client", "leadflow-pipeline")
    assert posted.parent_id in {span.id for span in tell}

    # Batches are traces of their own, linked both ways.
    counted = journey.batch("process engagement-events", sent)
    taken_in = journey.batch("process lead-scores", scored)
    relayed = journey.batch("send lead-scores", scored)
    assert (counted.kind, taken_in.kind, relayed.kind) == ("consumer", "consumer", "client")
    assert {counted.trace_id, taken_in.trace_id, relayed.trace_id}.isdisjoint({TRACE})
    assert (counted.trace_id, counted.id) in scored.links
    assert {(taken_in.trace_id, taken_in.id)} <= {link for span in tell for link in span.links}

    # People find it where they look for the lead.
    assert {entry["trace_id"] for entry in journey.timeline} == {TRACE}
    assert [event["trace_id"] for event in journey.events] == [TRACE]
    assert {text.split("-")[1] for text in journey.feed["traceparents"]} == {TRACE}
    assert len(journey.feed["traceparents"]) == len(journey.feed["messages"])
    assert f"trace {TRACE}" in journey.explained
    assert [letter["trace_id"] for letter in journey.letters] == [POISONED.split("-")[1]]
    spoken = [line for line in journey.lines if line.get("trace_id") == TRACE]
    assert {line["span"] for line in spoken} >= {server.name, sent.name, "score lead", "tell lead", "POST webhook"}
    assert {line["leadflow_lead"] for line in spoken if "leadflow_lead" in line} == {journey.lead["id"]}

    # And nobody who reads any of it learns who she is.
    for where, text in journey.read_by_operators.items():
        assert text, where
        for what, canary in CANARIES.items():
            assert canary not in text, f"the {what} stands in {where}"
    known = FIELDS | {"at", "level", "logger", "message", "exception"}
    assert {name for line in journey.lines for name in line} <= known


async def _travel(installation: Installation, collector: Receiver, subscriber: Receiver) -> Journey:
    async with AsyncExitStack() as stack:
        processes = {name: await stack.enter_async_context(installation.running(name)) for name in SERVICES}
        key = installation.run("keys", "create", "--scope", "admin")
        clients = {name: await stack.enter_async_context(process.client(key)) for name, process in processes.items()}
        await _set_up(clients, subscriber)
        refusals = await _send(clients["ingest"])
        await _poison(installation)
        moved = await _delivered(subscriber, "lead.stage_changed")
        (lead,) = (await until_json(clients["pipeline"], "/v1/leads", lambda found: found["leads"], "she is a lead"))[
            "leads"
        ]
        letters = await _letters(installation, clients["scorer"])
        journey = Journey(
            lead=lead,
            delivered=moved,
            spans=[],
            timeline=(await clients["pipeline"].get(f"/v1/leads/{lead['id']}/timeline")).json()["entries"],
            events=(await clients["scorer"].get(f"/v1/scores/{lead['id']}/events")).json()["events"],
            feed=(await clients["pipeline"].get("/v1/feed")).json(),
            explained=installation.run("explain", lead["id"]),
            letters=letters,
            lines=[],
        )
        for name, client in clients.items():
            journey.read_by_operators[f"metrics of {name}"] = (await client.get("/metrics")).text
        journey.read_by_operators["error bodies"] = "\n".join(refusals)
        journey.read_by_operators["list of dead letters"] = json.dumps(letters)
    # The last spans leave when a process ends.
    journey.spans = spans_of(collector)
    journey.read_by_operators["spans"] = "\n".join(str(span.exported) for span in journey.spans)
    for name, process in processes.items():
        written = process.log_text()
        journey.read_by_operators[f"log of {name}"] = written
        journey.lines += [json.loads(line) for line in written.splitlines() if line.startswith("{")]  # noqa: TID251
    return journey


async def _set_up(clients: dict[str, httpx.AsyncClient], subscriber: Receiver) -> None:
    wishes = (
        ("scorer", "/v1/models", {"document": MODEL}),
        ("pipeline", "/v1/pipelines", {"document": PIPELINE}),
        ("pipeline", "/v1/subscriptions", {"url": subscriber.url}),
        ("ingest", "/v1/sources", {"id": "site", "kind": "segment", "secrets": [webhooks.TEXT_SECRET]}),
    )
    for name, path, body in wishes:
        client = clients[name]

        async def is_let_in(client: httpx.AsyncClient = client, path: str = path) -> bool:
            return (await client.get(path)).status_code == 200

        await wait_until(is_let_in, f"{name} knows the key", timeout_seconds=PATIENCE)
        answer = await client.post(path, json=body)
        assert answer.status_code == 201, answer.text


async def _send(client: httpx.AsyncClient) -> list[str]:
    """Her visit by a platform's webhook, and much that is wrong with her in it; the answers to that."""
    visit = {
        "type": "page",
        "messageId": "m1",
        "userId": "u1",
        "context": {"ip": CANARIES["ip"], "traits": {"email": CANARIES["email"], **ABOUT_HER}},
        "properties": {"path": "/pricing", **ABOUT_HER},
        "timestamp": datetime.now(UTC).isoformat(),
    }
    signed = webhooks.segment(visit)
    headers = {
        **signed.headers,
        "traceparent": CALLER,
        "tracestate": CALLERS_STATE,
        "x-forwarded-for": CANARIES["ip"],
    }
    headers["content-type"] = "application/json"

    answer = await client.post("/v1/webhooks/site", content=signed.body, headers=headers)
    assert answer.is_success, answer.text
    item = {"id": "bad", "type": "page_viewed", "lead": {"email": CANARIES["email"]}, "attributes": ABOUT_HER}
    wrong: list[tuple[str, Any]] = [
        ("/v1/events", {**item, "lead": {"email": f"{CANARIES['email']} {CANARIES['name']}"}}),
        ("/v1/events", {**item, "type": CANARIES["name"]}),
        ("/v1/events", {**item, "occurred_at": CANARIES["phone"]}),
        ("/v1/events", {**item, "properties": CANARIES["company"]}),
        ("/v1/events", {**item, "properties": {"note": CANARIES["name"] + "\0"}}),
        ("/v1/events", CANARIES["name"]),
        ("/v1/webhooks/unheard-of", visit),
        ("/v1/webhooks/site", visit),
        (f"/v1/{CANARIES['phone']}/{CANARIES['ip']}?email={CANARIES['email']}", item),
    ]
    refusals = [await client.post(path, json=body) for path, body in wrong]
    refusals.append(await client.post("/v1/events", content=json.dumps(item)[:-9].encode()))
    refusals.append(await client.post("/v1/events", json=item, headers={"authorization": f"Bearer {ABOUT_HER}"}))
    assert all(refusal.status_code >= 400 for refusal in refusals), [one.status_code for one in refusals]
    return [refusal.text for refusal in refusals]


async def _poison(installation: Installation) -> None:
    """A record with her in it that no service can read."""
    names = {name.removeprefix("LEADFLOW_").lower(): value for name, value in installation.environment.items()}
    fields = {name: value for name, value in names.items() if name in Settings.model_fields}
    settings = Settings.model_validate(fields)
    database = Database(installation.environment["LEADFLOW_DATABASE_URL"])
    log = open_log(settings, database)
    await log.start()
    try:
        record = Record(b"poison", json.dumps(CANARIES).encode(), {"traceparent": POISONED.encode()})
        await log.publish(ENGAGEMENT_EVENTS.name, [record])
    finally:
        await log.stop()
        await database.close()


async def _delivered(subscriber: Receiver, kind: str) -> ReceivedRequest:
    def found() -> list[ReceivedRequest]:
        return [one for one in subscriber.requests if json.loads(one.body)["type"] == kind]  # noqa: TID251

    await wait_until(lambda: bool(found()), f"the subscriber hears of {kind}", timeout_seconds=PATIENCE)
    return found()[-1]


async def _letters(installation: Installation, scorer: httpx.AsyncClient) -> list[dict[str, Any]]:
    counted = re.compile(r"^leadflow_dead_letters_total\{.*engagement-events.*\} [1-9]", re.MULTILINE)

    async def is_counted() -> bool:
        return counted.search((await scorer.get("/metrics")).text) is not None

    await wait_until(is_counted, "the poison is a dead letter", timeout_seconds=PATIENCE)
    found: list[dict[str, Any]] = json.loads(installation.run("dead-letters", "list", "--json"))  # noqa: TID251
    return found
