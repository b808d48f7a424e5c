"""What compiling a model's rules is worth: 25 rules, compiled, beside a plain interpreter of the same document.

    python -m benchmarks.rules [--events 500] [--rounds 15] [--at-least 20]

Both say of every event which rules it matches, and must say the same. Each round times the one and then the
other, in turn, because both suffer alike from whatever else the machine does. A batch is as large as those that the
scorer takes from the log, and stays in the processor's cache as one that was just decoded does.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import NamedTuple, TypeAlias

from benchmarks import interpreter, workload
from services.scorer.domain.counting.matching import matched
from services.scorer.domain.events.event import Event
from services.scorer.domain.models.document import parse_model
from services.scorer.domain.states.state import LimitKey

Matching: TypeAlias = Callable[[Event], list[LimitKey]]

_PASSES = 30


class Round(NamedTuple):
    """Microseconds that an event took in one round."""

    compiled: float
    interpreted: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=500, help="events in the batch")
    parser.add_argument("--rounds", type=int, default=15, help="interleaved rounds")
    parser.add_argument("--at-least", type=float, default=20.0, help="exit with 1 where the median ratio is below")
    options = parser.parse_args()
    random = Random(25)  # noqa: S311
    events = [workload.an_event(random, number) for number in range(options.events)]
    compiled: Matching = partial(matched, parse_model(dict(workload.MODEL)))
    interpreted: Matching = partial(interpreter.matches, workload.MODEL)
    matches = agreed_matches(compiled, interpreted, events)
    rounds = [one_round(compiled, interpreted, events, number) for number in range(options.rounds)]
    rules = len(workload.MODEL["scores"]["engagement"]["rules"])
    say("rules", f"{rules}, {matches / len(events):.2f} matches an event, both agree on all {len(events):,} events")
    say("compiled", spread([each.compiled for each in rounds], "us an event"))
    say("interpreted", spread([each.interpreted for each in rounds], "us an event"))
    ratios = [each.interpreted / each.compiled for each in rounds]
    say("ratio", spread(ratios, "times"))
    sys.exit(0 if statistics.median(ratios) >= options.at_least else 1)


def agreed_matches(compiled: Matching, interpreted: Matching, events: Sequence[Event]) -> int:
    """How many matches both find in `events`. Raises RuntimeError where they differ."""
    for event in events:
        if compiled(event) != interpreted(event):
            raise RuntimeError(f"{event}: compiled {compiled(event)}, interpreted {interpreted(event)}")
    return sum(len(compiled(event)) for event in events)


def one_round(compiled: Matching, interpreted: Matching, events: Sequence[Event], number: int) -> Round:
    """The figures of one round; every second one begins with the interpreter."""
    if number % 2:
        slow = microseconds_an_event(interpreted, events)
        return Round(microseconds_an_event(compiled, events), slow)
    return Round(microseconds_an_event(compiled, events), microseconds_an_event(interpreted, events))


def microseconds_an_event(matching: Matching, events: Sequence[Event]) -> float:
    started = time.process_time()
    for _ in range(_PASSES):
        for event in events:
            matching(event)
    return (time.process_time() - started) * 1e6 / (_PASSES * len(events))


def spread(figures: Sequence[float], unit: str) -> str:
    return f"{statistics.median(figures):.2f} {unit} [{min(figures):.2f}..{max(figures):.2f}]"


def say(name: str, text: str) -> None:
    sys.stdout.write(f"{name:13s}{text}\n")


if __name__ == "__main__":
    main()
