"""Ingest as it runs, for tests: its routes on a FastAPI application, real PostgreSQL, the real embedded log."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp

from services.ingest import app
from services.ingest.settings import IngestSettings
from shared.access import KeyRepository, KeyRing, Scope
from shared.clock import ManualClock
from shared.db.engine import Database
from shared.errors import TransientError
from shared.events.codec import decode
from shared.events.engagement import EngagementAccepted, EngagementEvent
from shared.events.topics import ALL_TOPICS, ENGAGEMENT_EVENTS
from shared.http import install_problem_handlers
from shared.http.direct import Direct
from shared.log.embedded import EmbeddedLog
from shared.log.protocol import ReceivedRecord
from shared.service import Context, Service
from shared.settings import Settings
from tests.support.waiting import wait_until

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
BASE_URL = "https://leadflow.test"


@dataclass(slots=True)
class Ingesting:
    """A running ingest, and what a test wants of it."""

    client: httpx.AsyncClient
    clock: ManualClock
    database: Database
    log: EmbeddedLog
    keys: KeyRing
    service: Service

    async def key(self, *scopes: Scope, workspace: str = "default") -> str:
        """The text of a new key that is known at once."""
        repository = KeyRepository(self.database)
        key = await repository.create(workspace, name="test", scopes=scopes, now=self.clock.now())
        await self.keys.snapshot.refresh()
        return key.text

    async def allow(self, *scopes: Scope, workspace: str = "default") -> None:
        """Let the client send a key with these scopes from now on."""
        self.client.headers["Authorization"] = f"Bearer {await self.key(*scopes, workspace=workspace)}"

    async def add_source(self, kind: str, secrets: Sequence[str], **more: object) -> None:
        """A source, created through the API, whose id is its kind."""
        key = await self.key(Scope.SOURCES_WRITE)
        body = {"id": kind, "kind": kind, "secrets": list(secrets), **more}
        answer = await self.client.post("/v1/sources", json=body, headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 201, answer.text

    async def records(self, at_least: int = 0) -> list[ReceivedRecord]:
        """Everything on the topic so far; waits for `at_least` records, and never long."""
        found: list[ReceivedRecord] = []
        async with self.log.consume([ENGAGEMENT_EVENTS.name], group="test", member="test") as consumer:
            for _ in range(20):
                found.extend(await consumer.poll(max_records=5000, timeout_seconds=0.3))
                if len(found) >= max(at_least, 1):
                    break
                if not at_least and consumer.assignment():
                    break
        return found

    async def published(self, at_least: int = 0) -> list[EngagementEvent]:
        """The events on the topic, decoded."""
        return [event_of(record) for record in await self.records(at_least)]


def event_of(record: ReceivedRecord) -> EngagementEvent:
    message = decode(record.value)
    assert isinstance(message, EngagementAccepted)
    return message.data


@asynccontextmanager
async def ingesting(database: Database, settings: IngestSettings | None = None) -> AsyncIterator[Ingesting]:
    """Ingest on `database`, with its snapshots read once."""
    clock = ManualClock(NOON)
    log = EmbeddedLog(database)
    await log.start()
    await log.ensure_topics(ALL_TOPICS)
    keys = KeyRing(database, clock)
    await keys.snapshot.refresh()
    context = Context(settings=Settings(), database=database, log=log, clock=clock)
    service = app.build(context, settings or IngestSettings(), keys)
    transport = httpx.ASGITransport(app=application(service), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=BASE_URL) as client, running(service):
        yield Ingesting(client, clock, database, log, keys, service)
    await log.stop()


@asynccontextmanager
async def running(service: Service) -> AsyncIterator[None]:
    """The tasks of `service`, from the moment it is ready."""
    stop = asyncio.Event()
    tasks = [asyncio.create_task(task(stop)) for task in service.tasks.values()]
    await wait_until(lambda: is_ready(service), "ingest is ready")
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def is_ready(service: Service) -> bool:
    try:
        for check in service.ready.values():
            await check()
    except TransientError:
        return False
    return True


def application(service: Service, *more: APIRouter) -> ASGIApp:
    """What a server would call: the busiest routes past FastAPI."""
    application = FastAPI()
    for router in (*service.routers, *more):
        application.include_router(router)
    install_problem_handlers(application)
    return Direct(application, service.direct)


def an_item(**changes: object) -> dict[str, object]:
    """A good item of the events API."""
    item: dict[str, object] = {
        "id": "e-1",
        "type": "page_viewed",
        "occurred_at": "2026-03-02T11:00:00Z",
        "lead": {"email": "ann@example.com"},
        "properties": {"path": "/pricing"},
    }
    return item | changes


def problem_of(answer: httpx.Response) -> Mapping[str, object]:
    """The problem that an answer holds."""
    assert answer.headers["content-type"] == "application/problem+json"
    problem: Mapping[str, object] = answer.json()
    assert problem["status"] == answer.status_code
    return problem
