"""What sealing costs the scorer and ingest: the same batches, sealed and plain, in interleaved rounds.

    python benchmarks/sealing.py [--rounds 12] [--batch 500]

Two databases of one server; the scorer counts batches of events of some thousand leads, and ingest stores parked
elements of a kilobyte. Prints medians in milliseconds per batch, and what sealing adds.
"""

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from secrets import token_bytes

import asyncpg
from sqlalchemy.engine import make_url

from services.ingest.parked.repository import ParkedRepository
from services.scorer.models import versions
from services.scorer.service import Scorer
from shared.clock import SystemClock
from shared.db.embedded_postgres import EmbeddedPostgres
from shared.db.engine import Database
from shared.db.migrations import migrate
from shared.db.outbox import Outbox
from shared.db.reach import ALL_WORKSPACES
from shared.documents.yaml_text import read_yaml
from shared.events.accepting import Accepted, as_accepted
from shared.events.engagement import EngagementAccepted, EngagementEvent, Identities
from shared.events.parked import ElementParked, ParkedElement
from shared.sealing.data_keys import Sealing

_MODEL = Path(__file__).resolve().parent.parent / "deploy" / "examples" / "model.yaml"
_LEADS = 4_000
_WARM_UP = 2


def events(batch: int, number: int, random_: random.Random) -> list[Accepted]:
    now = datetime.now(UTC)
    found = []
    for place in range(batch):
        lead = Identities(email=f"p{random_.randrange(_LEADS)}@acme.example", external_ids={}, anonymous_id=None)
        event = EngagementEvent(
            id=f"{number}-{place}",
            source="bench",
            type=random_.choice(("page_viewed", "email_clicked", "form_submitted")),
            native_type=None,
            occurred_at=now - timedelta(minutes=random_.randrange(100_000)),
            received_at=now,
            lead=lead,
            properties={"path": "/pricing", "referrer": "https://search.example/?q=scoring", "text": "x" * 200},
            attributes={"company": "Acme", "country": "SE"},
        )
        about = {"source": "bench", "subject": "digest", "time": event.occurred_at, "workspace": "default"}
        found.append(as_accepted(EngagementAccepted(id=event.id, data=event, **about)))
    return found


def elements(batch: int, number: int) -> list[ElementParked]:
    now = datetime.now(UTC)
    body = b64encode(b'{"email": "jane@acme.example", "text": "' + b"y" * 900 + b'"}')
    return [
        ElementParked(
            id=f"{number}-{place}",
            source="bench",
            subject="digest",
            time=now,
            workspace="default",
            data=ParkedElement(
                source="bench",
                kind="segment",
                form="element",
                disposition="parked",
                code="unknown_type",
                field=None,
                message="no type",
                element_id=None,
                body=body,
                size_bytes=950,
                headers={},
                received_at=now,
            ),
        )
        for place in range(batch)
    ]


async def timed(work: Callable[[], Awaitable[None]]) -> float:
    start = time.perf_counter()
    await work()
    return (time.perf_counter() - start) * 1000


async def run(rounds: int, batch: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with EmbeddedPostgres(Path(directory)).running() as url:
            sides = {"plain": Sealing(on=False), "sealed": Sealing(b64encode(token_bytes(32)).decode())}
            databases = {name: await prepared(url, name, sealing) for name, sealing in sides.items()}
            await measured(databases, rounds, batch)
            for database in databases.values():
                await database.close()


async def prepared(url: str, name: str, sealing: Sealing) -> Database:
    parsed = make_url(url).set(drivername="postgresql")
    connection = await asyncpg.connect(parsed.render_as_string(False))
    await connection.execute(f"CREATE DATABASE bench_{name}")
    await connection.close()
    database = Database(parsed.set(database=f"bench_{name}").render_as_string(False), sealing=sealing)
    await migrate(database)
    document = read_yaml(_MODEL.read_text())
    await versions.publish(database, SystemClock(), "default", document, by="bench", reason="bench")
    return database


async def measured(databases: dict[str, Database], rounds: int, batch: int) -> None:
    spent: dict[tuple[str, str], list[float]] = {}
    for number in range(rounds + _WARM_UP):
        order = list(databases) if number % 2 else list(reversed(databases))
        counted = events(batch, number, random.Random(number))  # noqa: S311
        parked = elements(batch, number)
        for name in order:
            database = databases[name]
            scorer = Scorer(database, Outbox("scorer"), SystemClock())
            repository = ParkedRepository(database)
            count = await timed(partial(scorer.count, counted, reach=ALL_WORKSPACES))
            store = await timed(partial(repository.store, parked))
            if number >= _WARM_UP:
                spent.setdefault(("scorer", name), []).append(count)
                spent.setdefault(("ingest's parked elements", name), []).append(store)
    for what in ("scorer", "ingest's parked elements"):
        plain, sealed = (statistics.median(spent[what, name]) for name in ("plain", "sealed"))
        more = f"{sealed / plain - 1:+.1%}"
        sys.stdout.write(f"{what}: {plain:.1f} ms plain, {sealed:.1f} ms sealed, {more} a batch of {batch}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--batch", type=int, default=500)
    options = parser.parse_args()
    asyncio.run(run(options.rounds, options.batch))


if __name__ == "__main__":
    main()
