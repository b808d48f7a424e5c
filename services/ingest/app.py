"""The composition root of ingest: the only place that wires it."""

import logging
from datetime import timedelta
from functools import partial

from services.ingest.api.events import events_router
from services.ingest.api.parked import parked_router
from services.ingest.api.sources import sources_router
from services.ingest.api.webhooks import elements_of, webhooks_router
from services.ingest.erasure_part import erasure_part
from services.ingest.handlers import Handlers
from services.ingest.parked.replay import Replay
from services.ingest.parked.repository import ParkedRepository
from services.ingest.publisher import Publisher, PublisherLimits
from services.ingest.service import Ingest
from services.ingest.settings import IngestSettings
from services.ingest.sources.book import SourceBook
from services.ingest.sources.repository import SourceRepository
from shared.access import KeyRing
from shared.consumer import ConsumerTask
from shared.events.topics import ENGAGEMENT_EVENTS, PARKED_ELEMENTS
from shared.log.letter_backlog import letter_backlog_task
from shared.periodic import every
from shared.sealing.parts import do_parts
from shared.service import Context, Service

GROUP = "ingest"
_PARKED_PER_BATCH = 200
_FORGET_EVERY_SECONDS = 600.0
_FORGOTTEN_AT_ONCE = 1_000
_ERASE_SECONDS = 1.0

logger = logging.getLogger(__name__)


def build(context: Context, settings: IngestSettings, keys: KeyRing) -> Service:
    """Ingest, ready to run. `keys` is the process's: whoever runs the process keeps it fresh."""
    sources = SourceBook(context.database)
    ingest = ingest_of(context, settings)
    clock = context.clock
    parked = ParkedRepository(context.database)
    consumer = ConsumerTask(
        context,
        (PARKED_ELEMENTS,),
        group=GROUP,
        handle=Handlers(parked, context.log, clock, context.database).handle,
        max_records=_PARKED_PER_BATCH,
    )

    async def forget() -> int:
        before = clock.now() - timedelta(days=settings.parked_days)
        forgotten = await parked.forget(before=before, limit=_FORGOTTEN_AT_ONCE)
        if forgotten:
            logger.info("old parked elements deleted", extra={"elements": forgotten})
        return forgotten

    erasing = erasure_part(parked, context.database, context.log)

    async def erase() -> int:
        return await do_parts(context.database, clock, "ingest", erasing)

    events, send_events = events_router(ingest, keys=keys, sources=sources, settings=settings, clock=clock)
    webhooks, send_webhook = webhooks_router(ingest, sources=sources, settings=settings, clock=clock)
    return Service(
        name="ingest",
        routers=(
            events,
            webhooks,
            sources_router(
                SourceRepository(context.database),
                keys=keys,
                sources=sources,
                clock=clock,
                most=settings.most_sources,
            ),
            parked_router(parked, replay_of(context, settings, ingest), keys=keys, clock=clock),
        ),
        tasks={
            "source refresh": sources.snapshot.run,
            "parked elements": consumer.run,
            "letters": letter_backlog_task(context, PARKED_ELEMENTS),
            "erasures": every(_ERASE_SECONDS, erase, name="erasures of ingest"),
            "old parked elements": every(_FORGET_EVERY_SECONDS, forget, name="old parked elements"),
        },
        direct=(send_events, send_webhook),
        ready={"log": context.log.check, "keys": keys.loaded, "sources": sources.loaded},
        live={"parked elements": consumer.stuck},
    )


def ingest_of(context: Context, settings: IngestSettings) -> Ingest:
    """What accepts events into the log of `context`."""
    limits = PublisherLimits(settings.max_waiting_events, settings.max_waiting_bytes)
    publisher = Publisher(context.log, ENGAGEMENT_EVENTS.name, limits)
    return Ingest(
        publisher,
        settings.json_limits(),
        settings.max_event_bytes,
        settings.max_parked_bytes,
        settings.all_shared_mailboxes(),
    )


def replay_of(context: Context, settings: IngestSettings, ingest: Ingest) -> Replay:
    """What tries again what became no event."""
    return Replay(
        ingest,
        ParkedRepository(context.database),
        SourceRepository(context.database),
        clock=context.clock,
        elements_of=partial(elements_of, limit=settings.max_webhook_elements),
    )
