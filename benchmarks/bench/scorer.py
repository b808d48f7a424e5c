"""The scorer, exactly once: batches of events committed to PostgreSQL, beside one upsert of as many small rows.

Both are timed by the clock, because both wait for PostgreSQL on the other core. The probe does what no scorer can
do with less: one row of a lead, a number and two counters, written by one statement in one transaction.
"""

import asyncio
import time
from collections.abc import Sequence
from random import Random
from uuid import UUID, uuid5

import httpx
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from benchmarks import workload
from benchmarks.bench.figures import Figure, Measured, Rounds
from benchmarks.bench.processes import Installation, Process, service
from services.scorer import models
from services.scorer.service import Scorer
from shared.clock import SystemClock
from shared.db.engine import Database
from shared.db.outbox import Outbox
from shared.db.reach import ALL_WORKSPACES
from shared.events.codec import encode
from shared.events.engagement import EngagementAccepted, EngagementEvent, identity_digest
from shared.events.topics import ALL_TOPICS, ENGAGEMENT_EVENTS
from shared.log.embedded import EmbeddedLog
from shared.log.protocol import Record

UNIFORM = Figure("scorer, exactly once, uniform leads", "events/s", floor=0.30, aim=0.50, probe="one unnest upsert")
SKEWED = Figure("scorer, exactly once, skewed leads", "events/s", floor=0.55, aim=0.90, probe="one unnest upsert")
KNOWN = Figure("scorer, 10 million known events", "events/s", floor=0.6, aim=0.9, probe="100 thousand known events")
LATENCY = Figure("event to committed score, p99 at half load", "ms", floor=500, aim=100, demand="at most")

_NAMESPACE = UUID("0d6c1e6e-6a83-4a0b-9d4e-5a9b0c7f6d11")
_ZIPF = 1.1
_FEW_KNOWN, _MANY_KNOWN = 100_000, 10_000_000

_UPSERT = """
    INSERT INTO bench.lead AS lead (id, score, events, last_at)
    SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:scores AS float8[]), CAST(:events AS int[]),
                         CAST(:times AS timestamptz[]))
    ON CONFLICT (id) DO UPDATE SET score = lead.score + excluded.score, events = lead.events + excluded.events,
                                   last_at = greatest(lead.last_at, excluded.last_at)
    RETURNING score
"""


class Bench:
    """A scorer with a past: leads that have been scored before anything is measured."""

    def __init__(self, database: Database, leads: int, batch: int) -> None:
        self.database = database
        self.leads = leads
        self.batch = batch
        self._random = Random(41)  # noqa: S311 - a workload, not a secret
        self._scorer = Scorer(database, Outbox("scorer"), SystemClock())
        self._weights = [1 / (number + 1) ** _ZIPF for number in range(leads)]

    async def prepare(self) -> None:
        """The model, the probe's table, and one event of each lead."""
        await models.publish(
            self.database, SystemClock(), "default", dict(workload.MODEL), by="benchmark", reason="benchmark"
        )
        async with self.database.engine.begin() as connection:
            await connection.execute(text("CREATE SCHEMA bench"))
            await connection.execute(
                text(
                    "CREATE TABLE bench.lead (id uuid PRIMARY KEY, score float8, events int, last_at timestamptz) "
                    "WITH (fillfactor = 90)"
                )
            )
        for first in range(0, self.leads, self.batch):
            await self.score(self._messages(range(first, min(first + self.batch, self.leads))))
            await self.upsert(range(first, min(first + self.batch, self.leads)))

    async def rate(self, *, skewed: bool) -> float:
        """Events a second of one batch, committed."""
        messages = self._messages(self._choose(skewed=skewed))
        return await _per_second(self.score(messages), len(messages))

    async def probe_rate(self, *, skewed: bool) -> float:
        """Rows a second of one upsert of as many rows as a batch has events, folded by lead as a scorer would."""
        return await _per_second(self.upsert(self._choose(skewed=skewed)), self.batch)

    async def score(self, messages: Sequence[EngagementAccepted]) -> None:
        """Count one batch, and take away what nobody relays here."""
        await self._scorer.count(messages, reach=ALL_WORKSPACES)

    async def upsert(self, numbers: Sequence[int]) -> None:
        """What the probe writes of a batch."""
        folded: dict[int, int] = {}
        for number in numbers:
            folded[number] = folded.get(number, 0) + 1
        ordered = sorted(folded)
        async with self.database.engine.begin() as connection:
            await connection.execute(
                text(_UPSERT),
                {
                    "ids": [uuid5(_NAMESPACE, str(number)) for number in ordered],
                    "scores": [1.5 * folded[number] for number in ordered],
                    "events": [folded[number] for number in ordered],
                    "times": [workload.START] * len(ordered),
                },
            )

    async def forget_what_was_told(self) -> None:
        """Empty the outbox: its relay is not what is measured, and its table must not grow by the round."""
        async with self.database.engine.begin() as connection:
            await connection.execute(text("TRUNCATE scorer.outbox"))

    async def know(self, known: int) -> None:
        """Have that many events of other leads in the table already."""
        async with self.database.engine.begin() as connection:
            await connection.execute(text("SET LOCAL statement_timeout = 0"))
            found = (await connection.execute(text("SELECT count(*) FROM scorer.event"))).scalar_one()
            await connection.execute(
                text(
                    "INSERT INTO scorer.event (workspace, source, event_id, voided) "
                    "SELECT 'elsewhere', 'web', gen_random_uuid()::text, true FROM generate_series(1, :missing)"
                ),
                {"missing": max(0, known - found)},
            )

    def _choose(self, *, skewed: bool) -> list[int]:
        return self._random.choices(range(self.leads), self._weights if skewed else None, k=self.batch)

    def _messages(self, numbers: Sequence[int]) -> list[EngagementAccepted]:
        return [accepted(workload.an_accepted_event(self._random, number)) for number in numbers]


def accepted(event: EngagementEvent) -> EngagementAccepted:
    """The message that ingest would have written."""
    return EngagementAccepted(
        id=event.id,
        source=event.source,
        subject=identity_digest("default", event.lead),
        time=event.occurred_at,
        workspace="default",
        data=event,
    )


async def measure_scorer(
    installation: Installation, *, leads: int, batch: int, rounds: int, many: int = _MANY_KNOWN
) -> list[Measured]:
    """Uniform and skewed leads, latency at half of that, and many known events."""
    bench = Bench(installation.database, leads, batch)
    await bench.prepare()
    uniform, skewed, known = Rounds(UNIFORM), Rounds(SKEWED), Rounds(KNOWN)
    few_known: list[float] = []
    for _ in range(rounds):
        for rates, is_skewed in ((uniform, False), (skewed, True)):
            rates.add(await bench.rate(skewed=is_skewed), await bench.probe_rate(skewed=is_skewed))
        await bench.forget_what_was_told()
    uniform.note = f"{leads:,} leads, batches of {batch}, 25 rules"
    latency = await measure_latency(installation, rate=min(uniform.values) / 2)
    await bench.know(_FEW_KNOWN)
    for _ in range(rounds):
        few_known.append(await bench.rate(skewed=False))
        await bench.forget_what_was_told()
    await bench.know(many)
    for few in few_known:
        known.add(await bench.rate(skewed=False), few)
        await bench.forget_what_was_told()
    known.note = f"{many:,} known; not interleaved: a table cannot shrink between rounds"
    return [uniform.measured(), skewed.measured(), latency, known.measured()]


async def measure_latency(installation: Installation, *, rate: float, seconds: float = 20.0) -> Measured:
    """From the receipt of events that come at `rate`, by a schedule that waits for nobody, to the commit."""
    log, random = EmbeddedLog(installation.database), Random(77)  # noqa: S311 - a workload
    count, rounds = int(rate * seconds), Rounds(LATENCY)
    await log.start()
    await log.ensure_topics(ALL_TOPICS)
    async with service(installation, "scorer") as scorer:
        await _publish_on_schedule(log, random, rate=rate, count=count)
        buckets = await _buckets_when(scorer, count)
        rounds.add(_percentile_ms(buckets, 0.99))
    await log.stop()
    rounds.note = f"{count:,} events at {rate:,.0f} a second through the embedded log, by the scorer's own histogram"
    return rounds.measured()


async def _publish_on_schedule(log: EmbeddedLog, random: Random, *, rate: float, count: int) -> None:
    tick = max(1, round(rate * 0.02))
    clock, began = SystemClock(), time.perf_counter()
    for sent in range(0, count, tick):
        await asyncio.sleep(max(0.0, began + sent / rate - time.perf_counter()))
        now = clock.now()
        made = [workload.an_accepted_event(random, random.randrange(5000)) for _ in range(min(tick, count - sent))]
        events = [event.model_copy(update={"occurred_at": now, "received_at": now}) for event in made]
        records = [
            Record(identity_digest("default", event.lead).encode(), encode(accepted(event))) for event in events
        ]
        await log.publish(ENGAGEMENT_EVENTS.name, records)


def _record(message: EngagementAccepted) -> Record:
    return Record(message.subject.encode(), encode(message))


async def _buckets_when(scorer: Process, count: int) -> list[tuple[float, int]]:
    """The histogram of the scorer once it has scored `count` events: (upper bound in seconds, events up to it)."""
    async with asyncio.timeout(120):
        while (buckets := await _buckets(scorer))[-1][1] < count:  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0.2)
    return buckets


async def _buckets(scorer: Process) -> list[tuple[float, int]]:
    async with httpx.AsyncClient(trust_env=False) as client:
        exposed = (await client.get(f"http://127.0.0.1:{scorer.port}/metrics")).text
    return [
        (float(sample.labels["le"]), int(sample.value))
        for family in text_string_to_metric_families(exposed)
        for sample in family.samples
        if sample.name == "leadflow_event_end_to_end_seconds_bucket" and sample.labels["stage"] == "scored"
    ]


def _percentile_ms(buckets: list[tuple[float, int]], share: float) -> float:
    """The upper bound of the bucket in which that share of events is reached: no event of it took longer."""
    wanted = share * buckets[-1][1]
    return next(bound * 1000 for bound, reached in buckets if reached >= wanted)


async def _per_second(work: object, count: int) -> float:
    began = time.perf_counter()
    await work  # type: ignore[misc]
    return count / (time.perf_counter() - began)
