"""Sources: which of them bring leads that score, qualify and win."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from services.pipeline.domain.reports.comparison import Comparison, Outcomes, compare
from services.pipeline.domain.reports.estimates import Rate, rate_of


@dataclass(frozen=True, slots=True)
class SourceCount:
    """What became of the leads of one source."""

    group: str | None
    leads: int
    scored: int
    qualified: int
    won: int
    lost: int


@dataclass(frozen=True, slots=True)
class SourceGroup:
    """Rates are of all leads of the group, whatever their age. `win_rate` is of those that are closed."""

    group: str | None
    leads: int
    scored: Rate
    qualified: Rate
    won: Rate
    win_rate: Rate


@dataclass(frozen=True, slots=True)
class Touched:
    """Leads grouped by their first or last touch, or by something that is no touch."""

    by: str
    touch: Literal["first", "last"] | None
    groups: tuple[SourceGroup, ...]
    scored: Comparison
    qualified: Comparison
    won: Comparison


@dataclass(frozen=True, slots=True)
class SourcesReport:
    """`threshold`: what a lead that scores has reached; null is any threshold of the model."""

    at: datetime
    threshold: str | None
    leads: int
    touches: tuple[Touched, ...]


def touched(by: str, touch: Literal["first", "last"] | None, counted: Sequence[SourceCount]) -> Touched:
    """The groups in the order given, and whether they differ."""
    return Touched(
        by=by,
        touch=touch,
        groups=tuple(
            SourceGroup(
                group=item.group,
                leads=item.leads,
                scored=rate_of(item.scored, item.leads),
                qualified=rate_of(item.qualified, item.leads),
                won=rate_of(item.won, item.leads),
                win_rate=rate_of(item.won, item.won + item.lost),
            )
            for item in counted
        ),
        scored=compare("the share that scores", [Outcomes(item.group, item.scored, item.leads) for item in counted]),
        qualified=compare(
            "the share that qualifies", [Outcomes(item.group, item.qualified, item.leads) for item in counted]
        ),
        won=compare("the share won", [Outcomes(item.group, item.won, item.leads) for item in counted]),
    )
