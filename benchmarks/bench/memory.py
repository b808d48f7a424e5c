"""What each process of leadflow holds in memory at most while it works, beside what it held before any work.

The work is over when the scorer and the pipeline are through with it: ingest has taken all of it long before.
"""

import asyncio
from contextlib import AsyncExitStack

from benchmarks import workload
from benchmarks.bench.figures import Figure, Measured, Rounds
from benchmarks.bench.ingest import Events
from benchmarks.bench.load import request, send
from benchmarks.bench.machine import peak_megabytes, resident_megabytes
from benchmarks.bench.processes import Installation, Process, service
from benchmarks.bench.scorer import is_telling
from services.scorer.models import versions
from shared.clock import SystemClock
from shared.events.topics import ENGAGEMENT_EVENTS, LEAD_SCORES
from shared.log.embedded import EmbeddedLog

_SERVICES = ("ingest", "scorer", "pipeline")
_LOOK_SECONDS = 0.2
# Some ten seconds on a free machine.
_LONGEST_SECONDS = 300.0


def memory_of(name: str) -> Figure:
    """The figure of one service."""
    return Figure(f"memory of {name} under load", "MB", floor=2.0, aim=1.5, probe="at rest", demand="at most")


async def measure_memory(installation: Installation, *, batches: int) -> list[Measured]:
    """The most that each service held while batches of 500 went through all three, beside what it held at rest."""
    model = dict(workload.PLAIN_MODEL)
    await versions.publish(installation.database, SystemClock(), "default", model, by="benchmark", reason="benchmark")
    async with AsyncExitStack() as stack:
        running = {name: await stack.enter_async_context(service(installation, name)) for name in _SERVICES}
        rest = {name: resident_megabytes(process.pid) for name, process in running.items()}
        await _work(installation, running["ingest"], batches)
        peaks = {name: peak_megabytes(process.pid) for name, process in running.items()}
    return [_measured(name, peaks[name], rest[name], batches) for name in _SERVICES]


async def _work(installation: Installation, ingest: Process, batches: int) -> None:
    """Until every event has gone through all three services."""
    bodies = Events().bodies(batches, 500)
    requests = [request(ingest.port, "/v1/events", body, installation.headers) for body in bodies]
    log = EmbeddedLog(installation.database)
    async with asyncio.timeout(_LONGEST_SECONDS):
        load = await send(ingest.port, requests, connections=8)
        if load.refused:
            raise RuntimeError(f"{load.refused} of {batches} batches were not taken")
        while await _is_working(installation, log):  # noqa: ASYNC110 - other processes' doing
            await asyncio.sleep(_LOOK_SECONDS)


async def _is_working(installation: Installation, log: EmbeddedLog) -> bool:
    """Whether the scorer has events to read or messages to tell, or the pipeline has any of those to read."""
    return (
        await _waits(log, "scorer", ENGAGEMENT_EVENTS.name)
        or await is_telling(installation.database)
        or await _waits(log, "pipeline", LEAD_SCORES.name)
    )


async def _waits(log: EmbeddedLog, group: str, topic: str) -> bool:
    state = await log.group(group, [topic])
    return any(lag.records for lag in state.lag.values())


def _measured(name: str, peak: float, rest: float, batches: int) -> Measured:
    rounds = Rounds(memory_of(name), note=f"{batches * 500:,} events, each of another lead, from ingest to pipeline")
    rounds.add(peak, rest)
    return rounds.measured()
