"""`make faults`: runs the scenarios one after the other, prints the table of docs/faults.md, fails if one did."""

import argparse
import asyncio
import resource
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx

from shared.errors import LeadflowError
from tests.faults import scenarios
from tests.faults.ledger import Outcome
from tests.faults.mutants import MUTANTS, Mutant, tree_of
from tests.faults.processes import Tree
from tests.faults.servers import Servers, servers
from tests.faults.soak import f14_soak
from tests.faults.staging import CannotRun, Run, Scenario
from tests.faults.story import Size
from tests.faults.trees import copied
from tests.faults.upgrade import f16_upgrade
from tests.faults.world import Plan, World
from tests.support.kafka_broker import KafkaUnavailable


@dataclass(frozen=True, slots=True)
class Entry:
    """A scenario as the command knows it: on which logs it runs, how much of it in the short and in the long run."""

    scenario: Scenario
    logs: tuple[str, ...]
    short: tuple[Size, int]
    long: tuple[Size, int]


_SHOWN = 5
_BOTH = ("embedded", "kafka")
_TROUBLES = (AssertionError, TimeoutError, OSError, LeadflowError, httpx.HTTPError, asyncpg.PostgresError)
# The second number of each size is that of leads; the first that of events, or of events a second where the load
# lasts as long as the scenario does. What comes after it is how often something breaks.
SCENARIOS = {
    "F1": Entry(scenarios.f1_kills, _BOTH, (Size(1500, 150), 6), (Size(20_000, 1000), 50)),
    "F2": Entry(scenarios.f2_failpoints, _BOTH, (Size(300, 50), 1), (Size(2000, 100), 3)),
    "F3": Entry(scenarios.f3_frozen_scorer, _BOTH, (Size(1000, 50), 1), (Size(5000, 50), 5)),
    "F4": Entry(scenarios.f4_broker, ("kafka",), (Size(40, 100), 2), (Size(100, 500), 6)),
    "F5": Entry(scenarios.f5_postgres, _BOTH, (Size(40, 100), 2), (Size(100, 500), 6)),
    "F6": Entry(scenarios.f6_links, _BOTH, (Size(600, 100), 3), (Size(4000, 500), 1)),
    "F7": Entry(scenarios.f7_subscribers, _BOTH, (Size(400, 50), 0), (Size(5000, 300), 0)),
    "F8": Entry(scenarios.f8_disk_full, ("embedded",), (Size(40, 100), 1), (Size(100, 500), 4)),
    "F9": Entry(scenarios.f9_duplicates, _BOTH, (Size(600, 60), 1), (Size(10_000, 1000), 5)),
    "F10": Entry(scenarios.f10_burst, ("kafka",), (Size(2000, 100), 0), (Size(50_000, 3000), 0)),
    "F11": Entry(scenarios.f11_poison, _BOTH, (Size(600, 100), 2), (Size(10_000, 1000), 10)),
    "F12": Entry(scenarios.f12_rolling_restart, _BOTH, (Size(30, 100), 1), (Size(100, 500), 5)),
    "F13": Entry(scenarios.f13_clocks, ("embedded",), (Size(600, 100), 0), (Size(2000, 200), 0)),
    "F14": Entry(f14_soak, _BOTH, (Size(20, 200), 0), (Size(50, 500), 0)),
    "F15": Entry(scenarios.f15_scaling, _BOTH, (Size(30, 150), 3), (Size(200, 500), 3)),
    "F16": Entry(f16_upgrade, _BOTH, (Size(30, 100), 0), (Size(100, 500), 0)),
}
_ONLY_LASTS = {"F14"}
# The long run, and whoever asks for a log, has each scenario on both; ten minutes have room for these.
_SHORT_ON = {
    "F3": ("embedded",),
    "F5": ("kafka",),
    "F6": ("kafka",),
    "F7": ("embedded",),
    "F9": ("embedded",),
    "F11": ("embedded",),
    "F12": ("kafka",),
    "F15": ("kafka",),
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


HEAD = "| | log | fault | load | what happened | outcome | time |\n| --- | --- | --- | --- | --- | --- | --- |"


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    try:
        return asyncio.run(_mutants(options) if options.mutants else _scenarios(options))
    except KafkaUnavailable as reason:
        _say(f"no Kafka broker: {reason}")
        return 2


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="only this one; may be repeated")
    parser.add_argument("--log", choices=_BOTH, help="only on this log")
    parser.add_argument("--seed", type=int, help="replay: what is random comes from this number")
    parser.add_argument("--minutes", type=int, default=10, help="how long F14 lasts")
    parser.add_argument("--long", action="store_true", help="the long run, for a machine that has nothing else to do")
    parser.add_argument(
        "--mutants", action="store_true", help="run leadflow with known mistakes instead: each must be caught"
    )
    parser.add_argument("--mutant", action="append", choices=MUTANTS, help="with --mutants only this one")
    options = parser.parse_args(arguments)
    options.seed = options.seed if options.seed is not None else secrets.randbelow(10**6)
    return options


async def _scenarios(options: argparse.Namespace) -> int:
    jobs = [(name, log) for name in options.scenario or _whole(options) for log in _logs(name, options)]
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lf-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        with copied(directory / "sources") as tree:
            lanes = [[job for job in jobs if job[1] == log] for log in _BOTH]
            found = await asyncio.gather(*(_lane(lane, options, tree, directory) for lane in lanes if lane))
    lines = sorted((line for lane in found for line in lane), key=lambda line: jobs.index((line.name, line.log)))
    _say("\n".join(("", HEAD, *map(str, lines))))
    failed = [line for line in lines if line.outcome not in {"held", "skipped"}]
    spent = f"{time.monotonic() - started:.0f} s, {_processor_seconds():.0f} s of processors"
    _say(f"\nseed {options.seed}: {len(failed)} of {len(lines)} failed, {spent}")
    return 1 if failed else 0


async def _lane(
    jobs: Sequence[tuple[str, str]], options: argparse.Namespace, tree: Tree, directory: Path
) -> list[Line]:
    """What runs on one log, one after the other, on servers that no other lane knows."""
    ((_, log), *_) = jobs
    async with servers(directory / f"pg-{log}", kafka=log == "kafka") as running:
        return [
            await _one(name, log, options=options, running=running, directory=directory, tree=tree)
            for name, _ in jobs
        ]


def _whole(options: argparse.Namespace) -> Sequence[str]:
    """What a run has that names no scenario."""
    return [name for name in SCENARIOS if options.long or name not in _ONLY_LASTS]


def _processor_seconds() -> float:
    """Of this process and of all that it started and that have ended."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def _logs(name: str, options: argparse.Namespace) -> Sequence[str]:
    if options.log is not None:
        return [log for log in SCENARIOS[name].logs if log == options.log]
    whole = options.long or options.scenario
    return SCENARIOS[name].logs if whole else _SHORT_ON.get(name, SCENARIOS[name].logs)


async def _mutants(options: argparse.Namespace) -> int:
    chosen = [MUTANTS[name] for name in options.mutant or MUTANTS]
    lines: list[str] = []
    escaped = 0
    with tempfile.TemporaryDirectory(prefix="lf-", ignore_cleanup_errors=True) as directory:
        async with servers(Path(directory) / "pg", kafka=any(one.log == "kafka" for one in chosen)) as running:
            for mutant in chosen:
                caught = await _caught(mutant, options.seed, running, Path(directory))
                escaped += not caught
                outcome = caught[0] if caught else "**escaped**"
                lines.append(f"| {mutant.name} | {mutant.what} | {mutant.scenario} on {mutant.log} | {outcome} |")
    _say("\n".join(("", "| mutant | mistake | caught by | because |", "| --- | --- | --- | --- |", *lines)))
    _say(f"\nseed {options.seed}: {len(chosen) - escaped} of {len(chosen)} mutants caught")
    return 1 if escaped else 0


async def _caught(mutant: Mutant, seed: int, running: Servers, directory: Path) -> Sequence[str]:
    """What the mutant's scenario says against it; empty when it escapes."""
    _say(f"{mutant.name} in {mutant.scenario} on {mutant.log}, seed {seed}")
    entry = SCENARIOS[mutant.scenario]
    size, faults = entry.short
    with tree_of(mutant, directory) as tree:
        run = Run(Plan(mutant.log, seed, tree=tree), running, directory / f"run-{mutant.name}", size, faults)
        try:
            violations = (await entry.scenario(run)).violations
        except _TROUBLES as error:
            violations = [f"{type(error).__name__}: {error}"]
    for violation in violations[:_SHOWN]:
        _say(f"  ! {violation[:200]}")
    return violations


async def _one(
    name: str, log: str, *, options: argparse.Namespace, running: Servers, directory: Path, tree: Tree
) -> Line:
    seed: int = options.seed
    entry = SCENARIOS[name]
    size, faults = entry.long if options.long else entry.short
    lasting = 30.0 if options.long else 6.0
    plan = Plan(log, seed, tree=tree)
    run = Run(plan, running, directory / f"{name}-{log}", size, faults, lasting, minutes=options.minutes)
    _say(f"{name} on {log}, seed {seed}: {entry.scenario.__doc__}")
    started = time.monotonic()
    outcome, notes, load = await _outcome(entry.scenario, run)
    _say(f"{name} on {log} {outcome}: {notes}")
    return Line(name, log, str(entry.scenario.__doc__), seed, load, outcome, time.monotonic() - started, notes)


async def _outcome(scenario: Scenario, run: Run) -> tuple[str, str, str]:
    try:
        here = await scenario(run)
    except CannotRun as reason:
        return "skipped", str(reason), ""
    except _TROUBLES as error:
        _say(_last_words(run.directory))
        return "**failed**", f"{type(error).__name__}: {error}", f"{run.size.events} events"
    for violation in here.violations:
        _say(f"  ! {violation}")
    if here.violations:
        _say(_last_words(run.directory))
    return ("**missed**" if here.violations else "held"), ", ".join(here.notes), _load(here)


def _load(here: World) -> str:
    ledger = here.ledger
    ok, unknown, failed = (len(ledger.ids(outcome)) for outcome in (Outcome.OK, Outcome.UNKNOWN, Outcome.FAILED))
    return f"{ok} acknowledged, {unknown} unknown, {failed} refused"


def _last_words(directory: Path) -> str:
    return "\n".join(
        f"--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-12:])
        for path in sorted(directory.glob("*.log"))
    )


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
