"""`leadflow up` and its parts: the only place that sees all three services, and wires them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext

from rich.console import Console

from services.command.runtime import database, run_async
from services.ingest import app as ingest
from services.ingest.settings import IngestSettings
from services.pipeline import app as pipeline
from services.pipeline.settings import PipelineSettings
from services.scorer import app as scorer
from services.scorer.settings import ScorerSettings
from shared.access.keyring import KeyRing
from shared.access.pacing import Paces
from shared.access.token_bucket import Pace
from shared.clock import Clock, SystemClock
from shared.db.migrations import check_migrated
from shared.db.server_watch import server_watch_task
from shared.errors import Misconfigured
from shared.events.topics import ALL_TOPICS
from shared.log.connect import open_log
from shared.observability.logs import configure_logs
from shared.observability.settings import TracingSettings
from shared.process import Companion, run
from shared.service import Context, Service, Task
from shared.settings import Settings

Build = Callable[[Context, KeyRing], Service]

BUILDS: Mapping[str, Build] = {
    "ingest": lambda context, keys: ingest.build(context, IngestSettings(), keys),
    "scorer": lambda context, keys: scorer.build(context, ScorerSettings(), keys),
    "pipeline": lambda context, keys: pipeline.build(context, PipelineSettings(), keys),
}


@asynccontextmanager
async def assembled(
    names: Sequence[str], settings: Settings, clock: Clock, *, builds: Mapping[str, Build] = BUILDS
) -> AsyncIterator[list[Service]]:
    """The named services on the database and the log of `settings`, ready to run.

    Raises Misconfigured, or TransientError when a dependency is away.
    """
    async with database(settings) as opened:
        await check_migrated(opened)
        log = open_log(settings, opened)
        await log.start()
        try:
            await log.ensure_topics(ALL_TOPICS)
            context = Context(settings=settings, database=opened, log=log, clock=clock)
            keys = KeyRing(opened, clock, _paces(settings))
            tasks: dict[str, Task] = {
                "keys": keys.snapshot.run,
                "PostgreSQL": server_watch_task(opened, every_seconds=settings.metrics_seconds),
            }
            access = Service(name="access", routers=(), tasks=tasks)
            yield [access, *(builds[name](context, keys) for name in names)]
        finally:
            await log.stop()


def _paces(settings: Settings) -> Paces:
    return Paces(
        cheap=Pace(settings.key_requests_per_second, settings.key_burst_requests),
        dear=Pace(settings.key_dear_requests_per_second, settings.key_dear_burst_requests),
    )


async def serve(
    names: Sequence[str],
    settings: Settings,
    companion: Companion | None = None,
    *,
    builds: Mapping[str, Build] = BUILDS,
) -> None:
    """Run the named services until a signal, or until `companion` returns."""
    with spans_exported(names):
        async with assembled(names, settings, SystemClock(), builds=builds) as services:
            await run(services, settings, companion=companion)


def spans_exported(names: Sequence[str]) -> AbstractContextManager[None]:
    """Export of spans, where the environment asks for it. Raises Misconfigured without the SDK."""
    settings = TracingSettings()
    if not settings.export:
        return nullcontext()
    try:
        from shared.observability.otlp import exporting
    except ModuleNotFoundError as error:
        raise Misconfigured(
            "OTEL_EXPORTER_OTLP_ENDPOINT asks for the export of spans: install `leadflow[tracing]`"
        ) from error
    return exporting(settings, service=f"leadflow-{names[0]}" if len(names) == 1 else "leadflow")


def up() -> None:
    """Run ingest, scorer and pipeline in one process on one port."""
    _serve(tuple(BUILDS))


def run_ingest() -> None:
    """Run the ingest API."""
    _serve(("ingest",))


def run_scorer() -> None:
    """Run the scorer, and the API of models."""
    _serve(("scorer",))


def run_pipeline() -> None:
    """Run the pipeline, its read API and the delivery of webhooks."""
    _serve(("pipeline",))


def _serve(names: Sequence[str]) -> None:
    settings = Settings()
    configure_logs(settings.log_level)
    console = Console(stderr=True)

    async def announce(base_url: str, stop: asyncio.Event) -> None:
        log = "Kafka" if settings.kafka_bootstrap_servers else "the embedded log"
        console.print(f"leadflow serves {', '.join(names)} on [bold]{base_url}[/bold] over {log}: {base_url}/docs")
        await stop.wait()

    run_async(serve(names, settings, announce))
