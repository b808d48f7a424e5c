"""How many events a second one core of ingest takes in batches, beside what mere parsing of the same bytes takes.

    python benchmarks/ingest.py [--batch 500] [--rounds 40] [--durable]

Each round sends one batch to POST /v1/events, in process, and parses the same bytes as JSON: the probe. Only
their ratio says something about the code, because both suffer alike from whatever else the machine does. The
log takes every batch and forgets it; with --durable it is the embedded one on a PostgreSQL of its own, and the
time is that of the clock instead of the processor's.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, MutableMapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from pydantic_core import from_json

from services.ingest import app as ingest
from services.ingest.settings import IngestSettings
from shared.access import KeyRepository, KeyRing, Scope
from shared.clock import SystemClock
from shared.db.embedded_postgres import EmbeddedPostgres
from shared.db.engine import Database
from shared.db.migrations import migrate
from shared.events.topics import ALL_TOPICS
from shared.log.embedded import EmbeddedLog
from shared.log.protocol import Record
from shared.service import Context
from shared.settings import Settings

Messages = list[MutableMapping[str, Any]]


class Forgetful(EmbeddedLog):
    """A log that takes everything at once and keeps nothing."""

    async def publish(self, topic: str, records: Sequence[Record]) -> None:
        """Take `records`."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=500, help="events in a request")
    parser.add_argument("--rounds", type=int, default=40, help="requests that are measured")
    parser.add_argument("--durable", action="store_true", help="let the embedded log store them")
    options = parser.parse_args()
    asyncio.run(measure(options.batch, options.rounds, durable=options.durable))


async def measure(batch: int, rounds: int, *, durable: bool) -> None:
    """Print the figures of `rounds` requests of `batch` events."""
    body = a_batch(batch)
    async with running(durable=durable) as (application, key):
        clock = time.perf_counter if durable else time.process_time
        await post(application, key, body)
        pairs = [await one_round(application, key, body, clock) for _ in range(rounds)]
    ours = [batch / seconds for seconds, _ in pairs]
    probe = [batch / seconds for _, seconds in pairs]
    ratios = [parsing / taking for taking, parsing in pairs]
    say("log", "embedded, durable" if durable else "none")
    say("batch", f"{batch} events, {len(body)} bytes")
    say("ingest", f"{statistics.median(ours):,.0f} events/s [{min(ours):,.0f}..{max(ours):,.0f}]")
    say("probe", f"{statistics.median(probe):,.0f} events/s [{min(probe):,.0f}..{max(probe):,.0f}] parsed as JSON")
    say("ratio", f"{statistics.median(ratios):.3f} [{min(ratios):.3f}..{max(ratios):.3f}]")


async def one_round(application: FastAPI, key: str, body: bytes, clock: Callable[[], float]) -> tuple[float, float]:
    """Seconds that a request took, and that parsing its body took."""
    started = clock()
    await post(application, key, body)
    taken = clock()
    from_json(body)
    return taken - started, clock() - taken


@asynccontextmanager
async def running(*, durable: bool) -> AsyncIterator[tuple[FastAPI, str]]:
    """The application of ingest, and a key for it, on a PostgreSQL of their own."""
    with tempfile.TemporaryDirectory() as directory:
        async with EmbeddedPostgres(Path(directory)).running() as url:
            database, clock = Database(url), SystemClock()
            await migrate(database)
            log = EmbeddedLog(database) if durable else Forgetful(database)
            await log.start()
            await log.ensure_topics(ALL_TOPICS)
            keys = KeyRing(database, clock)
            key = await KeyRepository(database).create(
                "default", name="benchmark", scopes=[Scope.EVENTS_WRITE], now=clock.now()
            )
            await keys.snapshot.refresh()
            context = Context(settings=Settings(), database=database, log=log, clock=clock)
            settings = IngestSettings(max_events=100_000, key_burst_requests=1_000_000)
            application = FastAPI()
            for router in ingest.build(context, settings, keys).routers:
                application.include_router(router)
            yield application, key.text
            await log.stop()
            await database.close()


async def post(application: FastAPI, key: str, body: bytes) -> None:
    """One request, without a network. Raises RuntimeError when it is not taken."""
    sent: Messages = []

    async def receive() -> Mapping[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/events",
        "raw_path": b"/v1/events",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), (b"authorization", f"Bearer {key}".encode())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await application(scope, receive, send)  # type: ignore[arg-type]
    if sent[0]["status"] != 202:
        raise RuntimeError(sent)


def a_batch(size: int) -> bytes:
    """A batch of the kind that a website sends."""
    return json.dumps([an_event(number) for number in range(size)], separators=(",", ":")).encode()


def an_event(number: int) -> Mapping[str, object]:
    return {
        "id": f"visit-{number:08d}",
        "source": "web",
        "type": "page_viewed",
        "occurred_at": "2026-01-31T09:30:00.123Z",
        "lead": {"email": f"Lead.{number % 97}@example.com", "external_ids": {"crm": str(number % 97)}},
        "properties": {
            "path": "/pricing",
            "referrer": "https://www.example.com/",
            "duration_seconds": 12.5,
            "campaign": "spring",
        },
        "attributes": {"job_title": "Head of Operations", "country": "SE", "employees": 120},
    }


def say(name: str, text: str) -> None:
    sys.stdout.write(f"{name:8s}{text}\n")


if __name__ == "__main__":
    main()
