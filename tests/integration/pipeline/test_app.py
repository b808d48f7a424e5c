"""The whole service with its tasks, on PostgreSQL and the embedded log."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from services.pipeline.app import build
from services.pipeline.delivery.address import AddressGuard
from services.pipeline.documents import versions
from services.pipeline.settings import PipelineSettings
from services.pipeline.subscriptions import managing
from services.pipeline.subscriptions.managing import Wish
from shared.access import KeyRing
from shared.clock import SystemClock
from shared.db.engine import Database
from shared.events.codec import AnyMessage, decode, encode
from shared.events.envelope import Message
from shared.events.json import Json
from shared.events.stages import LeadStageChanged, LeadStalled
from shared.events.topics import LEAD_SCORES, LEAD_STAGES, LEAD_THRESHOLDS
from shared.log.embedded import EmbeddedLog
from shared.log.protocol import Record
from shared.service import Context, Service
from shared.settings import Settings
from tests.support.pipeline import a_document, a_position, a_recorded_event, a_score_change, recorded
from tests.support.receiver import receiving
from tests.support.waiting import wait_until

pytestmark = pytest.mark.postgres

SETTINGS = PipelineSettings(
    webhook_allow_http=True, webhook_allow_private_addresses=True, due_poll_seconds=0.1, webhook_poll_seconds=0.05
)
PATIENT: Json = [
    {"id": "new", "initial": True},
    {"id": "mql", "enter_when": {"threshold": "mql"}},
    {"id": "lost", "terminal": "lost"},
]
HASTY: Json = [{"id": "new", "initial": True, "due": "1s"}, {"id": "mql", "enter_when": {"threshold": "mql"}}]


@pytest.fixture
def service(database: Database, log: EmbeddedLog) -> Service:
    clock = SystemClock()
    return build(Context(Settings(), database, log, clock), SETTINGS, KeyRing(database, clock))


@asynccontextmanager
async def running(service: Service) -> AsyncIterator[Mapping[str, asyncio.Task[None]]]:
    """The tasks of the service, ended in order at the end."""
    stop = asyncio.Event()
    tasks = {name: asyncio.create_task(task(stop), name=name) for name, task in service.tasks.items()}
    try:
        yield tasks
    finally:
        stop.set()
        await asyncio.gather(*tasks.values())


async def say(log: EmbeddedLog, *messages: Message) -> None:
    await log.publish(LEAD_SCORES.name, [Record(message.subject.encode(), encode(message)) for message in messages])


async def heard(log: EmbeddedLog, count: int) -> list[AnyMessage]:
    """The first `count` messages on the pipeline's topics."""
    found: list[AnyMessage] = []
    async with log.consume([LEAD_THRESHOLDS.name, LEAD_STAGES.name], group="test", member="test") as consumer:
        async with asyncio.timeout(10):
            while len(found) < count:
                records = await consumer.poll(max_records=100, timeout_seconds=1)
                found += [decode(record.value) for record in records]
    return found


async def test_a_score_on_the_log_becomes_messages_on_the_log_and_signed_webhooks(
    database: Database, log: EmbeddedLog, service: Service
) -> None:
    await versions.publish(database, SystemClock(), "default", a_document(), by="test", reason="for the test")
    guard = AddressGuard(allow_http=True, allow_private=True)
    async with receiving() as receiver, running(service):
        subscription = await managing.create(
            database, SystemClock(), guard, "default", Wish(receiver.url, ["lead.threshold_entered"])
        )
        await say(log, a_score_change(1, thresholds={"mql": a_position("reached")}))
        found = await heard(log, 3)
        await wait_until(lambda: bool(receiver.requests), "the webhook")

    assert sorted(message.type for message in found) == [
        "lead.stage_changed",
        "lead.stage_changed",
        "lead.threshold_entered",
    ]
    request = receiver.requests[0]
    entered = next(message for message in found if message.type == "lead.threshold_entered")
    assert request.body == encode(entered)
    assert Webhook(subscription.secrets[0].text).verify(request.body, request.headers)["id"] == entered.id


async def test_a_stall_is_told_within_two_seconds_of_its_moment(
    database: Database, log: EmbeddedLog, service: Service
) -> None:
    document = a_document(stages=HASTY, business_hours=None, qualification=None)
    await versions.publish(database, SystemClock(), "default", document, by="test", reason="for the test")
    async with running(service):
        await say(log, recorded(1, a_recorded_event("page_viewed", datetime.now(UTC))))
        found = await heard(log, 2)
        told_at = datetime.now(UTC)

    stalled = next(message for message in found if isinstance(message, LeadStalled))
    assert stalled.data.due_at - stalled.data.since == timedelta(seconds=1)
    assert told_at - stalled.data.due_at < timedelta(seconds=2)


async def test_a_service_that_starts_again_says_nothing_twice(
    database: Database, log: EmbeddedLog, service: Service
) -> None:
    document = a_document(stages=PATIENT, qualification=None)
    await versions.publish(database, SystemClock(), "default", document, by="test", reason="for the test")
    async with running(service):
        await say(log, a_score_change(1, thresholds={"mql": a_position("reached")}))
        first = await heard(log, 3)

    again = build(Context(Settings(), database, log, SystemClock()), SETTINGS, KeyRing(database, SystemClock()))
    change = a_score_change(1, thresholds={"mql": a_position("reached")})
    async with running(again):
        await say(log, change, recorded(2, a_recorded_event("stage_changed", stage="lost", reason="no budget")))
        (last,) = await _next(log)

    assert isinstance(last, LeadStageChanged)
    assert last.data.sequence == 1 + max(
        message.data.sequence for message in first if isinstance(message, LeadStageChanged)
    )


async def _next(log: EmbeddedLog) -> list[AnyMessage]:
    async with log.consume([LEAD_STAGES.name], group="later", member="test") as consumer:
        found: list[AnyMessage] = []
        async with asyncio.timeout(10):
            while len(found) < 3:
                records = await consumer.poll(max_records=100, timeout_seconds=1)
                found += [decode(record.value) for record in records]
    return found[2:]


async def test_the_service_is_ready_and_lives(service: Service) -> None:
    for check in service.ready.values():
        await check()
    assert all(stuck() is None for stuck in service.live.values())
