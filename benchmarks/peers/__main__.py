"""`make bench-peers`: the same work by other stream processors, the right answer checked before any figure.

    make bench-peers                                   three rounds of 40,000 in both classes and mixes; kills
    make bench-peers ARGS=--quick                      one round of 8,000 without kills, a few minutes
    make bench-peers ARGS=--kill                       kills alone: what each engine loses and doubles by kill -9
    make bench-peers ARGS="--figures --only Quix --only leadflow --mix zipf --rounds 5"

Exits with 1 when a contestant that could be run gave a wrong answer or none in its time, or when leadflow did not
keep its promise; what could not be run is told with the reason. Interrupted, it leaves what there is in its JSON.
"""

import argparse
import asyncio
import logging
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench.machine import machine_card
from benchmarks.peers import environment, report
from benchmarks.peers.arena import arena
from benchmarks.peers.contestants import CONTESTANTS, Class, Contestant
from benchmarks.peers.data import MIXES, Mix, pinned
from benchmarks.peers.killing import Aftermath, killed
from benchmarks.peers.oracle import expected
from benchmarks.peers.runs import Figures, Task, run
from tests.support.kafka_broker import KafkaUnavailable, LocalBroker, broker_on_this_machine

_JSON = Path(".cache/bench-peers.json")
_FEW, _MANY = 8_000, 40_000
_KILLED: Mix = "zipf"


@dataclass(frozen=True, slots=True)
class Turn:
    """One run to come."""

    contestant: Contestant
    state: Class
    mix: Mix
    events: int
    kill: bool

    def __str__(self) -> str:
        what = "kill -9" if self.kill else "run"
        return f"{what}: {self.contestant.name}, class {self.state}, {self.mix}"


def main() -> None:
    options = options_of()
    turns = list(turns_of(options))
    card = machine_card()
    options.json.parent.mkdir(exist_ok=True)
    # Broker, PostgreSQL and engines end with this program, however it is ended.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Topics that have just been made are led by nobody for a moment, which aiokafka tells at length.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)

    def kept(found: Sequence[Figures], kills: Sequence[Aftermath]) -> None:
        options.json.write_text(report.as_json(card, found, kills, events=options.figures_of, rounds=options.rounds))

    began = time.monotonic()
    _say(f"{len(turns)} runs, each of {options.limit:g} s at most; {options.json} has those that are done")
    _prepare_environment()
    try:
        _say("starting a broker and PostgreSQL")
        with broker_on_this_machine() as broker:
            found, kills = asyncio.run(measure(broker, turns, limit_seconds=options.limit, kept=kept))
    except KafkaUnavailable as error:
        sys.exit(f"bench-peers: {error}")
    if found:
        sys.stdout.write(report.table(found, events=options.figures_of, rounds=options.rounds) + "\n")
    if kills:
        sys.stdout.write(("\n" if found else "") + report.kill_table(kills, events=options.kills_of) + "\n")
    _say(f"done in {time.monotonic() - began:.0f} s")
    sys.exit(1 if any(map(report.is_wrong, found)) or any(map(report.is_wrong, kills)) else 0)


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """What the command line wants, its own unless others are given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round of 8,000 records; no kills without --kill")
    parts = parser.add_mutually_exclusive_group()
    parts.add_argument("--figures", action="store_true", help="figures alone, no kills")
    parts.add_argument("--kill", action="store_true", help="kills alone, of 8,000 records")
    parser.add_argument("--events", type=int, help=f"records of a run ({_MANY:,}; {_FEW:,} where it is killed)")
    parser.add_argument("--rounds", type=int, help="rounds (3)")
    parser.add_argument("--mix", choices=MIXES, action="append", help="how busy leads are; may be given again")
    parser.add_argument("--only", action="append", metavar="NAME", help="contestants whose name has this in it")
    parser.add_argument("--class", choices=("A", "B"), action="append", dest="classes", help="A or B alone")
    parser.add_argument("--limit", type=float, help="seconds that one run may take (300; 120 if quick)")
    parser.add_argument("--json", type=Path, default=_JSON, help=f"where every figure is written ({_JSON})")
    options = parser.parse_args(arguments)
    options.figures = options.figures or (options.quick and not options.kill)
    options.figures_of = options.events or (_FEW if options.quick else _MANY)
    options.kills_of = options.events or _FEW
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.limit = options.limit or (120.0 if options.quick else 300.0)
    return options


def turns_of(options: argparse.Namespace) -> Iterator[Turn]:
    """All runs, interleaved: each round has every contestant once a class and mix, in an order that rotates.

    Kills come last, by Zipf's law if not told otherwise: of uniform leads hardly any crosses before the kill.
    """
    chosen = [one for one in CONTESTANTS if not options.only or any(name in one.name for name in options.only)]
    states: Sequence[Class] = options.classes or ("A", "B")
    mixes: Sequence[Mix] = options.mix or MIXES
    for turn in range(0 if options.kill else options.rounds):
        for mix in mixes:
            for state in states:
                for one in _of_class(_rotated(chosen, turn), state, states):
                    yield Turn(one, state, mix, options.figures_of, kill=False)
    for mix in () if options.figures else options.mix or (_KILLED,):
        for state in states:
            for one in _of_class(chosen, state, "AB"):
                yield Turn(one, state, mix, options.kills_of, kill=True)


def _of_class(contestants: Sequence[Contestant], state: Class, states: Iterable[str]) -> list[Contestant]:
    """Only class B has a place for leadflow's state; it is run there alone, if that is wanted."""
    return [one for one in contestants if one.module != "leadflow" or state == "B" or "B" not in states]


def _rotated(contestants: Sequence[Contestant], turn: int) -> list[Contestant]:
    first = turn * len(contestants) // 3 % max(1, len(contestants))
    return [*contestants[first:], *contestants[:first]]


def _prepare_environment() -> None:
    """Before anything is timed; what cannot be had is told where it is missed."""
    for part, make in (("Python engines", environment.python), ("Kafka Streams", environment.java)):
        _say(f"preparing {part}")
        try:
            make()
        except environment.Absent as error:
            _say(f"{part}: {error}")


async def measure(
    broker: LocalBroker,
    turns: Sequence[Turn],
    *,
    limit_seconds: float,
    kept: Callable[[Sequence[Figures], Sequence[Aftermath]], None],
) -> tuple[list[Figures], list[Aftermath]]:
    """One run after the other; after each, `kept` is told of all so far."""
    found: list[Figures] = []
    kills: list[Aftermath] = []
    tasks: dict[tuple[int, Mix], Task] = {}
    with tempfile.TemporaryDirectory(prefix="peers-") as directory:
        async with arena(Path(directory), broker) as held:
            for number, turn in enumerate(turns):
                began = time.monotonic()
                _say(f"{number + 1}/{len(turns)} {turn} ...")
                task = tasks.get((turn.events, turn.mix)) or _task(turn.events, turn.mix)
                tasks[turn.events, turn.mix] = task
                one, state = turn.contestant, turn.state
                if turn.kill:
                    kills.append(await killed(held, one, state, task, number=number, limit_seconds=limit_seconds))
                    told = report.kill_line(kills[-1])
                else:
                    found.append(await run(held, one, state, task, number=number, limit_seconds=limit_seconds))
                    told = report.line(found[-1])
                _say(f"    {told} ({time.monotonic() - began:.0f} s)")
                kept(found, kills)
    return found, kills


def _task(events: int, mix: Mix) -> Task:
    records = pinned(events, mix)
    return Task(mix, records, expected(records))


def _say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
