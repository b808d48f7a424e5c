"""How long scorers take to empty a topic, and what they use of the processors: by PostgreSQL's own books."""

import asyncio
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import asyncpg

from benchmarks.bench.machine import processor_seconds
from benchmarks.peers.contestants import kill

_LEAVE_SECONDS = 30.0
_LOOK_SECONDS = 0.05
_HANDLED = "SELECT coalesce(sum(counted + repeated + dead), 0) FROM log.handled"
_UNPUBLISHED = "SELECT EXISTS (SELECT FROM scorer.outbox)"

Process = subprocess.Popen[bytes]


class Failed(Exception):
    """Why a run did not come to its end."""


@dataclass(frozen=True, slots=True)
class Used:
    """What a run used: processor seconds of the engine, how long it took, and since when (monotonic clock)."""

    cpu_seconds: float
    seconds: float
    began: float = 0.0


async def drained(url: str, scorers: Mapping[int, Process], records: int, longest_seconds: float) -> Used:
    """From the last look before a scorer listened on its port or anything was counted, until all is published.

    The looks are one cheap query each; what they cost PostgreSQL is counted, too. Raises Failed.
    """
    connection = await asyncpg.connect(url)
    began, starting, deadline = _look(scorers.values()), True, time.monotonic() + longest_seconds
    try:
        while True:
            handled = int(await connection.fetchval(_HANDLED))
            starting = starting and not handled and not any(map(_listens, scorers))
            began = _look(scorers.values()) if starting else began
            if handled >= records and not await connection.fetchval(_UNPUBLISHED):
                ended = _look(scorers.values())
                return Used(ended[0] - began[0], ended[1] - began[1], began[1])
            if any(process.poll() is not None for process in scorers.values()):
                raise Failed("ended")
            if time.monotonic() > deadline:
                raise Failed(f"did not finish in {longest_seconds:g} s: {handled} of {records} records")
            await asyncio.sleep(_LOOK_SECONDS)
    finally:
        await connection.close()


async def handled(url: str) -> int:
    """How many records leadflow has handled so far."""
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval(_HANDLED))
    finally:
        await connection.close()


async def ended(process: Process, *, ask: bool = False, patience_seconds: float = _LEAVE_SECONDS) -> None:
    """Gone for certain; an adapter ends by itself, leadflow when it is asked to."""
    if ask and process.poll() is None:
        process.terminate()
    deadline = time.monotonic() + patience_seconds
    while process.poll() is None and time.monotonic() < deadline:  # noqa: ASYNC110 - another process's doing
        await asyncio.sleep(_LOOK_SECONDS)
    if process.poll() is None:
        kill(process)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def _look(processes: Iterable[Process]) -> tuple[float, float]:
    return sum(processor_seconds(process.pid) for process in processes), time.monotonic()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
