"""What a run uses, seen from outside while it works: memory of the engine, processor time of PostgreSQL and broker.

Peak memory is the kernel's own mark (VmHWM), of the process and those it started; what PostgreSQL and the broker hold
is nobody's. Times are those of the monotonic clock, which the adapters' marks are of, too.
"""

import asyncio
import time
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from benchmarks.bench.machine import peak_megabytes

_LOOK_SECONDS = 0.05
_BLOCK = 512

Spent = tuple[float, float]


class Watch:
    """Looks twenty times a second; each look costs about a millisecond of a processor, booked to nobody."""

    def __init__(self, spent: Callable[[], Spent]) -> None:
        self._spent = spent
        self._looks: list[tuple[float, Spent]] = []
        self._pid: int | None = None
        self._peaks: dict[int, float] = {}

    @property
    def peak_megabytes(self) -> float:
        """What the engine's processes held at most, each at its own worst moment."""
        return sum(self._peaks.values())

    def follow(self, pid: int) -> None:
        """The engine's process from now on; after a restart the new one, whose memory counts instead."""
        self._pid = pid
        self._peaks.clear()

    def between(self, began: float, ended: float) -> Spent:
        """What PostgreSQL and the broker used from the last look before `began` to the first after `ended`."""
        moments = [moment for moment, _ in self._looks]
        first = self._looks[max(0, bisect_right(moments, began) - 1)][1]
        last = self._looks[min(len(moments) - 1, bisect_left(moments, ended))][1]
        return last[0] - first[0], last[1] - first[1]

    def look(self) -> None:
        """One look."""
        self._looks.append((time.monotonic(), self._spent()))
        for pid in () if self._pid is None else family(self._pid):
            self._peaks[pid] = max(self._peaks.get(pid, 0.0), _peak(pid))


@asynccontextmanager
async def watching(spent: Callable[[], Spent]) -> AsyncIterator[Watch]:
    """A watch that looks until the context is left."""
    watch = Watch(spent)
    watch.look()
    looking = asyncio.create_task(_look_on(watch))
    try:
        yield watch
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking


def family(pid: int) -> list[int]:
    """A process and all that came of it, as far as they are alive."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [pid, *(one for child in children for one in family(int(child)))]


def on_disk(*places: Path) -> int:
    """Bytes that files under `places` really occupy: a sparse file counts as what is written of it."""
    files = (file for place in places if place.exists() for file in place.rglob("*"))
    return sum(_occupied(file) for file in files)


def _occupied(file: Path) -> int:
    try:
        return file.stat().st_blocks * _BLOCK if file.is_file() else 0
    except FileNotFoundError:
        return 0


async def _look_on(watch: Watch) -> None:
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        watch.look()


def _peak(pid: int) -> float:
    try:
        return peak_megabytes(pid)
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
