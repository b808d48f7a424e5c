"""`leadflow models backtest`: which model tells the leads that are won from the others, and how sure that is."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from math import isfinite
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import TypeAdapter
from rich.console import Console

from services.command.backtest_tables import named, print_report
from services.command.failure import fail
from services.command.model_source import HELP, documents_of, is_stored
from services.command.runtime import database, run_async
from services.command.workers import Processes, number_of, progress_bar
from services.scorer.domain.what_if.backtest.drawing import draw
from services.scorer.domain.what_if.backtest.observing import HANDOVER, LOST, WON, EventMatch, Question, read_match
from services.scorer.domain.what_if.backtest.report import Report, Wish
from services.scorer.domain.what_if.backtest.variants import with_half_life
from services.scorer.leads.history import Tuning
from services.scorer.what_if.backtesting import Entry, backtest, scorer
from shared.db.migrations import check_migrated
from shared.documents.durations import HOUR_US, duration_us
from shared.errors import InvalidInput, LeadflowError
from shared.events.curve import microseconds
from shared.settings import Settings

_REPORT: Final = TypeAdapter(Report)
_HORIZON: Final = "7d"
_MOST_MODELS: Final = 12
_NEVER_US: Final = 2**62


def backtest_(  # noqa: PLR0917 - typer reads options from parameters
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help=HELP)],
    score: Annotated[
        str | None, typer.Option(help="Which score; else the only one, or the only combined one.")
    ] = None,
    half_life: Annotated[
        list[str] | None,
        typer.Option(metavar="DURATION", help="Try each model with this half-life, or none; several times."),
    ] = None,
    handover: Annotated[
        list[str] | None,
        typer.Option(metavar="EVENT", help=f"A lead is looked at at its first such event; else {named(HANDOVER)}."),
    ] = None,
    every: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Look at each open lead so often, not at its handover.")
    ] = None,
    horizon: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION", help=f"Ask for a win within this time; with --every {_HORIZON} unless given."
        ),
    ] = None,
    won: Annotated[
        list[str] | None,
        typer.Option(metavar="EVENT", help=f"TYPE or TYPE:PROPERTY=VALUE that means won; else {named(WON)}."),
    ] = None,
    lost: Annotated[
        list[str] | None, typer.Option(metavar="EVENT", help=f"The same for lost; else {named(LOST)}.")
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="No moment before it; a day, or a time with its zone."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Nothing from then on is known; else after the last event.")
    ] = None,
    imported: Annotated[
        list[str] | None,
        typer.Option(metavar="SOURCE", help="Its events were known when they happened, and only received later."),
    ] = None,
    leads_per_week: Annotated[
        float | None, typer.Option(min=0, help="Which threshold selects so many leads a week?")
    ] = None,
    share_of_wins: Annotated[
        float | None, typer.Option(min=0, max=1, help="Which threshold finds this share of the wins? 0.8, say.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw all of it: .svg, or .html.", dir_okay=False)
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    workspace: Annotated[str, typer.Option(help="Workspace.")] = "default",
    processes: Processes = None,
) -> None:
    """Models against outcomes: who was won, and what did each model say of them before?

    Each lead is scored from what was known at its moment. Every number has its 95 % interval.
    """
    try:
        if plot is not None:
            _check_plot(plot)
        for option, number in {"--leads-per-week": leads_per_week, "--share-of-wins": share_of_wins}.items():
            if number is not None and not isfinite(number):
                raise InvalidInput(f"{option} {number}: must be a number")
        question = Question(
            until_us=_NEVER_US if until is None else _moment_us(until, "--until"),
            from_us=None if from_ is None else _moment_us(from_, "--from"),
            won=_matches(won) or WON,
            lost=_matches(lost) or LOST,
            handover=_matches(handover) or HANDOVER,
            every_us=None if every is None else _interval_us(every),
            within_us=_horizon_us(horizon, every),
            imported=tuple(sorted(set(imported or ()))),
        )
        if every is not None and handover:
            raise InvalidInput("--every and --handover: a lead is looked at regularly or at its handover, not both")
        report = _run(
            models,
            half_life or (),
            score,
            question=question,
            wish=Wish(leads_per_week, share_of_wins),
            workspace=workspace,
            processes=number_of(processes),
        )
        if plot is not None:
            _write_plot(plot, report)
    except LeadflowError as error:
        fail(error)
    if json_:
        print(_REPORT.dump_json(report, indent=2).decode())
    else:
        print_report(Console(), report)


def _check_plot(file: Path) -> None:
    """Say before the work what would be said after it."""
    if file.suffix not in {".svg", ".html"}:
        raise InvalidInput(f"{file}: the name of a plot must end in .svg or .html")
    if not file.parent.is_dir():
        raise InvalidInput(f"{file}: there is no directory {file.parent}")


def _matches(texts: Sequence[str] | None) -> tuple[EventMatch, ...]:
    return tuple(map(read_match, texts or ()))


def _horizon_us(horizon: str | None, every: str | None) -> int | None:
    if horizon is None and every is None:
        return None
    return _duration_us(horizon or _HORIZON, "--horizon")


def _interval_us(every: str) -> int:
    interval = _duration_us(every, "--every")
    if interval < HOUR_US:
        raise InvalidInput(f"--every {every}: must be at least 1h")
    return interval


def _duration_us(text: str, option: str) -> int:
    try:
        return duration_us(text)
    except ValueError as error:
        raise InvalidInput(f"{option} {text}: {error}") from error


def _moment_us(text: str, option: str) -> int:
    try:
        if len(text) == len("2026-03-02"):
            return microseconds(datetime.combine(date.fromisoformat(text), time(tzinfo=UTC)))
        return microseconds(datetime.fromisoformat(text))
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"{option} {text}: must be a day, or a time with its zone") from error


def _run(
    models: Sequence[str],
    half_lives: Sequence[str],
    score: str | None,
    *,
    question: Question,
    wish: Wish,
    workspace: str,
    processes: int,
) -> Report:
    async def work() -> Report:
        documents = await documents_of(models, workspace)
        given = [Entry(_label(name), document, score) for name, document in zip(models, documents, strict=True)]
        entries = _variants(given, half_lives)
        for entry in entries:
            scorer(entry)
        async with database(Settings()) as opened:
            await check_migrated(opened)
            with progress_bar("backtest") as on_progress:
                tuning = Tuning(processes, on_progress=on_progress)
                return await backtest(opened, workspace, entries, question, wish=wish, tuning=tuning)

    return run_async(work())


def _label(name: str) -> str:
    if not is_stored(name):
        return Path(name).stem
    return f"version {name}" if name.isdecimal() else name


def _variants(entries: Sequence[Entry], half_lives: Sequence[str]) -> list[Entry]:
    """Each model with each half-life. Labels tell all of them apart."""
    found = [
        Entry(f"{entry.label} ({half_life})", with_half_life(entry.document, half_life), entry.score)
        for entry in entries
        for half_life in half_lives
    ] or list(entries)
    if len(found) > _MOST_MODELS:
        raise InvalidInput(f"{len(found)} models at once: {_MOST_MODELS} can be told apart")
    labels = [entry.label for entry in found]
    if len(set(labels)) < len(labels):
        raise InvalidInput(f"two models have one name: {', '.join(labels)}")
    return found


def _write_plot(file: Path, report: Report) -> None:
    picture = draw(report)
    if file.suffix == ".html":
        picture = (
            f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Backtest</title>\n{picture}</html>\n'
        )
    try:
        file.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{file}: {error.strerror}") from error
