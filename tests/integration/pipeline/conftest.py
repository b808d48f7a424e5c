"""A pipeline on real PostgreSQL and the embedded log, driven message by message on a clock of the test's own."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from services.pipeline.api.feed import feed_router
from services.pipeline.api.leads import leads_router
from services.pipeline.api.pipelines import pipelines_router
from services.pipeline.api.reports import reports_router
from services.pipeline.api.subscriptions import subscriptions_router
from services.pipeline.delivery.address import AddressGuard
from services.pipeline.delivery.sender import Sender
from services.pipeline.documents import versions
from services.pipeline.feed.watch import FeedWatch
from services.pipeline.handlers import Handlers
from services.pipeline.service import PipelineService
from shared.access import KeyRepository, KeyRing, Scope
from shared.clock import ManualClock
from shared.db.engine import Database
from shared.db.outbox import Outbox
from shared.db.reach import ALL_WORKSPACES
from shared.events.codec import AnyMessage, encode
from shared.events.envelope import Message
from shared.events.json import Json
from shared.events.topics import ALL_TOPICS, LEAD_SCORES
from shared.log.embedded import EmbeddedLog
from shared.log.protocol import Partition, ReceivedRecord
from shared.process import create_app
from shared.service import Context, Service
from shared.settings import Settings
from tests.support import outbox
from tests.support.pipeline import B2B, NOON

_PARTITION = Partition(LEAD_SCORES.name, 0)


@dataclass
class PipelineHarness:
    """The pipeline without its tasks: the test says what arrives, and when."""

    database: Database
    log: EmbeddedLog
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOON))
    outbox: Outbox = field(default_factory=lambda: Outbox("pipeline"))
    wakes: list[None] = field(default_factory=list)
    guard: AddressGuard = field(default_factory=AddressGuard)

    def __post_init__(self) -> None:
        self.keys = KeyRing(self.database, self.clock)
        self.watch = FeedWatch(self.database, most_streams=10)
        self.service = PipelineService(self.database, self.clock, self.outbox, on_told=self._on_told)
        self.handlers = Handlers(self.service, self.log, self.clock, self.database)
        self.context = Context(Settings(), self.database, self.log, self.clock)

    @cached_property
    def sender(self) -> Sender:
        """What the test button sends with; it keeps its connections until it is closed."""
        return Sender(self.guard, timeout_seconds=5, connections=10)

    @cached_property
    def app(self) -> FastAPI:
        """The routes of the pipeline, as this harness stands when it is first asked for them."""
        routers = (
            leads_router(self.context, self.keys, self.service),
            pipelines_router(self.context, self.keys),
            subscriptions_router(self.context, self.keys, self.guard, self.sender),
            feed_router(self.context, self.keys, self.watch),
            reports_router(self.context, self.keys),
        )
        return create_app([Service("pipeline", routers)])

    def _on_told(self) -> None:
        self.wakes.append(None)
        self.watch.wake()

    async def publish(self, document: dict[str, Json] | None = None, workspace: str = "default") -> None:
        await versions.publish(self.database, self.clock, workspace, document or B2B, by="test", reason="test")

    async def take_in(self, *messages: Message) -> None:
        await self.take_in_bytes([encode(message) for message in messages])

    async def take_in_bytes(self, bodies: Sequence[bytes]) -> None:
        await self.handlers.handle(
            [ReceivedRecord(_PARTITION, offset, b"", body, {}, NOON) for offset, body in enumerate(bodies)]
        )

    async def emitted(self) -> list[AnyMessage]:
        """What waits in the outbox, in order."""
        async with self.database.transaction(ALL_WORKSPACES) as connection:
            return await outbox.waiting(connection, "pipeline")

    async def emitted_types(self) -> list[str]:
        return [message.type.removeprefix("lead.") for message in await self.emitted()]

    async def client(self, *scopes: Scope, workspace: str = "default") -> httpx.AsyncClient:
        """A caller whose key has `scopes`."""
        key = await KeyRepository(self.database).create(
            workspace, name=str(uuid4()), scopes=scopes or (Scope.ADMIN,), now=self.clock.now()
        )
        await self.keys.snapshot.refresh()
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app),
            base_url="http://leadflow",
            headers={"authorization": f"Bearer {key.text}"},
        )


@pytest.fixture
async def log(database: Database) -> AsyncIterator[EmbeddedLog]:
    log = EmbeddedLog(database)
    await log.start()
    await log.ensure_topics(ALL_TOPICS)
    yield log
    await log.stop()


@pytest.fixture
async def unpublished(database: Database, log: EmbeddedLog) -> AsyncIterator[PipelineHarness]:
    """A pipeline that nobody has published a document for."""
    harness = PipelineHarness(database, log)
    yield harness
    await harness.sender.close()


@pytest.fixture
async def pipeline(unpublished: PipelineHarness) -> PipelineHarness:
    """A pipeline with the contract's document published."""
    await unpublished.publish()
    return unpublished


@pytest.fixture
def hooked(pipeline: PipelineHarness) -> PipelineHarness:
    """A pipeline whose clock begins now, because verifiers look at their own clock."""
    pipeline.clock.move_to(datetime.now(UTC))
    return pipeline
