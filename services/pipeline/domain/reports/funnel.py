"""The funnel: how many came to each stage, how many went on, and how long it took."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from services.pipeline.domain.reports.comparison import Comparison, Outcomes, compare
from services.pipeline.domain.reports.estimates import Bin, Rate, Spread, rate_of, spread_of
from services.pipeline.domain.stages import Stages

Key = tuple[date | None, str | None]
"""First day of the cohort, and group."""


@dataclass(frozen=True, slots=True)
class PathCount:
    """So many leads of a cohort and a group went this way."""

    key: Key
    path: tuple[str, ...]
    leads: int


@dataclass(frozen=True, slots=True)
class StayBin:
    """Durations of stays that are over, in the stage at `position` (from 0) of a path."""

    key: Key
    stage: str
    bin: Bin


@dataclass(frozen=True, slots=True)
class FunnelStage:
    """One stage. `to_next`, `to_later` and `to_won` are of those who entered; a stage aside has only `to_won`.

    `days` are of leads that have left it; `standing` stand there now.
    """

    stage: str
    entered: int
    standing: int
    to_next: Rate | None
    to_later: Rate | None
    to_won: Rate | None
    days: Spread


@dataclass(frozen=True, slots=True)
class FunnelGroup:
    """Leads of one cohort and one group."""

    cohort: date | None
    group: str | None
    leads: int
    stages: tuple[FunnelStage, ...]


@dataclass(frozen=True, slots=True)
class FunnelReport:
    """`unplaced` leads have come to no stage. `precision` is the widest error of a duration; 0 is exact."""

    at: datetime
    by: str | None
    cohort: str | None
    leads: int
    unplaced: int
    precision: float
    groups: tuple[FunnelGroup, ...]
    comparison: Comparison | None


def funnel_groups(
    stages: Stages | None, paths: Sequence[PathCount], bins: Iterable[StayBin]
) -> tuple[FunnelGroup, ...]:
    """Cohorts in their order, and in each the groups, the largest first."""
    by_key: dict[Key, list[PathCount]] = defaultdict(list)
    for item in paths:
        by_key[item.key].append(item)
    durations: dict[tuple[Key, str], list[Bin]] = defaultdict(list)
    for stay in bins:
        durations[stay.key, stay.stage].append(stay.bin)
    groups = [_group(stages, key, counted, durations) for key, counted in by_key.items()]
    return tuple(sorted(groups, key=lambda group: (group.cohort or date.min, -group.leads, group.group or "")))


def funnel_comparison(stages: Stages | None, paths: Sequence[PathCount]) -> Comparison:
    """Whether groups differ in how many of their leads were won."""
    won = _won(stages)
    trials: dict[str | None, int] = defaultdict(int)
    successes: dict[str | None, int] = defaultdict(int)
    for item in paths:
        trials[item.key[1]] += item.leads
        successes[item.key[1]] += item.leads if won & set(item.path) else 0
    ordered = sorted(trials, key=lambda group: (-trials[group], group or ""))
    return compare("the share won", [Outcomes(group, successes[group], trials[group]) for group in ordered])


def main_line(stages: Stages | None) -> list[str]:
    """The stages that lead up to the first won one; what comes after it, and what is lost, stands aside."""
    line: list[str] = []
    for stage in stages.order if stages else ():
        if stage.terminal != "lost":
            line.append(stage.id)
        if stage.terminal == "won":
            break
    return line


def _group(
    stages: Stages | None, key: Key, counted: Sequence[PathCount], durations: Mapping[tuple[Key, str], list[Bin]]
) -> FunnelGroup:
    seen = {stage for item in counted for stage in item.path}
    known = [stage.id for stage in stages.order] if stages else []
    order = [*known, *sorted(seen - set(known))]
    return FunnelGroup(
        cohort=key[0],
        group=key[1],
        leads=sum(item.leads for item in counted),
        stages=tuple(_stage(stages, stage, counted, durations.get((key, stage), [])) for stage in order),
    )


def _stage(stages: Stages | None, stage: str, counted: Sequence[PathCount], bins: Sequence[Bin]) -> FunnelStage:
    after = [(item.path[item.path.index(stage) + 1 :], item.leads) for item in counted if stage in item.path]
    entered = sum(leads for _, leads in after)
    line, won = main_line(stages), _won(stages)
    later = line[line.index(stage) + 1 :] if stage in line else []
    days = spread_of(bins)
    found = stages.find(stage) if stages else None
    is_over = found is not None and found.terminal is not None

    def to(targets: Iterable[str]) -> Rate:
        wanted = set(targets)
        return rate_of(sum(leads for rest, leads in after if wanted & set(rest)), entered)

    return FunnelStage(
        stage=stage,
        entered=entered,
        standing=entered - days.count,
        to_next=to(later[:1]) if later else None,
        to_later=to(later) if later else None,
        to_won=None if is_over else to(won),
        days=days,
    )


def _won(stages: Stages | None) -> set[str]:
    return {stage.id for stage in stages.order if stage.terminal == "won"} if stages else set()
