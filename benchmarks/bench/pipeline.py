"""The pipeline, taking in what the scorer says: from the bytes of records to the commit, beside the scorer's probe.

Both are timed by the clock, because both wait for PostgreSQL on the other core. A pipeline is published that judges
leads and moves them, and one subscriber is told everything, so that a message has all the effects that it can have.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import text

from benchmarks import workload
from benchmarks.bench.figures import Figure, Measured, Rounds
from benchmarks.bench.processes import Installation
from benchmarks.bench.scorer import PROBE, Bench, forget_what_was_told, make_probe
from services.pipeline.delivery.address import AddressGuard
from services.pipeline.documents import versions
from services.pipeline.handlers import Handlers
from services.pipeline.service import PipelineService
from services.pipeline.subscriptions import managing
from services.pipeline.subscriptions.managing import Wish
from shared.clock import SystemClock
from shared.db.engine import Database
from shared.db.outbox import Outbox, opened
from shared.db.reach import ALL_WORKSPACES
from shared.events.envelope import rfc3339
from shared.events.topics import LEAD_SCORES
from shared.log.embedded import EmbeddedLog
from shared.log.messages import RECEIVED_HEADER
from shared.log.protocol import Partition, ReceivedRecord
from shared.observability import tracing

MESSAGES = Figure("pipeline, messages of the scorer", "messages/s", probe=PROBE)

_WORKSPACE: Final = "rich"
_DOCUMENT: Final[Mapping[str, Any]] = {
    "pipeline": "benchmark",
    "qualification": {
        "framework": "BANT",
        "criteria": {
            "budget": {"if": {"attributes.employees": {"gte": 200}}},
            "authority": {"if": {"attributes.job_title": {"matches": "(?i)\\b(chief|vp|head|director)\\b"}}},
            "need": {"if": {"attributes.use_case": {"exists": True}}},
            "timeline": {"if": {"attributes.timeline_months": {"lte": 6}}, "expires_after": "90d"},
        },
        "qualified": {"at_least": 2},
        "disqualified": [{"if": {"attributes.job_title": {"matches": "(?i)\\bstudent\\b"}}, "reason": "student"}],
    },
    "stages": [
        {"id": "new", "initial": True, "due": "1d"},
        {"id": "engaged", "enter_when": {"threshold": "hot"}},
        {"id": "mql", "enter_when": {"any": [{"threshold": "mql"}, {"event": "demo_requested"}]}, "due": "4h"},
        {"id": "sql", "enter_when": {"qualified": True, "stage_in": ["mql"]}, "due": "2d"},
        {"id": "won", "terminal": "won"},
        {"id": "lost", "terminal": "lost", "enter_when": {"disqualified": True}},
    ],
    "business_hours": {"timezone": "Europe/Stockholm", "days": "mon-fri", "from": "09:00", "to": "17:00"},
}
_SAID = text("SELECT key, value, traceparent, received_at FROM scorer.outbox ORDER BY id")


async def measure_pipeline(installation: Installation, *, leads: int, batch: int, rounds: int) -> list[Measured]:
    """What the scorer says of one batch of events a round, of leads that the pipeline knows."""
    database, clock, measured = installation.database, SystemClock(), Rounds(MESSAGES)
    scorer = Bench(database, _WORKSPACE, workload.MODEL, leads, batch)
    service = PipelineService(database, clock, Outbox("pipeline"), on_told=lambda: None)
    handlers = Handlers(service, EmbeddedLog(database), clock, database)
    await make_probe(database)
    await _prepare(database, clock)
    await scorer.prepare()
    await _take_in(handlers, await _said(database), batch)
    for _ in range(rounds):
        await scorer.rate(skewed=False)
        said = await _said(database)
        began = time.perf_counter()
        await _take_in(handlers, said, batch)
        measured.add(len(said) / (time.perf_counter() - began), await scorer.probe_rate())
    measured.note = f"{leads:,} leads, batches of {batch}, a published pipeline, one subscriber"
    return [measured.measured()]


async def _prepare(database: Database, clock: SystemClock) -> None:
    await versions.publish(database, clock, _WORKSPACE, dict(_DOCUMENT), by="benchmark", reason="benchmark")
    guard = AddressGuard(allow_private=True, allow_http=True)
    await managing.create(database, clock, guard, _WORKSPACE, Wish("http://127.0.0.1:9/", (), None))


async def _take_in(handlers: Handlers, records: Sequence[ReceivedRecord], batch: int) -> None:
    for first in range(0, len(records), batch):
        await handlers.handle(records[first : first + batch])


async def _said(database: Database) -> list[ReceivedRecord]:
    """What waits in the scorer's outbox, as it would come from the log; it waits no longer."""
    async with database.transaction(ALL_WORKSPACES) as connection:
        rows = (await connection.execute(_SAID)).all()
        values = await opened(connection, [row.value for row in rows])
    await forget_what_was_told(database)
    return list(_records(rows, values))


def _records(rows: Sequence[Any], values: Sequence[bytes | None]) -> Iterator[ReceivedRecord]:
    now, partition = SystemClock().now(), Partition(LEAD_SCORES.name, 0)
    for offset, (row, value) in enumerate(zip(rows, values, strict=True)):
        assert value is not None, "nobody was erased"
        headers = {tracing.HEADER: row.traceparent.encode()}
        if row.received_at is not None:
            headers[RECEIVED_HEADER] = rfc3339(row.received_at).encode()
        yield ReceivedRecord(partition, offset, row.key, value, headers, now)
