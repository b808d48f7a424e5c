"""Reports as people ask for them: scans are made, and what they count is put together."""

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, Literal, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.pipeline.documents.versions import PipelineBook
from services.pipeline.domain.reports.estimates import Bin, spread_of
from services.pipeline.domain.reports.forecast import (
    ForecastReport,
    OpenDeals,
    forecast_group,
    forecast_groups,
    stage_odds,
)
from services.pipeline.domain.reports.funnel import FunnelReport, PathCount, funnel_comparison, funnel_groups
from services.pipeline.domain.reports.selection import MOST_GROUPS, OTHERS, Cohort, Dimension, Selection
from services.pipeline.domain.reports.sources import SourceCount, SourcesReport, Touched, touched
from services.pipeline.domain.reports.stalled import OpenCount, StalledReport, bottleneck, by_stage, stalled_groups
from services.pipeline.domain.reports.velocity import DealCount, VelocityReport, velocity_comparison, velocity_group
from services.pipeline.domain.stages import Stages
from services.pipeline.reports import marks, queries
from services.pipeline.reports.queries import Named, Overdue, TooManyGroups
from shared.clock import Clock
from shared.db.engine import Database
from shared.errors import InvalidInput

T = TypeVar("T")
Grouped = TypeVar("Grouped", DealCount, OpenCount, OpenDeals, SourceCount)

TOUCHES: Final = ("source", "medium", "campaign")
_MOST_EXACT: Final = 100_000
_MOST_BINS: Final = 200_000
# Between a second and two years lie so many factors of e.
_MAGNITUDES: Final = 18
_STAGES: Final = 8
_FINEST: Final = 0.02


class Reports:
    """Everything that is asked of all leads of a workspace together. Reads only, each report as of one moment."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._book = PipelineBook()

    async def funnel(self, selection: Selection, *, cohort: Cohort | None = None) -> FunnelReport:
        """How far leads came, and how long it took."""
        async with self._reading(selection.workspace) as connection:
            stages = await self._stages(connection, selection.workspace)
            named, counted = await _grouped(
                connection,
                selection,
                lambda named: queries.paths(connection, selection, named, cohort=cohort),
                _path_sizes,
                _folded_paths,
            )
            width = _width(sum(item.leads * max(0, len(item.path) - 1) for item in counted), _cells(counted))
            bins = await queries.stays(connection, selection, named, cohort=cohort, width=width)
            labels = await marks.labels(connection, selection, {item.key[1] for item in counted})
        counted = [replace(item, key=(item.key[0], _label(labels, item.key[1]))) for item in counted]
        bins = [replace(item, key=(item.key[0], _label(labels, item.key[1]))) for item in bins]
        placed = [item for item in counted if item.path]
        return FunnelReport(
            at=self._clock.now(),
            by=selection.by.name if selection.by else None,
            cohort=cohort,
            leads=sum(item.leads for item in counted),
            unplaced=sum(item.leads for item in counted if not item.path),
            precision=width,
            groups=funnel_groups(stages, placed, bins),
            comparison=funnel_comparison(stages, counted) if selection.by else None,
        )

    async def velocity(
        self, selection: Selection, *, stage: str | None = None, currency: str | None = None
    ) -> VelocityReport:
        """What the open deals bring per day; a deal begins with the pipeline, or with coming to `stage`."""
        async with self._reading(selection.workspace) as connection:
            chosen = currency or await queries.currency(connection, selection)
            named, (counted, others) = await _grouped(
                connection,
                selection,
                lambda named: queries.deals(connection, selection, named, stage=stage, currency=chosen),
                lambda found: [(item.group, _deals(item)) for item in found[0]],
            )
            width = _width(sum(item.won for item in counted), len(counted))
            cycles = await queries.cycles(connection, selection, named, stage=stage, width=width)
            labels = await marks.labels(connection, selection, {item.group for item in counted})
        counted = sorted(_labelled(labels, counted), key=lambda item: (-_deals(item), item.group or ""))
        bins: dict[str | None, list[Bin]] = defaultdict(list)
        for group, found in cycles:
            bins[_label(labels, group)].append(found)
        return VelocityReport(
            at=self._clock.now(),
            by=selection.by.name if selection.by else None,
            stage=stage,
            currency=chosen,
            other_currencies=others,
            precision=width,
            groups=tuple(velocity_group(item, spread_of(bins[item.group])) for item in counted),
            comparison=velocity_comparison(counted) if selection.by else None,
        )

    async def sources(self, selection: Selection, *, threshold: str | None = None) -> SourcesReport:
        """What became of leads by what brought them: by first and by last touch where that is asked for."""
        by = selection.by or Dimension(column="source")
        async with self._reading(selection.workspace) as connection:
            if by.column in TOUCHES:
                last = Dimension(column=f"last_{by.column}")
                touches = [
                    await _touched(connection, selection, by, threshold=threshold, touch="first"),
                    await _touched(connection, selection, last, threshold=threshold, touch="last"),
                ]
            else:
                touches = [await _touched(connection, selection, by, threshold=threshold, touch=None)]
        return SourcesReport(
            at=self._clock.now(),
            threshold=threshold,
            leads=sum(group.leads for group in touches[0].groups),
            touches=tuple(touches),
        )

    async def stalled(
        self, selection: Selection, *, limit: int = 50, after: Overdue | None = None
    ) -> tuple[StalledReport, Overdue | None]:
        """Who is stuck, and where the page of leads ended if there are more."""
        at = self._clock.now()
        by = selection.by or Dimension(column="owner")
        everybody = replace(selection, by=None)
        async with self._reading(selection.workspace) as connection:
            longest = await queries.longest_cycle(connection, everybody)
            before = _moment_before(at, longest)
            _, counted = await _grouped(
                connection,
                replace(selection, by=by),
                lambda named: queries.open_leads(
                    connection, replace(selection, by=by), named, at=at, ancient_before=before
                ),
                lambda found: [(item.group, item.open) for item in found],
            )
            labels = await marks.labels(connection, replace(selection, by=by), {item.group for item in counted})
            counted = _labelled(labels, counted)
            leads = await queries.overdue_leads(connection, everybody, at=at, limit=limit + 1, after=after)
            ancients = (
                await queries.ancient_leads(connection, everybody, at=at, limit=limit, before=before)
                if before
                else []
            )
        stages = by_stage(counted)
        report = StalledReport(
            at=at,
            by=by.name,
            open=sum(item.open for item in counted),
            overdue=sum(item.overdue for item in counted),
            bottleneck=bottleneck(stages),
            stages=stages,
            groups=stalled_groups(counted),
            oldest_closed_days=None if longest is None else round(longest / queries.DAY_SECONDS, 6),
            ancient=sum(item.ancient for item in counted),
            leads=tuple(leads[:limit]),
            ancients=tuple(ancients),
        )
        last = leads[limit - 1] if len(leads) > limit else None
        return report, Overdue(last.due_at, UUID(last.id)) if last and last.due_at else None

    async def forecast(self, selection: Selection, *, currency: str | None = None) -> ForecastReport:
        """What the open deals are worth, by month of closing."""
        async with self._reading(selection.workspace) as connection:
            stages = await self._stages(connection, selection.workspace)
            chosen = currency or await queries.currency(connection, selection)
            _, found = await _grouped(
                connection,
                selection,
                lambda named: queries.open_deals(connection, selection, named, currency=chosen),
                lambda found: [(item.group, item.deals) for item in found],
            )
            labels = await marks.labels(connection, selection, {item.group for item in found})
            found = _labelled(labels, found)
            closed = await queries.closed_paths(connection, replace(selection, by=None))
        order = [(stage.id, stage.probability) for stage in stages.order if not stage.terminal] if stages else []
        odds = stage_odds(order, closed)
        return ForecastReport(
            at=self._clock.now(),
            by=selection.by.name if selection.by else None,
            currency=chosen,
            total=forecast_group(found, odds),
            groups=forecast_groups(found, odds),
            stages=odds,
        )

    @asynccontextmanager
    async def _reading(self, workspace: str) -> AsyncIterator[AsyncConnection]:
        async with self._database.reading(workspace) as connection:
            await queries.begin(connection)
            yield connection

    async def _stages(self, connection: AsyncConnection, workspace: str) -> Stages | None:
        active = (await self._book.active(connection, [workspace])).get(workspace)
        return active.pipeline.stages if active else None


async def _grouped(
    connection: AsyncConnection,
    selection: Selection,
    count: Callable[[Named], Awaitable[T]],
    sizes: Callable[[T], Sequence[tuple[str | None, int]]],
    fold: Callable[[T, tuple[str, ...]], T] | None = None,
) -> tuple[Named, T]:
    """What `count` finds, with all but the largest groups as one: by `fold`, else by counting again."""
    try:
        found = await count(None)
        named = _largest(sizes(found))
    except TooManyGroups:
        named = await queries.largest_groups(connection, selection)
    else:
        if named is None:
            return None, found
        if fold is not None:
            return named, fold(found, named)
    try:
        return named, await count(named)
    except TooManyGroups:
        raise InvalidInput("that is more groups than a report can hold: ask for fewer days", field="from") from None


def _largest(sizes: Sequence[tuple[str | None, int]]) -> Named:
    """The names of the largest groups; None if all of them fit."""
    totals: dict[str, int] = defaultdict(int)
    for group, size in sizes:
        if group is not None:
            totals[group] += size
    if len(totals) <= MOST_GROUPS:
        return None
    return tuple(sorted(totals, key=lambda group: (-totals[group], group))[:MOST_GROUPS])


async def _touched(
    connection: AsyncConnection,
    selection: Selection,
    by: Dimension,
    *,
    threshold: str | None,
    touch: Literal["first", "last"] | None,
) -> Touched:
    chosen = replace(selection, by=by)
    _, counted = await _grouped(
        connection,
        chosen,
        lambda named: queries.sources(connection, chosen, named, threshold=threshold),
        lambda found: [(item.group, item.leads) for item in found],
        _folded_sources,
    )
    labels = await marks.labels(connection, chosen, {item.group for item in counted})
    ordered = sorted(counted, key=lambda item: (item.group == OTHERS, -item.leads, _label(labels, item.group) or ""))
    return touched(by.name, touch, _labelled(labels, ordered if labels else counted))


def _labelled(labels: Mapping[str | None, str], counted: Sequence[Grouped]) -> list[Grouped]:
    return [replace(item, group=_label(labels, item.group)) for item in counted]


def _deals(item: DealCount) -> int:
    return item.open + item.won + item.lost


def _label(labels: Mapping[str | None, str], group: str | None) -> str | None:
    return labels.get(group, group)


def _path_sizes(counted: Sequence[PathCount]) -> list[tuple[str | None, int]]:
    return [(item.key[1], item.leads) for item in counted]


def _folded_paths(counted: list[PathCount], named: tuple[str, ...]) -> list[PathCount]:
    kept = set(named)
    return [
        item if (group := item.key[1]) is None or group in kept else replace(item, key=(item.key[0], OTHERS))
        for item in counted
    ]


def _folded_sources(counted: list[SourceCount], named: tuple[str, ...]) -> list[SourceCount]:
    kept = set(named)
    others = [item for item in counted if item.group is not None and item.group not in kept]
    together = SourceCount(
        group=OTHERS,
        leads=sum(item.leads for item in others),
        scored=sum(item.scored for item in others),
        qualified=sum(item.qualified for item in others),
        won=sum(item.won for item in others),
        lost=sum(item.lost for item in others),
    )
    return [*(item for item in counted if item.group is None or item.group in kept), together]


def _cells(counted: Sequence[PathCount]) -> int:
    return len({item.key for item in counted}) * _STAGES


def _width(durations: int, cells: int) -> float:
    """How wide bins of durations may be, relatively: exact for few, else as fine as can be looked at quickly."""
    if durations <= _MOST_EXACT:
        return 0.0
    return round(max(_FINEST, min(0.25, _MAGNITUDES * max(1, cells) / _MOST_BINS)), 4)


def _moment_before(at: datetime, seconds: float | None) -> datetime | None:
    return None if seconds is None else at - timedelta(seconds=seconds)
