"""`leadflow parked`: what became no event, and trying it again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import typer
from rich.console import Console

from services.command.runtime import database, run_async
from services.command.whole_table import print_whole, whole_table
from services.ingest.app import ingest_of, replay_of
from services.ingest.parked.replay import Replay
from services.ingest.parked.repository import Attempt, ParkedElement, ParkedFilter, ParkedRepository, State
from services.ingest.settings import IngestSettings
from shared.clock import SystemClock
from shared.errors import InvalidInput
from shared.events.topics import ALL_TOPICS
from shared.log.connect import open_log
from shared.service import Context
from shared.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help="What became no event: list, show, replay.")

Workspace = Annotated[str, typer.Option(help="Workspace.")]
OfSource = Annotated[str | None, typer.Option("--source", help="Of this source only.")]
WithCode = Annotated[str | None, typer.Option("--code", help="For this reason only, such as unknown_type.")]
_STATES: tuple[State, ...] = ("parked", "replayed", "resolved", "discarded")


@app.command("list")
def list_parked(
    source: OfSource = None,
    code: WithCode = None,
    state: Annotated[str, typer.Option(help="parked, replayed, resolved, discarded or all.")] = "parked",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, the newest.")] = 50,
    workspace: Workspace = "default",
) -> None:
    """Elements that became no event, the newest first."""
    which = ParkedFilter(source, code, _state(state))

    async def work() -> list[ParkedElement]:
        async with database(Settings()) as opened:
            return await ParkedRepository(opened).page(workspace, which, limit=limit)

    table = whole_table()
    for column in ("id", "received", "source", "reason", "state"):
        table.add_column(column, no_wrap=True)
    for one in run_async(work()):
        received = f"{one.origin.received_at:%Y-%m-%d %H:%M}"
        table.add_row(one.id, received, one.origin.source, one.reason.code, one.state)
    print_whole(Console(), table)


@app.command()
def show(
    element_id: Annotated[str, typer.Argument(help="The id that `list` shows.")], workspace: Workspace = "default"
) -> None:
    """One element: what kept it from being an event, and its bytes."""

    async def work() -> ParkedElement:
        async with database(Settings()) as opened:
            return await ParkedRepository(opened).find(workspace, element_id)

    one = run_async(work())
    print(f"{one.id}: {one.state}, {one.attempts} tries; {one.disposition} ({one.origin.form})")
    print(f"from {one.origin.source} ({one.origin.kind}) at {one.origin.received_at:%Y-%m-%d %H:%M:%S} UTC")
    print(f"{one.reason.code}{f' at {one.reason.field}' if one.reason.field else ''}: {one.reason.message}")
    for name, value in one.origin.headers.items():
        print(f"{name}: {value}")
    if not one.is_whole:
        print(f"the first {len(one.body)} of {one.size_bytes} bytes:")
    print()
    print(one.body.decode("utf-8", "backslashreplace"))


@app.command()
def replay(
    ids: Annotated[list[str] | None, typer.Argument(help="These elements; none: all that wait and match.")] = None,
    source: OfSource = None,
    code: WithCode = None,
    workspace: Workspace = "default",
) -> None:
    """Try elements again, as their sources are now. Trying twice counts once."""
    if ids and (source or code):
        raise InvalidInput("give ids, or a filter, not both", field="ids")

    async def work() -> list[Attempt]:
        async with _replay() as again:
            if ids:
                return list((await again.by_ids(workspace, ids)).attempts)
            return await _all(again, workspace, ParkedFilter(source, code))

    attempts = run_async(work())
    still = [attempt for attempt in attempts if attempt.reason]
    print(f"{len(attempts) - len(still)} replayed, {len(still)} still parked")
    for attempt in still[:20]:
        print(f"{attempt.id}: {attempt.reason.message if attempt.reason else ''}")


@asynccontextmanager
async def _replay() -> AsyncIterator[Replay]:
    """A replay on the running installation's database and log."""
    settings, tuned = Settings(), IngestSettings()
    async with database(settings) as opened:
        log = open_log(settings, opened)
        await log.start()
        try:
            await log.ensure_topics(ALL_TOPICS)
            context = Context(settings=settings, database=opened, log=log, clock=SystemClock())
            yield replay_of(context, tuned, ingest_of(context, tuned))
        finally:
            await log.stop()


async def _all(again: Replay, workspace: str, which: ParkedFilter) -> list[Attempt]:
    done = await again.by_filter(workspace, which)
    attempts = list(done.attempts)
    while done.next_place is not None:
        done = await again.by_filter(workspace, which, before=done.next_place)
        attempts.extend(done.attempts)
    return attempts


def _state(text: str) -> State | None:
    if text == "all":
        return None
    for state in _STATES:
        if text == state:
            return state
    raise InvalidInput(f"must be {', '.join(_STATES)} or all", field="state")
