"""What every scenario is made of: a run, a world for it, a load that goes on while something breaks."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from tests.faults.ledger import Outcome
from tests.faults.servers import Servers
from tests.faults.story import Size
from tests.faults.world import Plan, World, world
from tests.support.waiting import wait_until

PATIENCE_SECONDS = 150.0
_SOME_EVENTS = 80


class CannotRun(Exception):
    """Why a scenario cannot be run on this machine."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a scenario: on which log, from which seed, on which servers, and how much of it."""

    plan: Plan
    servers: Servers
    directory: Path
    size: Size
    faults: int
    lasting_seconds: float = 6.0
    minutes: int = 10


Scenario = Callable[[Run], Awaitable[World]]


def built(run: Run, plan: Plan | None = None) -> AbstractAsyncContextManager[World]:
    return world(plan or run.plan, run.servers, run.directory)


@asynccontextmanager
async def while_sending(here: World, sending: Awaitable[None]) -> AsyncIterator[None]:
    """The block breaks things meanwhile, to its end; afterwards everything has been sent and all is quiet again."""
    task = asyncio.ensure_future(sending)
    try:
        yield
        over = await here.moment()
        await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await here.until_quiet(over)


@asynccontextmanager
async def under_load(
    here: World, *, leads: int, per_second: float, most_tries: int | None = None
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Events come in as long as the block lasts; what it gets returns when some more have been sent since."""
    ended = False
    endless = takewhile(lambda _: not ended, here.events(Size(sys.maxsize, leads)))

    async def goes_on() -> None:
        wanted = len(here.ledger.entries) + _SOME_EVENTS
        await comes(lambda: len(here.ledger.entries) >= wanted, "the load")

    async with while_sending(here, here.send(endless, per_second=per_second, most_tries=most_tries)):
        yield goes_on
        ended = True


async def reached(here: World, run: Run, share: float) -> None:
    """Return when this share of the events has been sent."""
    wanted = int(run.size.events * share)
    await wait_until(lambda: len(here.ledger.entries) >= wanted, "the load", timeout_seconds=PATIENCE_SECONDS)


async def comes(condition: Callable[[], bool | Awaitable[bool]], what: str) -> None:
    await wait_until(condition, what, timeout_seconds=PATIENCE_SECONDS, every_seconds=0.1)


def shares(count: int) -> list[float]:
    """Where in the load `count` faults come, evenly."""
    return [(number + 1) / (count + 1) for number in range(count)]


def nobody_noticed(here: World) -> None:
    """Every process ended in order, and no sender that repeats once was refused or left in doubt."""
    wrong = {process.name: process.exits for process in here.supervisor.processes if any(process.exits)}
    if wrong:
        here.violations.append(f"ended with an error: {wrong}")
    if lost := here.ledger.ids(Outcome.FAILED, Outcome.UNKNOWN):
        here.violations.append(f"{len(lost)} events were refused although the sender repeated once")
