"""`leadflow explain`: why a lead has its scores, and what becomes of them, in words."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from services.command.runtime import database, run_async
from services.scorer.domain.events.text import read_moment
from services.scorer.domain.scores.words import points
from services.scorer.explaining import Advice, Explainer, Explanation, Outlook
from services.scorer.leads.records import RecordedEvent
from shared.clock import Clock, SystemClock
from shared.errors import InvalidInput
from shared.settings import Settings

_OUTLOOK = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class _Answer:
    explanation: Explanation
    outlook: Outlook | None
    advice: Advice | None
    latest: RecordedEvent | None


def explain(
    lead: Annotated[str, typer.Argument(help="Id of the lead, or an e-mail address of it.", metavar="LEAD|EMAIL")],
    at: Annotated[
        str | None, typer.Option(help="A moment past or future, 2026-03-02T10:00:00Z; default: now.")
    ] = None,
    workspace: Annotated[str, typer.Option(help="Workspace.")] = "default",
) -> None:
    """Why a lead has its scores: each reason in words; and for now what changes by itself and what would lift it."""
    answer = run_async(_answer(lead, None if at is None else read_moment(at, "--at"), workspace))
    console = Console()
    _show_standing(console, answer.explanation)
    _show_ledger(console, answer.explanation)
    if answer.latest is not None:
        _show_latest(console, answer.latest)
    if answer.outlook is not None:
        _show_outlook(console, answer.outlook)
    if answer.advice is not None:
        _show_advice(console, answer.advice)


async def _answer(name: str, at: datetime | None, workspace: str) -> _Answer:
    clock = SystemClock()
    async with database(Settings()) as opened:
        explainer = Explainer(opened, clock)
        lead = await _lead(explainer, name, workspace)
        explanation = await explainer.explain(workspace, lead, at)
        latest = await explainer.latest_event(workspace, lead) if at is None else None
        if at is not None or not explanation.standing.scores:
            return _Answer(explanation, None, None, latest)
        return await _with_future(explainer, explanation, clock, workspace, latest=latest)


async def _with_future(
    explainer: Explainer, found: Explanation, clock: Clock, workspace: str, *, latest: RecordedEvent | None
) -> _Answer:
    lead = found.subject.id
    outlook = await explainer.outlook(workspace, lead, clock.now() + _OUTLOOK, 0)
    return _Answer(found, outlook, await explainer.lift(workspace, lead, None), latest)


async def _lead(explainer: Explainer, name: str, workspace: str) -> UUID:
    if "@" in name:
        return await explainer.named(workspace, "email", name.strip().lower())
    try:
        return UUID(name)
    except ValueError as error:
        raise InvalidInput(f"{name} is neither the id of a lead nor an e-mail address", field="LEAD") from error


def _show_standing(console: Console, found: Explanation) -> None:
    subject = found.subject
    console.print(f"lead {subject.id} at {_moment(found.at)}", highlight=False)
    if subject.asked != subject.id:
        console.print(f"({subject.asked} has been merged into it)", highlight=False)
    if not found.standing.scores:
        console.print("no model has been published in this workspace")


def _show_ledger(console: Console, found: Explanation) -> None:
    for score, entries in found.ledger.items():
        band = found.standing.bands.get(score)
        title = f"{score}: {found.standing.scores[score]:g}" + (f" ({band})" if band else "")
        table = Table("points", "why", title=escape(title), title_justify="left", title_style="bold")
        table.columns[0].justify = "right"
        for entry, words in zip(entries, found.words[score], strict=True):
            table.add_row(points(entry.worth) if round(entry.worth, 2) else "0", escape(words))
        if entries:
            console.print(table)
        else:
            console.print(f"[bold]{escape(title)}[/bold]: nothing has happened that counts")
    if found.standing.grade:
        console.print(f"grade {escape(found.standing.grade)}")


def _show_latest(console: Console, latest: RecordedEvent) -> None:
    """What came last, with the trace under which logs and a tracing system have its way."""
    trace = f", trace {latest.trace_id}" if latest.trace_id else ""
    console.print(
        f"last event: {escape(latest.event.type)} at {_moment(latest.event.occurred_at)}{trace}",
        highlight=False,
        soft_wrap=True,
    )


def _show_outlook(console: Console, outlook: Outlook) -> None:
    console.print("[bold]If nothing more happens[/bold]")
    before = outlook.standing
    for at, then in outlook.changes:
        changed = [score for score, band in then.bands.items() if band != before.bands[score]]
        moved = [f"{score} becomes {then.bands[score] or 'unbanded'}" for score in changed]
        if moved:
            console.print(f"  {_moment(at)}: {escape(', '.join(moved))}", highlight=False)
        before = then
    if not outlook.changes:
        console.print("  it stays where it is")


def _show_advice(console: Console, advice: Advice) -> None:
    console.print(f"[bold]What would lift {escape(advice.score)}[/bold]")
    for lift in advice.lifts:
        goal = f"{lift.goal.kind} {lift.goal.name}"
        for way in (*lift.ways, *lift.with_facts):
            console.print(f"  to {escape(goal)}: {escape(way.words())}", highlight=False)
        if not lift.ways and not lift.with_facts:
            why = f" ({'; '.join(lift.held_back)})" if lift.held_back else ""
            console.print(f"  to {escape(goal)}: nothing in the model does{escape(why)}", highlight=False)
    if not advice.lifts:
        console.print("  it is as high as bands and thresholds go")


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
