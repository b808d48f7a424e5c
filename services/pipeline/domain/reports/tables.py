"""Reports as flat tables: one for each part of the answer, for a terminal, for CSV, and for a plot."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from services.pipeline.domain.reports.comparison import Comparison
from services.pipeline.domain.reports.estimates import Mean, Rate
from services.pipeline.domain.reports.forecast import ForecastGroup, ForecastReport
from services.pipeline.domain.reports.funnel import FunnelReport
from services.pipeline.domain.reports.sources import SourcesReport
from services.pipeline.domain.reports.stalled import StalledGroup, StalledReport, StuckLead
from services.pipeline.domain.reports.velocity import VelocityReport

Report = FunnelReport | VelocityReport | SourcesReport | StalledReport | ForecastReport
# What a spreadsheet would take for a formula; names of sources and campaigns come from anybody.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

Cell = str | float | date | datetime | Rate | Mean | None


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under their columns; `notes` are what the numbers do not say."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()


def tables_of(report: Report) -> list[Table]:
    """The tables of a report, the main one first."""
    match report:
        case FunnelReport():
            return [_funnel(report)]
        case VelocityReport():
            return [_velocity(report)]
        case SourcesReport():
            return _sources(report)
        case StalledReport():
            return _stalled(report)
        case ForecastReport():
            return _forecast(report)


def csv_rows(table: Table) -> list[list[str]]:
    """The table as text, a rate or a mean as its count, value and interval in columns of their own."""
    samples = [next((row[i] for row in table.rows if row[i] is not None), None) for i in range(len(table.columns))]
    header = [name for column, sample in zip(table.columns, samples, strict=True) for name in _names(column, sample)]
    return [
        header,
        *([text for i, cell in enumerate(row) for text in _texts(cell, samples[i])] for row in table.rows),
    ]


def _funnel(report: FunnelReport) -> Table:
    rows = tuple(
        (
            group.cohort,
            group.group,
            stage.stage,
            stage.entered,
            stage.standing,
            stage.to_next,
            stage.to_later,
            stage.to_won,
            stage.days.count,
            stage.days.median,
            stage.days.p90,
        )
        for group in report.groups
        for stage in group.stages
        if stage.entered
    )
    notes = [f"{report.leads} leads"]
    if report.unplaced:
        notes.append(f"{report.unplaced} of them have come to no stage")
    if report.precision:
        notes.append(f"days are exact to {report.precision:.1%}")
    columns = ("cohort", report.by or "group", "stage", "entered", "standing", "to next", "to later", "to won")
    return Table("funnel", (*columns, "left", "median days", "p90 days"), rows, (*notes, *_words(report.comparison)))


def _velocity(report: VelocityReport) -> Table:
    rows = tuple(
        (
            group.group,
            group.open,
            group.won,
            group.lost,
            group.win_rate,
            group.value,
            group.cycle_days,
            group.cycle_spread.median,
            group.cycle_spread.p90,
            group.per_day,
        )
        for group in report.groups
    )
    notes = [f"amounts in {report.currency or 'no stated currency'}"]
    if report.other_currencies:
        notes.append(f"{report.other_currencies} won deals are in another currency and have no part in the value")
    if report.precision:
        notes.append(f"median and p90 are exact to {report.precision:.1%}")
    columns = (report.by or "group", "open", "won", "lost", "win rate", "mean value", "cycle days")
    return Table(
        "velocity",
        (*columns, "median days", "p90 days", "value per day"),
        rows,
        (*notes, *_words(report.comparison)),
    )


def _sources(report: SourcesReport) -> list[Table]:
    columns = ("leads", "scored", "qualified", "won", "win rate", "against the rest")
    tables = []
    for part in report.touches:
        verdicts = {item.group: item.verdict.replace("_", " ") for item in part.won.contrasts}
        rows = tuple(
            (
                group.group,
                group.leads,
                group.scored,
                group.qualified,
                group.won,
                group.win_rate,
                verdicts.get(group.group),
            )
            for group in part.groups
        )
        title = f"{part.touch} touch" if part.touch else part.by
        notes = (part.scored.words, part.qualified.words, part.won.words)
        tables.append(Table(title, (part.by, *columns), rows, notes))
    return tables


def _stalled(report: StalledReport) -> list[Table]:
    columns = ("open", "overdue", "days beyond due", "older than any closed")
    notes = [f"{report.overdue} of {report.open} open leads are beyond due"]
    if report.bottleneck:
        notes.append(f"the bottleneck is {report.bottleneck}")
    if report.oldest_closed_days is not None:
        notes.append(
            f"{report.ancient} are older than the {report.oldest_closed_days:.0f} days of the slowest that closed"
        )
    return [
        Table("stages", ("stage", *columns), tuple(_stalled_row(item) for item in report.stages), tuple(notes)),
        Table(
            f"stages by {report.by}",
            (report.by, "stage", *columns),
            tuple((item.group, *_stalled_row(item)) for item in report.groups),
        ),
        Table("beyond due, the longest first", _STUCK, tuple(_stuck_row(lead) for lead in report.leads)),
        Table("older than any that closed", _STUCK, tuple(_stuck_row(lead) for lead in report.ancients)),
    ]


_STUCK = ("lead", "email", "stage", "owner", "since", "due", "days in stage", "days beyond due", "age in days")


def _stalled_row(item: StalledGroup) -> tuple[Cell, ...]:
    return item.stage, item.open, item.overdue, item.overdue_days, item.ancient


def _stuck_row(lead: StuckLead) -> tuple[Cell, ...]:
    email = lead.emails[0] if lead.emails else None
    times = (lead.since, lead.due_at, lead.days_in_stage, lead.days_beyond_due, lead.age_days)
    return lead.id, email, lead.stage, lead.owner, *times


def _forecast(report: ForecastReport) -> list[Table]:
    bounds = ("weighted", "weighted low", "weighted high", "historic", "historic low", "historic high")
    columns = ("deals", "without amount", "value", *bounds)
    groups = tuple((item.month, item.group, *_forecast_row(item)) for item in report.groups)
    notes = (
        f"amounts in {report.currency or 'no stated currency'}",
        "weighted: by the deal's own probability, else its stage's; historic: by the win rate of the stage",
    )
    odds = tuple((item.stage, item.probability, item.historic) for item in report.stages)
    total = ("all", None, *_forecast_row(report.total))
    return [
        Table("forecast", ("close month", report.by or "group", *columns), (*groups, total), notes),
        Table("odds by stage", ("stage", "probability", "historic"), odds),
    ]


def _forecast_row(item: ForecastGroup) -> tuple[Cell, ...]:
    weighted, historic = item.weighted, item.historic
    counts = (item.deals, item.unvalued, item.value)
    return *counts, weighted.expected, weighted.low, weighted.high, historic.expected, historic.low, historic.high


def _words(comparison: Comparison | None) -> tuple[str, ...]:
    return () if comparison is None else (comparison.words,)


def _names(column: str, sample: Cell) -> list[str]:
    name = "_".join(column.split())
    match sample:
        case Rate():
            return [f"{name}_count", f"{name}_of", name, f"{name}_low", f"{name}_high"]
        case Mean():
            return [f"{name}_count", name, f"{name}_low", f"{name}_high"]
        case _:
            return [name]


def _texts(cell: Cell, sample: Cell) -> Sequence[str]:
    match cell, sample:
        case Rate(count, of, rate, low, high), _:
            return [_text(value) for value in (count, of, rate, low, high)]
        case Mean(count, mean, low, high), _:
            return [_text(value) for value in (count, mean, low, high)]
        case None, Rate():
            return [""] * 5
        case None, Mean():
            return [""] * 4
        case _:
            return [_text(cell)]


def _text(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return "" if value is None else str(value)
