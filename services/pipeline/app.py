"""The composition root of the pipeline: the only place that wires it."""

import logging
from datetime import timedelta
from random import SystemRandom
from uuid import uuid4

from services.pipeline import metrics
from services.pipeline.api.feed import feed_router
from services.pipeline.api.leads import leads_router
from services.pipeline.api.pipelines import pipelines_router
from services.pipeline.api.reports import reports_router
from services.pipeline.api.subscriptions import subscriptions_router
from services.pipeline.business import census_task
from services.pipeline.delivery.address import AddressGuard
from services.pipeline.delivery.endpoint import EndpointPolicy
from services.pipeline.delivery.schedule import STANDARD
from services.pipeline.delivery.sender import Sender
from services.pipeline.erasure_part import erasure_part
from services.pipeline.feed import entries as feed
from services.pipeline.feed.watch import FeedWatch
from services.pipeline.handlers import Handlers
from services.pipeline.service import PipelineService
from services.pipeline.settings import PipelineSettings
from services.pipeline.subscriptions import deliveries
from services.pipeline.subscriptions import repository as subscription_repository
from services.pipeline.subscriptions.dispatcher import Dispatcher
from shared.access.keyring import KeyRing
from shared.consumer import ConsumerTask
from shared.db.due import due_backlog_task
from shared.db.outbox import Outbox
from shared.db.reach import ALL_WORKSPACES
from shared.events.topics import LEAD_SCORES
from shared.log.letter_backlog import letter_backlog_task
from shared.periodic import every
from shared.sealing.parts import do_parts
from shared.service import Context, Service

GROUP = "pipeline"
_OBSERVE_SECONDS = 15.0
_FORGET_SECONDS = 60.0
_FORGET_BATCH = 1_000
_ERASE_SECONDS = 1.0

logger = logging.getLogger(__name__)


def build(context: Context, settings: PipelineSettings, keys: KeyRing) -> Service:
    """The pipeline, ready to run. `keys` is the process's: whoever runs the process keeps it fresh."""
    outbox = Outbox("pipeline")
    guard = _guard(settings)
    sender = Sender(guard, timeout_seconds=settings.webhook_timeout_seconds, connections=settings.webhook_concurrency)
    dispatcher = _dispatcher(context, settings, sender)
    watch = FeedWatch(context.database, settings.feed_streams)

    def on_told() -> None:
        dispatcher.wake()
        watch.wake()

    service = PipelineService(context.database, context.clock, outbox, on_told=on_told)
    handlers = Handlers(service, context.log, context.clock, context.database)
    consumer = ConsumerTask(
        context, (LEAD_SCORES,), group=GROUP, handle=handlers.handle, max_records=settings.batch_records
    )

    async def tell_what_time_did() -> int:
        return await service.tell_what_time_did(settings.due_batch)

    erasing = erasure_part(service, context.database, context.log)

    async def erase() -> int:
        return await do_parts(context.database, context.clock, "pipeline", erasing)

    async def observe() -> int:
        metrics.STREAMS.set(watch.streams)
        return await _observe(context)

    async def forget() -> int:
        before = context.clock.now() - timedelta(seconds=settings.feed_retention_seconds)
        async with context.database.transaction(ALL_WORKSPACES) as connection:
            gone = await feed.forget(connection, before, _FORGET_BATCH)
            return gone + await deliveries.forget(connection, before, _FORGET_BATCH)

    return Service(
        name="pipeline",
        routers=(
            leads_router(context, keys, service),
            pipelines_router(context, keys, most_versions=settings.most_pipeline_versions),
            subscriptions_router(context, keys, guard, sender, most=settings.most_subscriptions),
            feed_router(context, keys, watch),
            reports_router(context, keys),
        ),
        tasks={
            "consumer": consumer.run,
            **outbox.tasks(context.database, context.log),
            "due moments": every(settings.due_poll_seconds, tell_what_time_did, name="due moments"),
            "erasures": every(_ERASE_SECONDS, erase, name="erasures of the pipeline"),
            "feed": every(settings.feed_poll_seconds, watch.look, name="feed"),
            "feed retention": every(_FORGET_SECONDS, forget, name="feed retention"),
            "webhooks": dispatcher.run,
            "due backlog": due_backlog_task(context, "pipeline"),
            "letters": letter_backlog_task(context, LEAD_SCORES),
            "census of leads": census_task(context),
            "webhook backlog": every(_OBSERVE_SECONDS, observe, name="webhook backlog"),
        },
        ready={"database": context.database.check, "log": context.log.check},
        live={"consumer": consumer.stuck, "outbox": outbox.stuck},
        drain=watch.close,
    )


def _guard(settings: PipelineSettings) -> AddressGuard:
    if settings.webhook_allow_private_addresses or settings.webhook_allow_http:
        logger.warning("webhooks may go to addresses that are not public, or unencrypted")
    return AddressGuard(
        allow_private=settings.webhook_allow_private_addresses, allow_http=settings.webhook_allow_http
    )


def _dispatcher(context: Context, settings: PipelineSettings, sender: Sender) -> Dispatcher:
    return Dispatcher(
        context.database,
        context.clock,
        sender,
        settings=settings,
        schedule=STANDARD,
        policy=EndpointPolicy(disable_after=timedelta(seconds=settings.webhook_disable_after_seconds)),
        random=SystemRandom(),
        holder=uuid4(),
    )


async def _observe(context: Context) -> int:
    now = context.clock.now()
    async with context.database.transaction(ALL_WORKSPACES) as connection:
        waiting = await deliveries.waiting(connection, now)
        states = await subscription_repository.count_by_state(connection, now)
    metrics.WEBHOOK_QUEUE.set(waiting.number)
    metrics.WEBHOOK_OLDEST.set(waiting.oldest_age.total_seconds())
    metrics.WEBHOOK_OLDEST_DUE.set(waiting.oldest_due_age.total_seconds())
    for state in metrics.ENDPOINT_STATES:
        metrics.WEBHOOK_ENDPOINTS.labels(state).set(states.get(state, 0))
    return 0
