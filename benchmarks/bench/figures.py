"""Figures: what was measured in rounds, beside which probe, and what is demanded of the two together."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Demand = Literal["at least", "at most"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table. `floor` and `aim` bound the measure: the ratio to the probe, or the value itself.

    Without a floor nothing is demanded.
    """

    name: str
    unit: str
    floor: float | None = None
    aim: float | None = None
    probe: str | None = None
    demand: Demand = "at least"


@dataclass(frozen=True, slots=True)
class Measured:
    """The values of a figure, one a round, and those of its probe from the same rounds."""

    figure: Figure
    values: tuple[float, ...]
    probes: tuple[float, ...] = ()
    note: str = ""

    @property
    def measures(self) -> tuple[float, ...]:
        """What the demands are about, round by round."""
        if not self.probes:
            return self.values
        return tuple(value / probe for value, probe in zip(self.values, self.probes, strict=True))

    @property
    def measure(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.measures)

    def reaches(self, bound: float) -> bool:
        """Whether the median is on the right side of `bound`."""
        return self.measure >= bound if self.figure.demand == "at least" else self.measure <= bound

    @property
    def verdict(self) -> str:
        """In a word what became of floor and aim."""
        if self.figure.aim is not None and self.reaches(self.figure.aim):
            return "aim"
        if self.figure.floor is None:
            return "-"
        return "floor" if self.reaches(self.figure.floor) else "MISSED"


@dataclass
class Rounds:
    """Collects a figure round by round; the probe of a round is taken right beside it."""

    figure: Figure
    values: list[float] = field(default_factory=list)
    probes: list[float] = field(default_factory=list)
    note: str = ""

    def add(self, value: float, probe: float | None = None) -> None:
        """One round."""
        self.values.append(value)
        if probe is not None:
            self.probes.append(probe)

    def measured(self) -> Measured:
        """What came of all rounds."""
        return Measured(self.figure, tuple(self.values), tuple(self.probes), self.note)


def spread(values: Sequence[float]) -> str:
    """Median and range, in as many digits as say something."""
    median = statistics.median(values)
    return f"{_short(median)} [{_short(min(values))}..{_short(max(values))}]"


def _short(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value >= 1 else f"{value:.3f}"
