"""How large the state of one lead becomes: a million events, counted and folded as the scorer does it.

    python -m benchmarks.million [--events 1000000] [--years 3] [--values 200] [--late 0]

The events come in batches, a few of them late, some of them twice. Every tenth is under a limit by a field with
many values, every thousandth an adjustment. Where the folded state cannot answer, it is computed anew from all
events so far, and that is counted. In the end the scores are compared with those of all events, never folded.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from random import Random
from typing import Any

from benchmarks import workload
from services.scorer.domain.codec import encode_state
from services.scorer.domain.counting.folding import compact
from services.scorer.domain.counting.matching import state_of
from services.scorer.domain.counting.tally import curve_of, needs_history
from services.scorer.domain.events.event import Event
from services.scorer.domain.models.document import parse_model
from services.scorer.domain.models.model import Model
from services.scorer.domain.states.state import EMPTY, LeadState, combine, combine_all
from shared.events.curve import scores_at


@dataclass
class Lead:
    """One lead, with all its events for when they are needed."""

    model: Model
    state: LeadState = EMPTY
    history: dict[str, Event] = field(default_factory=dict)
    recomputed: int = 0
    largest: int = 0

    def count(self, batch: list[Event]) -> None:
        fresh = {event.id: event for event in batch if event.id not in self.history}
        self.history |= fresh
        state = combine(self.state, combine_all(state_of(self.model, event) for event in fresh.values()))
        if needs_history(self.model, state):
            self.recomputed += 1
            state = self.anew()
        self.state = compact(self.model, state)
        self.largest = max(self.largest, len(encode_state(self.state)))

    def anew(self) -> LeadState:
        """The state of all events, not folded."""
        return combine_all(state_of(self.model, event) for event in self.history.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000, help="events of the lead")
    parser.add_argument("--years", type=float, default=3, help="over which they are spread")
    parser.add_argument("--values", type=int, default=200, help="of the field that a limit goes by")
    parser.add_argument("--late", type=float, default=0.0, help="share of events that come up to three days late")
    options = parser.parse_args()
    spread = timedelta(days=365 * options.years)
    lead = Lead(parse_model(dict(workload.MODEL)))
    began = time.process_time()
    stream = events(Random(3), options.events, spread, values=options.values, late=options.late)  # noqa: S311
    while batch := list(islice(stream, 500)):
        lead.count(batch)
    say("events", f"{len(lead.history):,} over {options.years:g} years, {time.process_time() - began:,.0f} s")
    say("state", f"{len(encode_state(lead.state)):,} bytes, never more than {lead.largest:,}")
    say("recomputed", f"{lead.recomputed} times")
    compare(lead, workload.START + spread)


def compare(lead: Lead, end: datetime) -> None:
    """Print scores at some moments after the end. Raises RuntimeError where folding has changed one."""
    begin = end + timedelta(days=1)
    folded, exact = (curve_of(lead.model, state, begin) for state in (lead.state, lead.anew()))
    for days in (0, 200, 250, 300):
        at = begin + timedelta(days=days)
        ours, theirs = scores_at(folded, at), scores_at(exact, at)
        if any(abs(ours[name] - theirs[name]) > 1e-9 for name in theirs):
            raise RuntimeError(f"folded {ours}, from scratch {theirs}")
        say("scores", f"after {days} days engagement {ours['engagement']:.6f}, folded and from scratch")


def events(random: Random, count: int, spread: timedelta, *, values: int, late: float) -> Iterator[Event]:
    """Events in the order in which they come; one in a hundred comes twice."""
    for number in range(count):
        happened = workload.START + spread * (number / count)
        if random.random() < late:
            happened -= timedelta(days=3) * random.random()
        event = an_event(random, number, happened, values)
        yield event
        if random.random() < 0.01:
            yield event


def an_event(random: Random, number: int, happened: datetime, values: int) -> Event:
    if number % 1000 == 0:
        given: dict[str, Any] = {"score": "engagement", "points": 1, "half_life": "14d", "actor": "a", "reason": "r"}
        return Event(str(number), "web", "score_adjusted", happened, given, {})
    if number % 10 == 0:
        return Event(str(number), "web", "content_downloaded", happened, {"title": random.randrange(values)}, {})
    made = workload.an_accepted_event(random, number)
    return Event(str(number), "web", made.type, happened, made.properties, made.attributes)


def say(name: str, text: str) -> None:
    sys.stdout.write(f"{name:12s}{text}\n")


if __name__ == "__main__":
    main()
