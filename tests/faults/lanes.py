"""Scenarios of one log, one after the other: each has its line in the table of docs/faults.md."""

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx

from shared.errors import LeadflowError
from tests.faults import recovery, scenarios
from tests.faults.ending import cancelled_by_signals
from tests.faults.ledger import Outcome
from tests.faults.processes import Tree
from tests.faults.servers import Servers, servers
from tests.faults.soak import f14_soak
from tests.faults.staging import CannotRun, Run, Scenario
from tests.faults.story import Size
from tests.faults.trees import copied
from tests.faults.upgrade import f16_upgrade
from tests.faults.world import Plan, World

BOTH = ("embedded", "kafka")
_SHOWN, _WIDTH = 12, 300


@dataclass(frozen=True, slots=True)
class Entry:
    """A scenario as the command knows it: on which logs it runs, how much of it in the short and in the long run.

    Once its last fault is over, all is scored and told of within `recovery_seconds` (tests/faults/recovery.py).
    """

    scenario: Scenario
    logs: tuple[str, ...]
    short: tuple[Size, int]
    long: tuple[Size, int]
    recovery_seconds: float


@dataclass(frozen=True, slots=True)
class Orders:
    """How scenarios are to be run: from which seed, how much of them; F14 takes so many `minutes`."""

    seed: int
    is_long: bool
    minutes: int


TROUBLES = (AssertionError, TimeoutError, OSError, LeadflowError, httpx.HTTPError, asyncpg.PostgresError)
# The second number of each size is that of leads; the first that of events, or of events a second where the load
# lasts as long as the scenario does. What comes after it is how often something breaks; what comes last, how soon all
# is well again: a minute after processes die at random, a quarter of it after PostgreSQL, half of it after all else.
SCENARIOS = {
    "F1": Entry(scenarios.f1_kills, BOTH, (Size(1500, 150), 6), (Size(20_000, 1000), 50), 60),
    "F2": Entry(scenarios.f2_failpoints, BOTH, (Size(300, 50), 1), (Size(2000, 100), 3), 60),
    "F3": Entry(scenarios.f3_frozen_scorer, BOTH, (Size(1000, 50), 1), (Size(5000, 50), 5), 30),
    "F4": Entry(scenarios.f4_broker, ("kafka",), (Size(40, 100), 2), (Size(100, 500), 6), 30),
    "F5": Entry(scenarios.f5_postgres, BOTH, (Size(40, 100), 2), (Size(100, 500), 6), 15),
    "F6": Entry(scenarios.f6_links, BOTH, (Size(600, 100), 3), (Size(4000, 500), 1), 30),
    "F7": Entry(scenarios.f7_subscribers, BOTH, (Size(400, 50), 0), (Size(5000, 300), 0), 30),
    "F8": Entry(scenarios.f8_disk_full, ("embedded",), (Size(40, 100), 1), (Size(100, 500), 4), 30),
    "F9": Entry(scenarios.f9_duplicates, BOTH, (Size(600, 60), 1), (Size(10_000, 1000), 5), 30),
    "F10": Entry(scenarios.f10_burst, ("kafka",), (Size(2000, 100), 0), (Size(50_000, 1000), 0), 30),
    "F11": Entry(scenarios.f11_poison, BOTH, (Size(600, 100), 2), (Size(10_000, 1000), 10), 30),
    "F12": Entry(scenarios.f12_rolling_restart, BOTH, (Size(30, 100), 1), (Size(100, 500), 5), 30),
    "F13": Entry(scenarios.f13_clocks, ("embedded",), (Size(600, 100), 0), (Size(2000, 200), 0), 30),
    "F14": Entry(f14_soak, BOTH, (Size(20, 200), 0), (Size(50, 500), 0), 30),
    "F15": Entry(scenarios.f15_scaling, BOTH, (Size(30, 150), 3), (Size(200, 500), 3), 30),
    "F16": Entry(f16_upgrade, BOTH, (Size(30, 100), 0), (Size(100, 500), 0), 30),
}


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the table."""

    name: str
    log: str
    what: str
    seed: int
    load: str
    outcome: str
    seconds: float
    notes: str

    def __str__(self) -> str:
        cells = (self.name, self.log, self.what, self.load, self.notes, self.outcome, f"{self.seconds:.0f} s")
        return f"| {' | '.join(cells)} |"


def verdict(lines: Sequence[Line], *, is_skipping_forbidden: bool) -> tuple[str, int]:
    """The last words of a run, and its exit code: 1 for a broken promise, and for a skip that is forbidden."""
    failed = [line for line in lines if line.outcome not in {"held", "skipped"}]
    skipped = [line for line in lines if line.outcome == "skipped"]
    words = [f"{len(failed)} of {len(lines)} failed"]
    if skipped:
        reasons = ", ".join(f"{line.name} on {line.log} ({line.notes})" for line in skipped)
        words.append(
            f"{len(skipped)} skipped{', which is forbidden here' if is_skipping_forbidden else ''}: {reasons}"
        )
    return "; ".join(words), 1 if failed or (skipped and is_skipping_forbidden) else 0


def run_lane(jobs: Sequence[tuple[str, str]], orders: Orders, directory: Path) -> list[Line]:
    """What runs on one log, one after the other, on servers that no other lane knows."""
    return asyncio.run(_run_lane(jobs, orders, directory))


async def _run_lane(jobs: Sequence[tuple[str, str]], orders: Orders, directory: Path) -> list[Line]:
    cancelled_by_signals()
    ((_, log), *_) = jobs
    with copied(directory / f"sources-{log}") as tree:
        async with servers(directory / f"pg-{log}", kafka=log == "kafka") as running:
            return [
                await _one(name, log, orders=orders, running=running, directory=directory, tree=tree)
                for name, _ in jobs
            ]


async def _one(name: str, log: str, *, orders: Orders, running: Servers, directory: Path, tree: Tree) -> Line:
    entry, seed = SCENARIOS[name], orders.seed
    size, faults = entry.long if orders.is_long else entry.short
    lasting = 30.0 if orders.is_long else 6.0
    plan = Plan(log, seed, tree=tree)
    run = Run(plan, running, directory / f"{name}-{log}", size, faults, lasting, minutes=orders.minutes)
    say(f"{name} on {log}, seed {seed}: {entry.scenario.__doc__}")
    started = time.monotonic()
    outcome, notes, load = await _outcome(entry, run)
    say(f"{name} on {log} {outcome}: {notes}")
    return Line(name, log, str(entry.scenario.__doc__), seed, load, outcome, time.monotonic() - started, notes)


async def _outcome(entry: Entry, run: Run) -> tuple[str, str, str]:
    try:
        here = await entry.scenario(run)
    except CannotRun as reason:
        return "skipped", str(reason), ""
    except TROUBLES as error:
        say(_last_words(run.directory))
        return "**failed**", f"{type(error).__name__}: {error}", f"{run.size.events} events"
    notes = [*recovery.told(here.recoveries, entry.recovery_seconds), *here.notes]
    violations = [*recovery.too_slow(here.recoveries, entry.recovery_seconds), *here.violations]
    say_violations(violations)
    if violations:
        say(_last_words(run.directory))
    return ("**missed**" if violations else "held"), ", ".join(notes), _load(here)


def _load(here: World) -> str:
    ledger = here.ledger
    ok, unknown, failed = (len(ledger.ids(outcome)) for outcome in (Outcome.OK, Outcome.UNKNOWN, Outcome.FAILED))
    return f"{ok} acknowledged, {unknown} unknown, {failed} refused"


def _last_words(directory: Path) -> str:
    return "\n".join(
        f"--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-12:])
        for path in sorted(directory.glob("*.log"))
    )


def say_violations(violations: Sequence[str]) -> None:
    """The first of them; one mistake may break a promise for every lead."""
    for violation in violations[:_SHOWN]:
        say(f"  ! {violation[:_WIDTH]}")
    if len(violations) > _SHOWN:
        say(f"  ! and {len(violations) - _SHOWN} more")


def say(text: str) -> None:
    """Tell whoever watches, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
