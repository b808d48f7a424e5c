"""The composition root of ingest: the only place that wires it."""

from services.ingest.api.events import events_router
from services.ingest.api.sources import sources_router
from services.ingest.api.webhooks import webhooks_router
from services.ingest.publisher import Publisher, PublisherLimits
from services.ingest.repository import SourceRepository
from services.ingest.service import Ingest
from services.ingest.settings import IngestSettings
from services.ingest.source_book import SourceBook
from shared.access import KeyRing
from shared.events.topics import ENGAGEMENT_EVENTS
from shared.service import Context, Service


def build(context: Context, settings: IngestSettings, keys: KeyRing) -> Service:
    """Ingest, ready to run. `keys` is the process's: whoever runs the process keeps it fresh."""
    limits = PublisherLimits(settings.max_waiting_events, settings.max_waiting_bytes)
    publisher = Publisher(context.log, ENGAGEMENT_EVENTS.name, limits)
    sources = SourceBook(context.database)
    ingest = Ingest(publisher, settings.json_limits(), settings.max_event_bytes, settings.max_parked_bytes)
    clock = context.clock
    return Service(
        name="ingest",
        routers=(
            events_router(ingest, keys=keys, sources=sources, settings=settings, clock=clock),
            webhooks_router(ingest, sources=sources, settings=settings, clock=clock),
            sources_router(SourceRepository(context.database), keys=keys, sources=sources, clock=clock),
        ),
        tasks={"source refresh": sources.snapshot.run},
        ready={"log": context.log.check, "keys": keys.loaded, "sources": sources.loaded},
    )
