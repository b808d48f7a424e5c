"""What must come out: from the data alone, one thread, plainly, and sharing no code with any engine.

It interprets model.yaml for every event, adds with `math.fsum`, and knows nothing of records.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.interpreter import holds
from benchmarks.peers.data import Made
from shared.documents.yaml_text import read_yaml

MODEL_FILE = Path(__file__).with_name("model.yaml")
HALF_LIFE_US = 14 * 86_400 * 1_000_000
THRESHOLD = 50.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """One lead: its score at a moment, how many events count, how long before the run the latest happened."""

    score: float
    count: int
    last_ago_us: int


@dataclass(frozen=True, slots=True)
class Expected:
    """What each lead gets, told for the moment of the run; a lead without a valid event has no line."""

    leads: Mapping[int, Outcome]

    @property
    def crossed(self) -> frozenset[int]:
        """The leads that reach the threshold."""
        return frozenset(lead for lead, outcome in self.leads.items() if outcome.score >= THRESHOLD)


def expected(records: Sequence[Made]) -> Expected:
    """The right answer for `records`."""
    model: Any = read_yaml(MODEL_FILE.read_text())
    rules = model["scores"]["engagement"]["rules"]
    events = {record.id: record for record in records if record.flaw is None}
    worth: dict[int, list[float]] = {}
    latest: dict[int, int] = {}
    for event in events.values():
        worth.setdefault(event.lead, []).append(_points(rules, event) * 2 ** (-event.ago_us / HALF_LIFE_US))
        latest[event.lead] = min(latest.get(event.lead, event.ago_us), event.ago_us)
    return Expected({lead: Outcome(math.fsum(parts), len(parts), latest[lead]) for lead, parts in worth.items()})


def score_after(outcome: Outcome, elapsed_us: float) -> float:
    """What a lead's score has decayed to, so long after the moment of the run."""
    return float(outcome.score * 2 ** (-elapsed_us / HALF_LIFE_US))


def _points(rules: Sequence[Mapping[str, Any]], event: Made) -> float:
    fields = {"type": event.type, "source": "web", "properties": event.properties}
    return math.fsum(rule["points"] for rule in rules if _is_on(rule, event) and holds(rule.get("if", {}), fields))


def _is_on(rule: Mapping[str, Any], event: Made) -> bool:
    types = rule["on"]
    return event.type in ([types] if isinstance(types, str) else types)
