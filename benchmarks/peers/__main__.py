"""`make bench-peers`: the same work by other stream processors, the right answer checked before any figure.

    make bench-peers                                   both classes and mixes, 40,000 records, three rounds
    make bench-peers ARGS=--quick                      one round of 8,000, a few minutes
    make bench-peers ARGS="--only Quix --only leadflow --mix zipf --rounds 5"

Exits with 1 when a contestant that could be run gave a wrong answer; what could not be run is told with the reason.
"""

import argparse
import asyncio
import logging
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.bench.machine import machine_card
from benchmarks.peers import report
from benchmarks.peers.arena import arena
from benchmarks.peers.contestants import CONTESTANTS, Class, Contestant
from benchmarks.peers.data import MIXES, Mix, pinned
from benchmarks.peers.oracle import expected
from benchmarks.peers.runs import Figures, Task, run
from tests.support.kafka_broker import KafkaUnavailable, LocalBroker, broker_on_this_machine

_JSON = Path(".cache/bench-peers.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round of 8,000 records")
    parser.add_argument("--events", type=int, help="records of a run (40,000)")
    parser.add_argument("--rounds", type=int, help="rounds (3)")
    parser.add_argument("--mix", choices=MIXES, action="append", help="how busy leads are; may be given again")
    parser.add_argument("--only", action="append", metavar="NAME", help="contestants whose name has this in it")
    parser.add_argument("--class", choices=("A", "B"), action="append", dest="classes", help="A or B alone")
    parser.add_argument("--json", type=Path, default=_JSON, help=f"where every figure is written ({_JSON})")
    options = parser.parse_args()
    events = options.events or (8_000 if options.quick else 40_000)
    rounds = options.rounds or (1 if options.quick else 3)
    chosen = [one for one in CONTESTANTS if not options.only or any(name in one.name for name in options.only)]
    card = machine_card()
    options.json.parent.mkdir(exist_ok=True)
    # Broker, PostgreSQL and engines end with this program, however it is ended.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Topics that have just been made are led by nobody for a moment, which aiokafka tells at length.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)

    def kept(found: Sequence[Figures]) -> None:
        options.json.write_text(report.as_json(card, found, events=events, rounds=rounds))

    try:
        with broker_on_this_machine() as broker:
            states: Sequence[Class] = options.classes or ("A", "B")
            mixes: Sequence[Mix] = options.mix or MIXES
            matches = [(state, mix) for mix in mixes for state in states]
            found = asyncio.run(measure(broker, chosen, matches, events, rounds=rounds, kept=kept))
    except KafkaUnavailable as error:
        sys.exit(f"bench-peers: {error}")
    sys.stdout.write(report.table(found, events=events, rounds=rounds) + "\n")
    sys.exit(1 if any(report.is_wrong(one) for one in found) else 0)


async def measure(
    broker: LocalBroker,
    contestants: Sequence[Contestant],
    matches: Sequence[tuple[Class, Mix]],
    events: int,
    *,
    rounds: int,
    kept: Callable[[Sequence[Figures]], None],
) -> list[Figures]:
    """All runs, interleaved: each round has every contestant once a class and mix, in an order that rotates.

    After each, `kept` is told of all so far: whoever is interrupted keeps what there is.
    """
    found: list[Figures] = []
    tasks = {mix: Task(mix, made := pinned(events, mix), expected(made)) for _, mix in matches}
    with tempfile.TemporaryDirectory(prefix="peers-") as directory:
        async with arena(Path(directory), broker) as held:
            for turn in range(rounds):
                for state, mix in matches:
                    for one in _rotated(contestants, turn):
                        # leadflow has one place for its state, that of class B, and is run there alone.
                        if one.module == "leadflow" and state == "A" and ("B", mix) in matches:
                            continue
                        found.append(await run(held, one, state, tasks[mix], len(found)))
                        sys.stderr.write(report.line(found[-1]) + "\n")
                        kept(found)
    return found


def _rotated(contestants: Sequence[Contestant], turn: int) -> list[Contestant]:
    first = turn * len(contestants) // 3 % max(1, len(contestants))
    return [*contestants[first:], *contestants[:first]]


if __name__ == "__main__":
    main()
