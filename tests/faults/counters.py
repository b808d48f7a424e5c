"""Counters of all processes, summed as Prometheus would: a counter that falls belongs to a process that is new."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from tests.faults.processes import Process

Labels = frozenset[tuple[str, str]]
_COUNTED = (
    "leadflow_ingest_events",
    "leadflow_scoring_events",
    "leadflow_dead_letters",
    "leadflow_pipeline_messages",
)


@dataclass
class Counters:
    """What /metrics of every process has shown so far. Of a process that was killed, the end is missing."""

    _seen: dict[tuple[str, int], dict[tuple[str, Labels], float]] = field(default_factory=lambda: defaultdict(dict))

    async def look(self, processes: Sequence[Process]) -> None:
        """Take in what all processes show now."""
        for process in list(processes):
            start = process.starts
            text = await process.metrics() if process.alive else None
            if text is None or process.starts != start:
                continue
            for family in text_string_to_metric_families(text):
                if family.name not in _COUNTED:
                    continue
                for sample in family.samples:
                    key = (sample.name, frozenset(sample.labels.items()))
                    self._seen[process.name, start][key] = sample.value

    async def settle(self, processes: Sequence[Process]) -> None:
        """A last look, when nothing moves any more."""
        await self.look(processes)

    def total(self, name: str, **labels: str) -> int:
        """The increase of a counter over all processes and their lives."""
        return int(
            sum(
                value
                for counters in self._seen.values()
                for (sample, given), value in counters.items()
                if sample == f"{name}_total" and labels.items() <= dict(given).items()
            )
        )
