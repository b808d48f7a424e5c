"""`make faults`: runs the scenarios one after the other, prints the table of docs/faults.md, fails if one did."""

import argparse
import asyncio
import multiprocessing
import os
import resource
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.faults.ending import cancelled_by_signals, interrupted_by_signals
from tests.faults.lanes import BOTH, SCENARIOS, TROUBLES, Orders, run_lane, say, say_violations, verdict
from tests.faults.mutants import MUTANTS, Mutant, tree_of
from tests.faults.servers import Servers, servers
from tests.faults.staging import Run
from tests.faults.world import Plan
from tests.support.kafka_broker import KafkaUnavailable

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


HEAD = "| | log | fault | load | what happened | outcome | time |\n| --- | --- | --- | --- | --- | --- | --- |"


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    interrupted_by_signals()
    try:
        return asyncio.run(_mutants(options)) if options.mutants else _scenarios(options)
    except KafkaUnavailable as reason:
        say(f"no Kafka broker: {reason}")
        return 2
    except (KeyboardInterrupt, asyncio.CancelledError):
        say("broken off")
        return 130


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="only this one; may be repeated")
    parser.add_argument("--log", choices=BOTH, help="only on this log")
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


def _scenarios(options: argparse.Namespace) -> int:
    jobs = [(name, log) for name in options.scenario or _whole(options) for log in _logs(name, options)]
    orders = Orders(options.seed, is_long=options.long, minutes=options.minutes)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lf-", ignore_cleanup_errors=True) as directory:
        lanes = [[job for job in jobs if job[1] == log] for log in BOTH]
        # In processes of their own: while one lane is judged, senders and subscribers of the other must go on.
        with ProcessPoolExecutor(len(lanes), mp_context=multiprocessing.get_context("spawn")) as processes:
            running = [processes.submit(run_lane, lane, orders, Path(directory)) for lane in lanes if lane]
            try:
                found = [lane.result() for lane in running]
            except KeyboardInterrupt:
                for process in multiprocessing.active_children():
                    process.terminate()
                raise
    lines = sorted((line for lane in found for line in lane), key=lambda line: jobs.index((line.name, line.log)))
    say("\n".join(("", HEAD, *map(str, lines))))
    # As for the tests: CI says that all that a scenario needs is there.
    required = os.environ.get("LEADFLOW_TEST_REQUIRE_TOOLS") == "1"  # noqa: TID251 - the harness has no settings
    words, code = verdict(lines, is_skipping_forbidden=required)
    spent = f"{time.monotonic() - started:.0f} s, {_processor_seconds():.0f} s of processors"
    say(f"\nseed {options.seed}, {spent}: {words}")
    return code


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
    cancelled_by_signals()
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
    say("\n".join(("", "| mutant | mistake | caught by | because |", "| --- | --- | --- | --- |", *lines)))
    say(f"\nseed {options.seed}: {len(chosen) - escaped} of {len(chosen)} mutants caught")
    return 1 if escaped else 0


async def _caught(mutant: Mutant, seed: int, running: Servers, directory: Path) -> Sequence[str]:
    """What the mutant's scenario says against it; empty when it escapes."""
    say(f"{mutant.name} in {mutant.scenario} on {mutant.log}, seed {seed}")
    entry = SCENARIOS[mutant.scenario]
    size, faults = entry.short
    with tree_of(mutant, directory) as tree:
        run = Run(Plan(mutant.log, seed, tree=tree), running, directory / f"run-{mutant.name}", size, faults)
        try:
            violations = (await entry.scenario(run)).violations
        except TROUBLES as error:
            # A scenario that does not come to its end has judged nothing.
            say(f"  {type(error).__name__}: {error}")
            return []
    say_violations(violations)
    return violations


if __name__ == "__main__":
    sys.exit(main())
