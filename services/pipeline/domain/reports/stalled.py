"""Who is stuck: leads past their due time, the stage that holds up most, deals older than any that ever closed."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.pipeline.domain.reports.estimates import DAY_SECONDS, Rate, rate_of, rounded


@dataclass(frozen=True, slots=True)
class OpenCount:
    """Open leads of a stage and a group; `overdue_seconds` is the sum of what is beyond due."""

    stage: str
    group: str | None
    open: int
    overdue: int
    overdue_seconds: float
    ancient: int


@dataclass(frozen=True, slots=True)
class StalledGroup:
    """Open leads of a stage and a group. `ancient` ones are older than any lead was when it closed."""

    stage: str
    group: str | None
    open: int
    overdue: Rate
    overdue_days: float
    ancient: int


@dataclass(frozen=True, slots=True)
class StuckLead:
    """One open lead. `days_beyond_due` is null without a due time."""

    id: str
    emails: tuple[str, ...]
    stage: str
    owner: str | None
    since: datetime
    due_at: datetime | None
    days_in_stage: float
    days_beyond_due: float | None
    age_days: float


@dataclass(frozen=True, slots=True)
class StalledReport:
    """`bottleneck`: the stage whose open leads are the most days beyond due together; null while none is."""

    at: datetime
    by: str
    open: int
    overdue: int
    bottleneck: str | None
    stages: tuple[StalledGroup, ...]
    groups: tuple[StalledGroup, ...]
    oldest_closed_days: float | None
    ancient: int
    leads: tuple[StuckLead, ...]
    ancients: tuple[StuckLead, ...]
    next_cursor: str | None = None


def stalled_groups(counted: Sequence[OpenCount]) -> tuple[StalledGroup, ...]:
    """Each count as a group, whoever is most days beyond due first."""
    groups = [
        StalledGroup(
            stage=item.stage,
            group=item.group,
            open=item.open,
            overdue=rate_of(item.overdue, item.open),
            overdue_days=rounded(item.overdue_seconds / DAY_SECONDS),
            ancient=item.ancient,
        )
        for item in counted
    ]
    return tuple(sorted(groups, key=lambda item: (-item.overdue_days, -item.open, item.stage, item.group or "")))


def by_stage(counted: Sequence[OpenCount]) -> tuple[StalledGroup, ...]:
    """The same with the groups of a stage together."""
    found: dict[str, list[OpenCount]] = defaultdict(list)
    for item in counted:
        found[item.stage].append(item)
    return stalled_groups([_together(stage, items) for stage, items in found.items()])


def bottleneck(stages: Sequence[StalledGroup]) -> str | None:
    """The first, if anybody stalls there."""
    return stages[0].stage if stages and stages[0].overdue.count else None


def _together(stage: str, items: Sequence[OpenCount]) -> OpenCount:
    return OpenCount(
        stage=stage,
        group=None,
        open=sum(item.open for item in items),
        overdue=sum(item.overdue for item in items),
        overdue_seconds=sum(item.overdue_seconds for item in items),
        ancient=sum(item.ancient for item in items),
    )
