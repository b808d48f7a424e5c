"""From the moment at which an event is due to the commit of its score, at half of what the scorer can take.

What it can take is found first: how fast the process, from the log to the log, is done with events that wait. Then
events come by a schedule that waits for nobody, so that one that is sent late has waited.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random

import httpx
from prometheus_client.parser import text_string_to_metric_families

from benchmarks import workload
from benchmarks.bench.figures import Figure, Measured, Rounds
from benchmarks.bench.processes import Installation, Process, service
from benchmarks.bench.scorer import as_record, is_telling
from services.scorer.models import versions
from shared.clock import SystemClock
from shared.db.engine import Database
from shared.events.topics import ALL_TOPICS, ENGAGEMENT_EVENTS
from shared.log.embedded import EmbeddedLog
from shared.log.protocol import Record

LATENCY = Figure("event to committed score, p99 at half load", "ms", floor=500, aim=100, demand="at most")

_WORKSPACE = "default"
_LEADS = 5000
_SHARE = 0.99
_TICK_SECONDS = 0.02
_LOOK_SECONDS = 0.1
_LONGEST_SECONDS = 120.0

# Upper bounds in seconds, and how many events stayed within each.
Buckets = Sequence[tuple[float, int]]


async def measure_latency(installation: Installation, *, drained: int, seconds: float) -> Measured:
    """At half of the rate at which `drained` events are, for so many seconds, on a scorer that is warm.

    As many come before, in which a process that was just started opens its connections, compiles the model and begins
    to remember leads; they count for neither.
    """
    clock = SystemClock()
    model = dict(workload.PLAIN_MODEL)
    await versions.publish(installation.database, clock, _WORKSPACE, model, by="benchmark", reason="benchmark")
    log = EmbeddedLog(installation.database)
    await log.start()
    try:
        await log.ensure_topics(ALL_TOPICS)
        async with service(installation, "scorer") as scorer:
            load = _Load(installation.database, log, scorer)
            await load.drain_rate(drained)
            rate = await load.drain_rate(drained) / 2
            buckets = await load.on_schedule(rate, int(rate * seconds))
    finally:
        await log.stop()
    rounds = Rounds(LATENCY)
    rounds.add(percentile_ms(buckets, _SHARE))
    rounds.note = (
        f"{buckets[-1][1]:,} events at {rate:,.0f} a second through the embedded log, half of what the scorer"
        " drained; by its own histogram, so to the next of its bounds"
    )
    return rounds.measured()


class _Load:
    """Events for one scorer, and what its histogram says of them."""

    def __init__(self, database: Database, log: EmbeddedLog, scorer: Process) -> None:
        self._database = database
        self._log = log
        self._scorer = scorer
        self._clock = SystemClock()
        self._random = Random(77)  # noqa: S311 - a workload
        self._published = 0

    async def drain_rate(self, count: int) -> float:
        """Events a second, from the moment at which the first of `count` is handed to the log."""
        records = self._records(count, self._clock.now())
        began = time.perf_counter()
        await self._publish(records)
        await self._when_done()
        return count / (time.perf_counter() - began)

    async def on_schedule(self, rate: float, count: int) -> Buckets:
        """What the histogram says of `count` events, each of which counts as received when it is due."""
        before = await self._when_done()
        tick = max(1, round(rate * _TICK_SECONDS))
        began = self._clock.now() + timedelta(seconds=_TICK_SECONDS)
        for sent in range(0, count, tick):
            due = began + timedelta(seconds=sent / rate)
            records = self._records(min(tick, count - sent), due)
            await asyncio.sleep(max(0.0, (due - self._clock.now()).total_seconds()))
            await self._publish(records)
        after = await self._when_done()
        return [(bound, reached - earlier) for (bound, reached), (_, earlier) in zip(after, before, strict=True)]

    def _records(self, count: int, due: datetime) -> list[Record]:
        made = (workload.an_accepted_event(self._random, self._random.randrange(_LEADS)) for _ in range(count))
        times = {"occurred_at": due, "received_at": due}
        return [as_record(event.model_copy(update=times), _WORKSPACE) for event in made]

    async def _publish(self, records: Sequence[Record]) -> None:
        await self._log.publish(ENGAGEMENT_EVENTS.name, records)
        self._published += len(records)

    async def _when_done(self) -> Buckets:
        """The histogram, once all that was published is in it and what follows from it is told."""
        async with asyncio.timeout(_LONGEST_SECONDS), httpx.AsyncClient(trust_env=False) as client:
            while True:
                exposed = await client.get(f"http://127.0.0.1:{self._scorer.port}/metrics")
                buckets = scored(exposed.text)
                if buckets[-1][1] >= self._published and not await is_telling(self._database):
                    return buckets
                await asyncio.sleep(_LOOK_SECONDS)


def scored(exposed: str) -> Buckets:
    """The histogram of events by the time from receiving them to their score."""
    return [
        (float(sample.labels["le"]), int(sample.value))
        for family in text_string_to_metric_families(exposed)
        for sample in family.samples
        if sample.name == "leadflow_event_end_to_end_seconds_bucket" and sample.labels["stage"] == "scored"
    ]


def percentile_ms(buckets: Buckets, share: float) -> float:
    """The upper bound of the bucket in which that share of events is reached: no event of it took longer."""
    wanted = share * buckets[-1][1]
    return next(bound * 1000 for bound, reached in buckets if reached >= wanted)
