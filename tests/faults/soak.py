"""F14: nothing breaks, for long; what a process holds must not grow."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from tests.faults.judgement import judge
from tests.faults.processes import Process
from tests.faults.staging import Run, built, under_load
from tests.faults.world import World

_MEGABYTE = 1024 * 1024
# A megabyte in ten minutes, and what an allocator may take once more.
_BYTES_A_SECOND = _MEGABYTE / 600
_ALLOCATORS_BYTES = 3 * _MEGABYTE
_MORE_FILES = _MORE_TASKS = 3
_UNHEARD = ("never retrieved", "was destroyed but it is pending", "never awaited")


@dataclass(frozen=True, slots=True)
class Holding:
    """What a process held at a moment."""

    at: float
    resident_bytes: int
    remembered_bytes: int
    files: int
    tasks: int


async def f14_soak(run: Run) -> World:
    """a steady load for long: memory, files and tasks stay as they are"""
    async with built(run) as here:
        await here.start_services()
        watched = list(here.supervisor.processes)
        held: dict[str, list[Holding]] = {process.name: [] for process in watched}
        async with under_load(here, leads=run.size.leads, per_second=run.size.events) as goes_on:
            ends = time.monotonic() + run.minutes * 60
            while time.monotonic() < ends:
                await goes_on()
                for process in watched:
                    held[process.name].append(await _holding(process))
        for name, holdings in held.items():
            here.notes.append(_told(name, holdings))
            here.violations += _grown(name, holdings)
        for process in watched:
            here.violations += [f"{process.name} said: {words}" for words in _UNHEARD if process.said(words)]
        await judge(here)
    return here


async def _holding(process: Process) -> Holding:
    return Holding(
        time.monotonic(),
        process.resident_bytes(),
        await process.remembered_bytes(),
        process.open_files(),
        await process.tasks(),
    )


def _thirds(holdings: Sequence[Holding]) -> tuple[Sequence[Holding], Sequence[Holding]]:
    """The middle and the last third; in the first a process is warming up."""
    third = len(holdings) // 3
    return holdings[third : 2 * third], holdings[2 * third :]


def _grown(name: str, holdings: Sequence[Holding]) -> Iterator[str]:
    """What is more in the last third than in the one before, in words."""
    before, after = _thirds(holdings)
    # Leads that it says it remembers are no leak: there is a bound to them, and they are counted.
    before_bytes, after_bytes = (
        median(one.resident_bytes - one.remembered_bytes for one in part) for part in (before, after)
    )
    grown = after_bytes - before_bytes
    between = median(one.at for one in after) - median(one.at for one in before)
    if grown > _ALLOCATORS_BYTES + between * _BYTES_A_SECOND:
        yield f"{name} grew by {grown / _MEGABYTE:.1f} MB in {between:.0f} s"
    if (files := median(one.files for one in after) - median(one.files for one in before)) > _MORE_FILES:
        yield f"{name} has {files} more files open"
    if (tasks := median(one.tasks for one in after) - median(one.tasks for one in before)) > _MORE_TASKS:
        yield f"{name} has {tasks} more tasks"


def _told(name: str, holdings: Sequence[Holding]) -> str:
    before, after = _thirds(holdings)
    first, last = (median(one.resident_bytes for one in part) / _MEGABYTE for part in (before, after))
    files, tasks = _from_to(before, after, "files"), _from_to(before, after, "tasks")
    remembered = median(one.remembered_bytes for one in after) - median(one.remembered_bytes for one in before)
    leads = f" ({remembered / _MEGABYTE:.1f} of it leads)" if remembered else ""
    return f"{name} {first:.1f} to {last:.1f} MB{leads}, {files} files, {tasks} tasks"


def _from_to(before: Sequence[Holding], after: Sequence[Holding], what: str) -> str:
    first, last = (int(median(getattr(one, what) for one in part)) for part in (before, after))
    return str(first) if first == last else f"{first} to {last}"
