"""What the scoring core costs: batches of events over many leads, without a database or a log.

    python -m benchmarks.scorer [--leads 2000] [--batches 60] [--batch 500]

Every batch does what the scorer does with it between its statements: a touched lead's state is decoded from JSON,
its events happen to it, and the new state, what is to be remembered and the messages are encoded. Days pass between
the batches. `uniform` spreads events evenly over the leads, `skewed` gives a few leads most of them. The rich model
has groups, limits, a combined score and a grade; the plain one has the same rules and none of these.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any, TypeAlias

from benchmarks import workload
from services.scorer.domain.codec import decode_state, decode_told, encode_state, encode_told
from services.scorer.domain.lead import ActiveModel, Happening, Lead, happen
from services.scorer.domain.models.document import parse_model
from services.scorer.domain.states.state import EMPTY
from shared.events.accepting import AcceptedEvent, decode_event
from shared.events.codec import encode
from shared.events.envelope import LeadReference

Batch: TypeAlias = Mapping[int, Sequence[AcceptedEvent]]

_MODELS = {"rich": workload.MODEL, "plain": workload.PLAIN_MODEL}
_STAGES = ("decode", "happen", "encode", "messages")
# Leads have a past before anything is measured.
_WARM_UP = 0.5


class Core:
    """Leads, and where the time goes."""

    def __init__(self, model: Mapping[str, Any]) -> None:
        self.active = ActiveModel(1, parse_model(dict(model)))
        self.stored: dict[int, tuple[Lead, bytes, bytes | None]] = {}
        self.seconds = dict.fromkeys(_STAGES, 0.0)

    def score(self, batch: Batch) -> None:
        """Let the events of one batch happen, lead by lead."""
        now = max(event.received_at for events in batch.values() for event in events)
        for number, events in batch.items():
            began = time.process_time()
            lead = self.lead(number)
            decoded = time.process_time()
            outcome = happen(self.active, lead, Happening(tuple(events)), now)
            happened = time.process_time()
            self.store(number, outcome.lead)
            encoded = time.process_time()
            for message in outcome.messages:
                encode(message)
            self.count(began, decoded, happened, encoded, time.process_time())

    def lead(self, number: int) -> Lead:
        if number not in self.stored:
            reference = LeadReference(id=str(number), emails=(f"lead.{number}@example.com",), external_ids={})
            return Lead(reference, "default", version=None, state=EMPTY, told=None, sequence=0, due_at=None)
        lead, state, told = self.stored[number]
        return replace(
            lead,
            state=decode_state(state),
            told=None if told is None else decode_told(told),
        )

    def store(self, number: int, lead: Lead) -> None:
        told = None if lead.told is None else encode_told(lead.told)
        self.stored[number] = replace(lead, state=EMPTY, told=None), encode_state(lead.state), told

    def count(self, *moments: float) -> None:
        for stage, begin, end in zip(_STAGES, moments, moments[1:], strict=False):
            self.seconds[stage] += end - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--leads", type=int, default=2000, help="different leads")
    parser.add_argument("--batches", type=int, default=60, help="batches, half of them to warm up")
    parser.add_argument("--batch", type=int, default=500, help="events in a batch")
    options = parser.parse_args()
    for spread in ("uniform", "skewed"):
        made = batches(options.leads, options.batches, options.batch, skewed=spread == "skewed")
        for name, model in _MODELS.items():
            measure(f"{spread} {name}", model, made)


def measure(name: str, model: Mapping[str, Any], made: Sequence[Batch]) -> None:
    """Print what the second half of the batches cost."""
    core, warm_up = Core(model), int(len(made) * _WARM_UP)
    for batch in made[:warm_up]:
        core.score(batch)
    core.seconds = dict.fromkeys(_STAGES, 0.0)
    rates: list[float] = []
    for batch in made[warm_up:]:
        began = time.process_time()
        core.score(batch)
        rates.append(sum(map(len, batch.values())) / (time.process_time() - began))
    touched = sum(map(len, made[warm_up:]))
    events = sum(len(found) for batch in made[warm_up:] for found in batch.values())
    sizes = [len(state) for _, state, _ in core.stored.values()]
    say(name, f"{statistics.median(rates):,.0f} events/s [{min(rates):,.0f}..{max(rates):,.0f}]")
    say("", f"{events / touched:.2f} events a touched lead, states of {statistics.median(sizes):,.0f} bytes")
    for stage, seconds in core.seconds.items():
        say("", f"{stage:9s}{seconds * 1e6 / touched:7.1f} us a touched lead")


def batches(leads: int, count: int, size: int, *, skewed: bool) -> list[Batch]:
    """`count` batches, each of another day, by lead."""
    random = Random(11)  # noqa: S311
    weights = [1 / (number + 1) for number in range(leads)] if skewed else None
    made: list[Batch] = []
    for day in range(count):
        batch: dict[int, list[AcceptedEvent]] = {}
        for number in random.choices(range(leads), weights, k=size):
            event = workload.an_accepted_event(random, number, spread=timedelta(days=1))
            later = timedelta(days=day)
            moved = {"occurred_at": event.occurred_at + later, "received_at": event.received_at + later}
            batch.setdefault(number, []).append(decode_event(event.model_copy(update=moved).model_dump_json()))
        made.append(batch)
    return made


def say(name: str, text: str) -> None:
    sys.stdout.write(f"{name:15s}{text}\n")


if __name__ == "__main__":
    main()
