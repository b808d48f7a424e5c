"""`leadflow models simulate`: what another model would change, over the stored history, before it counts."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from services.command.failure import fail
from services.command.model_source import ACTIVE, DRAFT, HELP, is_stored, read_document, version_of
from services.command.runtime import database, run_async
from services.command.workers import Processes, number_of, progress_bar
from services.scorer.domain.events.text import read_moment
from services.scorer.domain.models.document import parse_model
from services.scorer.domain.models.model import Model
from services.scorer.domain.what_if.simulation import (
    MOST_LISTED,
    MOST_MOVERS,
    LeadChange,
    Moved,
    Mover,
    Pair,
    Simulation,
    Transition,
)
from services.scorer.leads.history import Progress, Tuning
from services.scorer.models import versions
from services.scorer.what_if.jobs import SIMULATED
from services.scorer.what_if.simulating import (
    DEFAULT_MOVERS,
    DEFAULT_WEEKS,
    MOST_WEEKS,
    ModelName,
    Side,
    Simulated,
    Wanted,
    checked,
    published_side,
    simulate,
)
from shared.clock import SystemClock
from shared.db.engine import Database
from shared.db.migrations import check_migrated
from shared.errors import LeadflowError
from shared.settings import Settings

_SHOWN = 20


def simulate_(  # noqa: PLR0917 - typer reads options from parameters
    model: Annotated[str, typer.Argument(metavar="MODEL", help=HELP)],
    against: Annotated[
        str, typer.Option(metavar="MODEL", help="The version to compare with: a number, `active`, or `draft:NAME`.")
    ] = ACTIVE,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="As of this moment, RFC 3339: what came later does not count.")
    ] = None,
    weeks: Annotated[
        int, typer.Option(min=1, max=MOST_WEEKS, help="Weeks of enterings, that of the moment included.")
    ] = DEFAULT_WEEKS,
    score: Annotated[
        str | None, typer.Option(help="Score by which movers are found; else the one that matters most.")
    ] = None,
    leads: Annotated[
        int, typer.Option(min=0, max=MOST_LISTED, help="Leads listed whose band or grade changes, at most.")
    ] = _SHOWN,
    movers: Annotated[
        int, typer.Option(min=0, max=MOST_MOVERS, help="Biggest movers listed, at most.")
    ] = DEFAULT_MOVERS,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    workspace: Annotated[str, typer.Option(help="Workspace.")] = "default",
    processes: Processes = None,
) -> None:
    """What another model would change: bands and grades, enterings by week, movers and why, load by owner.

    Nothing is written, and nobody is told.
    """
    try:
        moment = None if at is None else read_moment(at, "--at")
        drawn_up = None if is_stored(model) else Side(read_document(Path(model)), None)
    except LeadflowError as error:
        fail(error)

    async def work(told: Callable[[Progress], None]) -> tuple[Wanted, Simulated]:
        async with database(Settings()) as opened:
            await check_migrated(opened)
            wanted = Wanted(
                before=await _stored(opened, workspace, against),
                after=drawn_up or await _stored(opened, workspace, model),
                at=moment,
                score=score,
                weeks=weeks,
                listed=leads,
                movers=movers,
            )
            tuning = Tuning(number_of(processes), on_progress=told)
            now = SystemClock().now()
            return wanted, await simulate(opened, workspace, checked(wanted), now=now, tuning=tuning)

    with progress_bar("simulating") as told:
        wanted, done = run_async(work(told))
    if json:
        print(SIMULATED.dump_json(done, indent=2).decode())
    else:
        _print(Console(), done, [parse_model(side.document) for side in (wanted.before, wanted.after)])


async def _stored(opened: Database, workspace: str, source: str) -> Side:
    """A draft or a published version."""
    if source.startswith(DRAFT):
        return Side((await versions.draft(opened, workspace, source.removeprefix(DRAFT))).document, None)
    return await published_side(opened, workspace, await version_of(opened, workspace, source))


def _print(console: Console, done: Simulated, models: Sequence[Model]) -> None:
    found = done.result
    console.print(f"[bold]{_named(done.before)} -> {_named(done.after)}[/], {found.leads:,} leads")
    for what, names in ((done.before, found.only_before), (done.after, found.only_after)):
        if names:
            console.print(f"only in {_named(what)}: {escape(', '.join(names))}")
    console.print(f"{found.changed:,} leads would change their band or grade\n")
    for name, transitions in found.bands.items():
        console.print(_matrix(f"band of {name}", transitions, bands_in_order(models, name)))
    if found.grades:
        grades = (grade for transition in found.grades for grade in (transition.before, transition.after))
        console.print(_matrix("grade", found.grades, sorted({grade for grade in grades if grade is not None})))
    if found.changes:
        console.print(_changes(found))
    for load in found.thresholds:
        table = Table("week", "entered", "suppressed", title=escape(f"threshold {load.threshold}, by week"))
        for week in load.weeks:
            table.add_row(f"{week.monday}", _shift(week.entered), _shift(week.suppressed))
        table.add_row("inside now", _shift(load.inside), "")
        console.print(table)
    if found.movers:
        console.print(_movers(found.score, found.movers))
    if found.thresholds:
        console.print(_owners(found))
    console.print(f"as of {found.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC, weeks from Monday to Sunday in UTC")


def bands_in_order(models: Iterable[Model], score: str) -> list[str]:
    """The bands of `score` in any of the models, the highest first; where they differ the last model counts."""
    bounds = {band.name: band.at_least for model in models for band in model.bands.get(score, ())}
    return sorted(bounds, key=lambda name: -bounds[name])


def _matrix(title: str, transitions: Sequence[Transition], order: Sequence[str]) -> Table:
    """How many leads, from the row's to the column's; both in `order`, none of them last."""
    counts = {(each.before, each.after): each.leads for each in transitions}
    shown = [{each.before for each in transitions}, {each.after for each in transitions}]
    rows, columns = ([name for name in (*order, None) if name in names] for names in shown)
    table = Table("from \\ to", *map(_text, columns), title=escape(title))
    for row in rows:
        table.add_row(_text(row), *(f"{counts.get((row, column), 0):,}" for column in columns))
    return table


def _changes(found: Simulation) -> Table:
    table = Table(
        _lead_column(), "bands", "grade", title=f"{len(found.changes):,} of {found.changed:,} leads that change"
    )
    for change in found.changes:
        table.add_row(str(change.lead_id), _bands(change), _moved(change.grade) if change.grade else "")
    return table


def _lead_column() -> Column:
    """Ids are there to be copied."""
    return Column("lead", no_wrap=True, min_width=36)


def _bands(change: LeadChange) -> str:
    return ", ".join(f"{escape(name)} {_moved(pair)}" for name, pair in change.bands.items())


def _movers(score: str, movers: Iterable[Mover]) -> Table:
    table = Table(_lead_column(), "before", "after", "why", title=escape(f"biggest movers in {score}"))
    for mover in movers:
        words = [
            f"{reason.score}.{reason.name or reason.kind} {reason.after - reason.before:+.2f}"
            for reason in mover.reasons
        ]
        if round(mover.others, 2):
            words.append(f"others {mover.others:+.2f}")
        table.add_row(str(mover.lead_id), f"{mover.before:g}", f"{mover.after:g}", escape("\n".join(words)))
    return table


def _owners(found: Simulation) -> Table:
    names = [load.threshold for load in found.thresholds]
    headings = [escape(f"{name}: {what}") for name in names for what in ("inside", "entered")]
    table = Table("owner", "leads", *headings, title="load by owner")
    for owner in found.owners:
        cells = [_shift(pair) for name in names for pair in (owner.inside[name], owner.entered[name])]
        table.add_row(_text(owner.owner), f"{owner.leads:,}", *cells)
    if found.more_owners:
        table.caption = f"and {found.more_owners:,} owners more"
    return table


def _named(model: ModelName) -> str:
    return escape(model.name if model.version is None else f"{model.name} version {model.version}")


def _moved(pair: Moved) -> str:
    return f"{_text(pair.before)} -> {_text(pair.after)}"


def _shift(pair: Pair) -> str:
    return f"{pair.before:,}" if pair.before == pair.after else f"{pair.before:,} -> {pair.after:,}"


def _text(name: str | None) -> str:
    return "-" if name is None else escape(name)
