"""What each process of leadflow holds in memory while it works, beside what it held before."""

import asyncio
from contextlib import AsyncExitStack

from benchmarks.bench.figures import Figure, Measured, Rounds
from benchmarks.bench.ingest import Events
from benchmarks.bench.load import request, send
from benchmarks.bench.machine import resident_megabytes
from benchmarks.bench.processes import Installation, Process, service

_SERVICES = ("ingest", "scorer", "pipeline")
_EVERY_SECONDS = 0.2


def memory_of(name: str) -> Figure:
    """The figure of one service."""
    return Figure(f"memory of {name} under load", "MB", floor=2.0, aim=1.5, probe="at rest", demand="at most")


async def measure_memory(installation: Installation, *, batches: int) -> list[Measured]:
    """The most that each service held while batches of 500 went through all three, beside what it held at rest."""
    async with AsyncExitStack() as stack:
        running = {name: await stack.enter_async_context(service(installation, name)) for name in _SERVICES}
        await _work(installation, running["ingest"], batches=2)
        rest = {name: resident_megabytes(process.pid) for name, process in running.items()}
        peaks = dict(rest)
        watching = asyncio.create_task(_watch(running, peaks))
        try:
            await _work(installation, running["ingest"], batches=batches)
        finally:
            watching.cancel()
    return [_measured(name, peaks[name], rest[name]) for name in _SERVICES]


async def _work(installation: Installation, ingest: Process, *, batches: int) -> None:
    bodies = Events().bodies(batches, 500)
    requests = [request(ingest.port, "/v1/events", body, installation.headers) for body in bodies]
    await send(ingest.port, requests, connections=8)


async def _watch(running: dict[str, Process], peaks: dict[str, float]) -> None:
    while True:
        for name, process in running.items():
            peaks[name] = max(peaks[name], resident_megabytes(process.pid))
        await asyncio.sleep(_EVERY_SECONDS)


def _measured(name: str, peak: float, rest: float) -> Measured:
    rounds = Rounds(memory_of(name))
    rounds.add(peak, rest)
    return rounds.measured()
