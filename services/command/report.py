"""`leadflow report`: what is asked of all leads together, as tables, CSV, JSON and pictures."""

import sys
from collections.abc import Awaitable, Callable
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import TypeAdapter
from rich.console import Console

from services.command.failure import fail
from services.command.runtime import database, run_async
from services.command.whole_table import print_whole, whole_table
from services.pipeline.api.reports import csv_of
from services.pipeline.domain.reports.estimates import Mean, Rate
from services.pipeline.domain.reports.plot import NONE, plot
from services.pipeline.domain.reports.selection import Basis, Cohort, Selection, dimension_of
from services.pipeline.domain.reports.tables import Cell, Report, Table, tables_of
from services.pipeline.reports.reading import Reports
from shared.clock import SystemClock
from shared.errors import InvalidInput
from shared.settings import Settings

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Reports: funnel, velocity, sources, stalled, forecast."
)

From = Annotated[datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day of the cohort, UTC.")]
Until = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day after the last.")]
BasisOption = Annotated[str, typer.Option("--basis", help="The day that counts: seen (first event) or entered.")]
By = Annotated[
    str | None,
    typer.Option(help="source, medium, campaign, last_source ..., owner, stage, model, currency or attributes.NAME."),
]
Csv = Annotated[bool, typer.Option("--csv", help="CSV on standard output.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output, as the API answers.")]
Plot = Annotated[Path | None, typer.Option("--plot", dir_okay=False, help="Draw it into this SVG file.")]
Currency = Annotated[str | None, typer.Option(help="Of amounts; what most amounts are in unless given.")]
Workspace = Annotated[str, typer.Option(help="Workspace.")]


@app.command()
def funnel(
    *,
    since: From = None,
    until: Until = None,
    basis: BasisOption = "seen",
    by: By = None,
    cohort: Annotated[str | None, typer.Option(help="week or month: count the leads of each apart.")] = None,
    as_csv: Csv = False,
    as_json: AsJson = False,
    plot_file: Plot = None,
    workspace: Workspace = "default",
) -> None:
    """How far leads come, and how long it takes."""
    selection = _selection(workspace, since, until, basis=basis, by=by)
    chosen = _cohort(cohort)
    _show(lambda reports: reports.funnel(selection, cohort=chosen), as_csv, as_json, plot_file)


@app.command()
def velocity(
    *,
    since: From = None,
    until: Until = None,
    basis: BasisOption = "seen",
    by: By = None,
    stage: Annotated[str | None, typer.Option(help="A deal begins on coming to this stage.")] = None,
    currency: Currency = None,
    as_csv: Csv = False,
    as_json: AsJson = False,
    plot_file: Plot = None,
    workspace: Workspace = "default",
) -> None:
    """What the open deals bring per day, and its parts."""
    selection = _selection(workspace, since, until, basis=basis, by=by)
    _show(lambda reports: reports.velocity(selection, stage=stage, currency=currency), as_csv, as_json, plot_file)


@app.command()
def sources(
    *,
    since: From = None,
    until: Until = None,
    basis: BasisOption = "seen",
    by: By = None,
    threshold: Annotated[str | None, typer.Option(help="What a lead that scores has reached; else any.")] = None,
    as_csv: Csv = False,
    as_json: AsJson = False,
    plot_file: Plot = None,
    workspace: Workspace = "default",
) -> None:
    """What brings leads that score, qualify and win."""
    selection = _selection(workspace, since, until, basis=basis, by=by)
    _show(lambda reports: reports.sources(selection, threshold=threshold), as_csv, as_json, plot_file)


@app.command()
def stalled(
    *,
    since: From = None,
    until: Until = None,
    basis: BasisOption = "seen",
    by: By = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many leads.")] = 20,
    as_csv: Csv = False,
    as_json: AsJson = False,
    plot_file: Plot = None,
    workspace: Workspace = "default",
) -> None:
    """Who is stuck, since when, and where."""
    selection = _selection(workspace, since, until, basis=basis, by=by)

    async def read(reports: Reports) -> Report:
        return (await reports.stalled(selection, limit=limit))[0]

    _show(read, as_csv, as_json, plot_file)


@app.command()
def forecast(
    *,
    since: From = None,
    until: Until = None,
    basis: BasisOption = "seen",
    by: By = None,
    currency: Currency = None,
    as_csv: Csv = False,
    as_json: AsJson = False,
    plot_file: Plot = None,
    workspace: Workspace = "default",
) -> None:
    """What the open deals are worth, by month of closing."""
    selection = _selection(workspace, since, until, basis=basis, by=by)
    _show(lambda reports: reports.forecast(selection, currency=currency), as_csv, as_json, plot_file)


def _show(read: Callable[[Reports], Awaitable[Report]], as_csv: bool, as_json: bool, plot_file: Path | None) -> None:
    async def work() -> Report:
        async with database(Settings()) as opened:
            return await read(Reports(opened, SystemClock()))

    report = run_async(work())
    if plot_file is not None:
        _write(plot_file, plot(report))
    if as_json:
        print(TypeAdapter(type(report)).dump_json(report, indent=2).decode())
    elif as_csv:
        sys.stdout.write(csv_of(report))
    else:
        console = Console()
        for table in tables_of(report):
            _print(console, table)


def _print(console: Console, table: Table) -> None:
    """A column in which nothing stands is left out."""
    shown = whole_table(table.title)
    used = [place for place in range(len(table.columns)) if any(row[place] is not None for row in table.rows)]
    for place in used:
        is_number = any(isinstance(row[place], int | float | Rate | Mean) for row in table.rows)
        shown.add_column(table.columns[place], justify="right" if is_number else "left", no_wrap=True)
    for row in table.rows:
        shown.add_row(*(_cell(row[place], table.columns[place], row) for place in used))
    print_whole(console, shown)
    for note in table.notes:
        console.print(f"{note[:1].upper()}{note[1:]}.", highlight=False)
    console.print()


def _cell(cell: Cell, column: str, row: tuple[Cell, ...]) -> str:
    """For people: a rate as percent above its interval, with its count unless that stands in the row."""
    match cell:
        case Rate(_, of, rate, low, high):
            if rate is None or low is None or high is None:
                return ""
            count = "" if of in row else f" of {of}"
            return f"{rate:.1%}{count}\n{100 * low:.1f}-{100 * high:.1f}"
        case Mean(_, mean, low, high):
            return "" if mean is None else f"{mean:,.1f}" + ("" if low is None else f"\n{low:,.1f}-{high:,.1f}")
        case datetime():
            return f"{cell:%Y-%m-%d %H:%M}"
        case date():
            return f"{cell:%Y-%m}" if column == "close month" else f"{cell:%Y-%m-%d}"
        case None:
            return NONE if column.startswith(_GROUPS) else ""
        case float():
            return f"{cell:,.2f}" if abs(cell) < _ROUND else f"{cell:,.0f}"
        case _:
            return str(cell)


_ROUND = 1_000
_GROUPS = ("source", "medium", "campaign", "last_", "owner", "model", "currency", "attributes.")


def _selection(
    workspace: str, since: datetime | None, until: datetime | None, *, basis: str, by: str | None
) -> Selection:
    kinds: tuple[Literal["seen"], Literal["entered"]] = ("seen", "entered")
    chosen: Basis | None = next((kind for kind in kinds if kind == basis), None)
    if chosen is None:
        fail(InvalidInput("--basis must be seen or entered", field="basis"))
    try:
        dimension = dimension_of(by)
    except InvalidInput as error:
        fail(error)
    return Selection(workspace, _day(since), _day(until), chosen, dimension)


def _cohort(text: str | None) -> Cohort | None:
    kinds: tuple[Cohort, ...] = ("week", "month")
    chosen = next((kind for kind in kinds if kind == text), None)
    if text is not None and chosen is None:
        fail(InvalidInput("--cohort must be week or month", field="cohort"))
    return chosen


def _day(moment: datetime | None) -> date | None:
    return moment.date() if moment else None


def _write(path: Path, picture: str) -> None:
    try:
        path.write_text(picture, encoding="utf-8")
    except OSError as error:
        fail(InvalidInput(f"{path}: {error.strerror}"))
