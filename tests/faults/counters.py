"""What /metrics of the processes tells once all is quiet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from tests.faults.processes import Process

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]
_STATES = ("accepted", "scored", "deduplicated", "dead_lettered", "in_flight")


@dataclass(frozen=True, slots=True)
class Books:
    """What became of all events by the books in PostgreSQL, which outlive every process."""

    accepted: int
    scored: int
    deduplicated: int
    dead_lettered: int
    in_flight: int
    difference: int

    @property
    def balance(self) -> bool:
        """Whether they add up to nothing, with nothing on its way."""
        left = self.accepted - self.scored - self.deduplicated - self.dead_lettered
        return left == self.in_flight == self.difference == 0


@dataclass
class Counters:
    """The last look at each process; a process that has ended has taken its counts with it."""

    _seen: list[Samples] = field(default_factory=list)

    async def look(self, processes: Sequence[Process]) -> None:
        """Take in what all processes show now."""
        self._seen = [samples for process in processes if (samples := await _samples(process))]

    def total(self, name: str, **labels: str) -> int:
        """A sample of a counter or a histogram, summed over all processes."""
        return int(
            sum(
                value
                for samples in self._seen
                for (sample, given), value in samples.items()
                if sample == name and labels.items() <= dict(given).items()
            )
        )


async def books_of(scorer: Process) -> Books | None:
    """The books as a scorer shows them; None as long as it does not."""
    samples = await _samples(scorer)
    states = [samples.get(("leadflow_reconciliation_events", frozenset({("state", state)}))) for state in _STATES]
    found = [*states, samples.get(("leadflow_reconciliation_difference_events", frozenset()))]
    known = [int(value) for value in found if value is not None]
    return Books(*known) if len(known) == len(found) else None


async def _samples(process: Process) -> Samples:
    text = await process.metrics() if process.alive else None
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text or "")
        for sample in family.samples
    }
