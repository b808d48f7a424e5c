"""Outgoing webhooks in tests: subscriptions to receivers on this machine, and a dispatcher at work."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from random import Random
from uuid import uuid4

from services.pipeline.delivery.address import AddressGuard
from services.pipeline.delivery.endpoint import EndpointPolicy
from services.pipeline.delivery.schedule import STANDARD, RetrySchedule
from services.pipeline.delivery.sender import Sender
from services.pipeline.settings import PipelineSettings
from services.pipeline.subscriptions import managing
from services.pipeline.subscriptions.dispatcher import Dispatcher
from services.pipeline.subscriptions.managing import Wish
from services.pipeline.subscriptions.repository import DeliveryView, Subscription
from shared.events.json import Json
from tests.integration.pipeline.conftest import PipelineHarness

OPEN = AddressGuard(allow_private=True, allow_http=True)
SETTINGS = PipelineSettings(webhook_poll_seconds=0.02)
STAGES = ("lead.stage_changed",)
PATIENT = EndpointPolicy(failures_to_pause=1_000, first_slow_down=timedelta(0))
"""Leaves nobody alone, so that a test sees the schedule of a message only."""


async def subscribe(
    pipeline: PipelineHarness,
    url: str,
    event_types: Sequence[str] = STAGES,
    conditions: dict[str, Json] | None = None,
) -> Subscription:
    wish = Wish(url, event_types, conditions)
    return await managing.create(pipeline.database, pipeline.clock, OPEN, "default", wish)


@asynccontextmanager
async def dispatching(
    pipeline: PipelineHarness,
    guard: AddressGuard = OPEN,
    *,
    settings: PipelineSettings = SETTINGS,
    schedule: RetrySchedule = STANDARD,
    policy: EndpointPolicy = PATIENT,
) -> AsyncIterator[Dispatcher]:
    """A dispatcher at work, as one process has it."""
    sender = Sender(guard, timeout_seconds=settings.webhook_timeout_seconds, connections=200)
    dispatcher = Dispatcher(
        pipeline.database,
        pipeline.clock,
        sender,
        settings=settings,
        schedule=schedule,
        policy=policy,
        random=Random(1),
        holder=uuid4(),
    )
    stop = asyncio.Event()
    running = asyncio.create_task(dispatcher.run(stop))
    try:
        yield dispatcher
    finally:
        stop.set()
        await running


async def deliveries(pipeline: PipelineHarness, subscription: Subscription) -> list[DeliveryView]:
    """The subscription's deliveries, the oldest first."""
    found = await managing.deliveries_of(pipeline.database, "default", subscription.id, before=None, limit=100)
    return found[::-1]


def settled(pipeline: PipelineHarness, subscription: Subscription, attempts: int) -> Callable[[], Awaitable[bool]]:
    """The condition that the first delivery has had so many attempts written down."""

    async def condition() -> bool:
        return (await deliveries(pipeline, subscription))[0].attempts >= attempts

    return condition
