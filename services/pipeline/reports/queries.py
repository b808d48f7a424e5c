"""The scans behind reports. Each counts one narrow row per lead and returns few rows; nothing here decides.

A scan is sequential and parallel, whatever is asked: no column that changes has an index.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Final
from uuid import UUID

from pydantic import AwareDatetime
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.pipeline.domain.reports.estimates import Bin
from services.pipeline.domain.reports.forecast import ClosedPath, OpenDeals
from services.pipeline.domain.reports.funnel import PathCount, StayBin
from services.pipeline.domain.reports.selection import MOST_GROUPS, OTHERS, Cohort, Dimension, Selection
from services.pipeline.domain.reports.sources import SourceCount
from services.pipeline.domain.reports.stalled import OpenCount, StuckLead
from services.pipeline.domain.reports.velocity import DealCount
from services.pipeline.leads import repository as lead_repository
from services.pipeline.reports.rows import STEP

Named = tuple[str, ...] | None
"""The groups that stand for themselves, all others being one; None: every group does."""

DAY_SECONDS: Final = 86_400
_MOST_ROWS: Final = 20_000


class TooManyGroups(Exception):
    """There are more groups than anybody reads: name the largest and ask again."""


@dataclass(frozen=True, slots=True)
class Overdue:
    """Where a page of leads beyond due ended."""

    due_at: AwareDatetime
    lead_id: UUID


async def begin(connection: AsyncConnection) -> None:
    """The scans of a report may use some memory, and compiling them costs more than it gains."""
    await connection.execute(text("SET LOCAL jit = off"))
    await connection.execute(text("SET LOCAL work_mem = '64MB'"))


async def largest_groups(connection: AsyncConnection, selection: Selection) -> tuple[str, ...]:
    """The groups with most leads, without those that have none."""
    source, values = _leads(selection, None)
    rows = await connection.execute(
        text(f"""
            SELECT grp FROM ({source}) AS lead WHERE grp IS NOT NULL
            GROUP BY grp ORDER BY count(*) DESC, grp LIMIT :groups
        """),  # noqa: S608 names of ours
        {**values, "groups": MOST_GROUPS},
    )
    return tuple(row.grp for row in rows)


async def currency(connection: AsyncConnection, selection: Selection) -> str | None:
    """The currency that most amounts are in; None where most name none."""
    source, values = _leads(selection, None, "currency", "AND amount IS NOT NULL")
    rows = await connection.execute(
        text(f"SELECT currency FROM ({source}) AS lead GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1"),  # noqa: S608
        values,
    )
    found: str | None = rows.scalar_one_or_none()
    return found


async def paths(
    connection: AsyncConnection, selection: Selection, named: Named, *, cohort: Cohort | None
) -> list[PathCount]:
    """Leads by the way they went. Raises TooManyGroups."""
    source, values = _leads(selection, named, f"{_cohort(selection, cohort)} AS cohort, path")
    counted = f"SELECT cohort, grp, path, count(*) AS leads FROM ({source}) AS lead GROUP BY 1, 2, 3"  # noqa: S608
    rows = await _bounded(connection, counted, values)
    return [PathCount((row.cohort, row.grp), _path(row.path), row.leads) for row in rows]


async def stays(
    connection: AsyncConnection, selection: Selection, named: Named, *, cohort: Cohort | None, width: float
) -> list[StayBin]:
    """Durations of stays that are over, by stage, in bins of a relative `width`; 0 for one bin per duration."""
    source, values = _leads(
        selection, named, f"{_cohort(selection, cohort)} AS cohort, path, spent", f"AND path LIKE '%{STEP}%'"
    )
    rows = await connection.execute(
        text(f"""
            SELECT cohort, grp, stage, min(seconds) AS lowest, max(seconds) AS highest, count(*) AS stays
            FROM (
                SELECT cohort, grp, unnest(string_to_array(path, '{STEP}')) AS stage, unnest(spent) AS seconds
                FROM ({source}) AS lead
            ) AS stay
            WHERE seconds IS NOT NULL
            GROUP BY cohort, grp, stage, {_bin("seconds", width)}
        """),  # noqa: S608
        {**values, **_scale(width)},
    )
    return [StayBin((row.cohort, row.grp), row.stage, Bin(row.lowest, row.highest, row.stays)) for row in rows]


async def deals(
    connection: AsyncConnection, selection: Selection, named: Named, *, stage: str | None, currency: str | None
) -> tuple[list[DealCount], int]:
    """Open and closed deals by group, the largest first, and how many amounts are in other currencies.

    Raises TooManyGroups.
    """
    source, values = _deals(selection, named, stage)
    rows = await _bounded(
        connection,
        f"""
            SELECT grp, count(*) AS deals, count(*) FILTER (WHERE outcome IS NULL) AS open,
                count(*) FILTER (WHERE outcome = 'won') AS won, count(*) FILTER (WHERE outcome = 'lost') AS lost,
                count(amount) FILTER (WHERE {_VALUED}) AS valued, avg(amount) FILTER (WHERE {_VALUED}) AS value,
                var_samp(amount) FILTER (WHERE {_VALUED}) AS value_variance,
                count(amount) FILTER (WHERE outcome = 'won' AND NOT {_VALUED}) AS others,
                avg({_CYCLE}) FILTER (WHERE outcome = 'won') AS cycle,
                var_samp({_CYCLE}) FILTER (WHERE outcome = 'won') AS cycle_variance
            FROM ({source}) AS lead GROUP BY grp
        """,  # noqa: S608
        {**values, "currency": currency},
    )
    ordered = sorted(rows, key=lambda row: (-row.deals, row.grp or ""))
    return [_deal_count(row) for row in ordered], sum(row.others for row in rows)


async def cycles(
    connection: AsyncConnection, selection: Selection, named: Named, *, stage: str | None, width: float
) -> list[tuple[str | None, Bin]]:
    """How long won deals took, by group."""
    source, values = _deals(selection, named, stage, "AND outcome = 'won'")
    rows = await connection.execute(
        text(f"""
            SELECT grp, min(cycle) AS lowest, max(cycle) AS highest, count(*) AS deals
            FROM (SELECT grp, {_CYCLE} AS cycle FROM ({source}) AS lead) AS won
            GROUP BY grp, {_bin("cycle", width)}
        """),  # noqa: S608
        {**values, **_scale(width)},
    )
    return [(row.grp, Bin(row.lowest, row.highest, row.deals)) for row in rows]


async def sources(
    connection: AsyncConnection, selection: Selection, named: Named, *, threshold: str | None
) -> list[SourceCount]:
    """What became of leads, by group, the largest first. Raises TooManyGroups."""
    source, values = _leads(selection, named, "thresholds, qualified_at, outcome")
    scored = "cardinality(thresholds) > 0" if threshold is None else ":threshold = ANY(thresholds)"
    rows = await _bounded(
        connection,
        f"""
            SELECT grp, count(*) AS leads, count(*) FILTER (WHERE {scored}) AS scored,
                count(qualified_at) AS qualified, count(*) FILTER (WHERE outcome = 'won') AS won,
                count(*) FILTER (WHERE outcome = 'lost') AS lost
            FROM ({source}) AS lead GROUP BY grp
        """,  # noqa: S608
        {**values, **({} if threshold is None else {"threshold": threshold})},
    )
    counted = [SourceCount(row.grp, row.leads, row.scored, row.qualified, row.won, row.lost) for row in rows]
    return sorted(counted, key=lambda item: (-item.leads, item.group or ""))


async def longest_cycle(connection: AsyncConnection, selection: Selection) -> float | None:
    """Age in seconds of the oldest lead that ever closed, when it did."""
    source, values = _leads(selection, None, "closed_at, entered_at", "AND outcome IS NOT NULL")
    rows = await connection.execute(
        text(f"SELECT max(date_part('epoch', closed_at - entered_at)) FROM ({source}) AS lead"),  # noqa: S608
        values,
    )
    found: float | None = rows.scalar_one_or_none()
    return found


async def open_leads(
    connection: AsyncConnection, selection: Selection, named: Named, *, at: datetime, ancient_before: datetime | None
) -> list[OpenCount]:
    """Open leads by stage and group. Raises TooManyGroups."""
    source, values = _leads(selection, named, "stage, due_at, entered_at", _OPEN)
    rows = await _bounded(
        connection,
        f"""
            SELECT stage, grp, count(*) AS open, count(*) FILTER (WHERE due_at <= :at) AS overdue,
                coalesce(sum({_OVERDUE}) FILTER (WHERE due_at <= :at), 0) AS overdue_seconds,
                count(*) FILTER (WHERE entered_at < :ancient_before) AS ancient
            FROM ({source}) AS lead GROUP BY stage, grp
        """,  # noqa: S608
        {**values, "at": at, "ancient_before": ancient_before},
    )
    return [OpenCount(row.stage, row.grp, row.open, row.overdue, row.overdue_seconds, row.ancient) for row in rows]


async def overdue_leads(
    connection: AsyncConnection, selection: Selection, *, at: datetime, limit: int, after: Overdue | None
) -> list[StuckLead]:
    """Open leads beyond due, the longest first."""
    beyond = "AND (due_at, lead_id) > (:after_due_at, :after_id)" if after else ""
    values = {"after_due_at": after.due_at, "after_id": after.lead_id} if after else {}
    return await _stuck(
        connection, selection, f"AND due_at <= :at {beyond}", "due_at", at=at, limit=limit, values=values
    )


async def ancient_leads(
    connection: AsyncConnection, selection: Selection, *, at: datetime, limit: int, before: datetime
) -> list[StuckLead]:
    """Open leads that entered before `before`, the oldest first."""
    return await _stuck(
        connection, selection, "AND entered_at < :before", "entered_at", at=at, limit=limit, values={"before": before}
    )


async def open_deals(
    connection: AsyncConnection, selection: Selection, named: Named, *, currency: str | None
) -> list[OpenDeals]:
    """Open leads with something of a deal, by group, stage and month of closing. Raises TooManyGroups."""
    source, values = _leads(
        selection,
        named,
        "stage, close_date, probability, "
        "CASE WHEN currency IS NOT DISTINCT FROM CAST(:currency AS text) THEN amount END AS amount",
        f"{_OPEN} AND (amount IS NOT NULL OR close_date IS NOT NULL)",
    )
    rows = await _bounded(
        connection,
        f"""
            SELECT grp, stage, CAST(date_trunc('month', close_date) AS date) AS month, count(*) AS deals,
                count(amount) AS valued,
                coalesce(sum(amount) FILTER (WHERE probability IS NULL), 0) AS value,
                coalesce(sum(amount * amount) FILTER (WHERE probability IS NULL), 0) AS squares,
                coalesce(sum(amount) FILTER (WHERE probability IS NOT NULL), 0) AS stated_value,
                coalesce(sum(amount * probability), 0) AS stated_expected,
                coalesce(sum(amount * amount * probability * (1 - probability)), 0) AS stated_variance,
                coalesce(sum(amount * amount) FILTER (WHERE probability IS NOT NULL), 0) AS stated_squares
            FROM ({source}) AS lead GROUP BY 1, 2, 3
        """,  # noqa: S608
        {**values, "currency": currency},
    )
    return [OpenDeals(**{name: getattr(row, name) for name in _DEALS}, group=row.grp) for row in rows]


async def closed_paths(connection: AsyncConnection, selection: Selection) -> list[ClosedPath]:
    """Which way the closed deals went, and how that ended."""
    source, values = _leads(selection, None, "path, outcome", "AND outcome IS NOT NULL")
    rows = await connection.execute(
        text(f"SELECT path, outcome, count(*) AS deals FROM ({source}) AS lead GROUP BY 1, 2"),  # noqa: S608
        values,
    )
    return [ClosedPath(_path(row.path), row.outcome == "won", row.deals) for row in rows]


_OPEN: Final = "AND outcome IS NULL AND stage IS NOT NULL"
_VALUED: Final = "(outcome = 'won' AND currency IS NOT DISTINCT FROM CAST(:currency AS text))"
_OVERDUE: Final = "date_part('epoch', CAST(:at AS timestamptz) - due_at)"
_CYCLE: Final = "date_part('epoch', closed_at - begun_at)"
_DEALS: Final = (
    "stage",
    "month",
    "deals",
    "valued",
    "value",
    "squares",
    "stated_value",
    "stated_expected",
    "stated_variance",
    "stated_squares",
)


def _leads(selection: Selection, named: Named, columns: str = "", where: str = "") -> tuple[str, dict[str, object]]:
    """A subquery over the rows of the selection, with their group as `grp`, and what it needs."""
    group, values = _group(selection.by, named)
    days = ""
    for bound, comparison in (("since", ">="), ("until", "<")):
        day: date | None = getattr(selection, bound)
        if day is not None:
            days += f" AND {selection.basis}_at {comparison} :{bound}"
            values[bound] = datetime.combine(day, time(), UTC)
    listed = f"{group} AS grp{', ' if columns else ''}{columns}"
    source = f"SELECT {listed} FROM pipeline.lead_report WHERE workspace = :workspace{days} {where}"  # noqa: S608
    return source, {**values, "workspace": selection.workspace}


def _deals(selection: Selection, named: Named, stage: str | None, where: str = "") -> tuple[str, dict[str, object]]:
    """The same of deals, which begin with the pipeline, or with coming to `stage`."""
    begun, came = "entered_at", "AND stage IS NOT NULL"
    if stage is not None:
        steps = f"string_to_array(path, '{STEP}')"
        begun = f"entered_at + make_interval(secs => entered[array_position({steps}, :stage)])"
        came = f"AND :stage = ANY({steps})"
    source, values = _leads(
        selection, named, f"outcome, amount, currency, closed_at, {begun} AS begun_at", f"{came} {where}"
    )
    return source, {**values, **({} if stage is None else {"stage": stage})}


def _group(by: Dimension | None, named: Named) -> tuple[str, dict[str, object]]:
    if by is None:
        return "CAST(NULL AS text)", {}
    values: dict[str, object] = {} if by.attribute is None else {"attribute": by.attribute}
    value = by.column or "coalesce(marks ->> CAST(:attribute AS text), facts ->> CAST(:attribute AS text))"
    if named is None:
        return value, values
    values |= {"named": list(named), "others": OTHERS}
    return f"CASE WHEN {value} IS NULL OR {value} = ANY(CAST(:named AS text[])) THEN {value} ELSE :others END", values


def _cohort(selection: Selection, cohort: Cohort | None) -> str:
    if cohort is None:
        return "CAST(NULL AS date)"
    return f"CAST(date_trunc('{cohort}', {selection.basis}_at AT TIME ZONE 'UTC') AS date)"


def _bin(value: str, width: float) -> str:
    return f"floor(ln(1 + greatest({value}, 0)::double precision) * :scale)" if width else value


def _scale(width: float) -> dict[str, object]:
    return {"scale": 1 / width} if width else {}


async def _bounded(connection: AsyncConnection, query: str, values: dict[str, object]) -> Sequence[Row[Any]]:
    """All rows of `query`. Raises TooManyGroups if there are more than a report can hold.

    OFFSET 0 keeps the limit out of the plan: it should be made for all rows, in parallel.
    """
    rows = await connection.execute(
        text(f"SELECT * FROM ({query} OFFSET 0) AS counted LIMIT :most"),  # noqa: S608
        {**values, "most": _MOST_ROWS + 1},
    )
    found = rows.all()
    if len(found) > _MOST_ROWS:
        raise TooManyGroups
    return found


async def _stuck(
    connection: AsyncConnection,
    selection: Selection,
    where: str,
    order: str,
    *,
    at: datetime,
    limit: int,
    values: dict[str, Any],
) -> list[StuckLead]:
    source, selected = _leads(
        selection, None, "workspace, lead_id, stage, owner, since, due_at, entered_at", f"{_OPEN} {where}"
    )
    rows = await connection.execute(
        text(f"""
            SELECT CAST(lead_id AS text) AS id, lead.* FROM ({source}) AS lead ORDER BY {order}, lead_id LIMIT :limit
        """),  # noqa: S608
        {**selected, **values, "limit": limit, **({"at": at} if ":at" in where else {})},
    )
    stuck = rows.all()
    leads = await lead_repository.read_leads(connection, selection.workspace, [row.id for row in stuck])
    return [_stuck_lead(row, leads[row.id].lead.emails, at) for row in stuck if row.id in leads]


def _stuck_lead(row: Row[Any], emails: tuple[str, ...], at: datetime) -> StuckLead:
    def days(moment: datetime) -> float:
        return round((at - moment).total_seconds() / DAY_SECONDS, 6)

    return StuckLead(
        id=row.id,
        emails=emails,
        stage=row.stage,
        owner=row.owner,
        since=row.since,
        due_at=row.due_at,
        days_in_stage=days(row.since),
        days_beyond_due=days(row.due_at) if row.due_at is not None and row.due_at <= at else None,
        age_days=days(row.entered_at),
    )


def _deal_count(row: Row[Any]) -> DealCount:
    return DealCount(
        group=row.grp,
        open=row.open,
        won=row.won,
        lost=row.lost,
        valued=row.valued,
        value=row.value,
        value_variance=row.value_variance,
        cycle=row.cycle,
        cycle_variance=row.cycle_variance,
    )


def _path(written: str) -> tuple[str, ...]:
    return tuple(written.split(STEP)) if written else ()
