"""`leadflow status`: at a glance what waits, where, and for how long; once, or again and again."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import Annotated

import typer
from pydantic_core import to_jsonable_python
from rich.console import Console
from rich.live import Live

from services.command.runtime import database_as_it_is, impatient, run_async
from services.command.status.reading import Standing, read
from services.command.status.view import table_of
from shared.clock import SystemClock
from shared.db.engine import Database
from shared.errors import LeadflowError
from shared.log.connect import open_log
from shared.log.protocol import Log
from shared.settings import Settings

_COLUMNS = 140


def status(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Look again and again, until Ctrl-C.")] = False,
    every_seconds: Annotated[float, typer.Option(min=0.5, max=3600, help="How often --watch looks.")] = 2.0,
) -> None:
    """What waits where, and for how long: consumers, outboxes, due moments, webhooks, parked, dead letters."""
    settings = impatient(Settings())
    if watch:
        with suppress(KeyboardInterrupt):
            run_async(_watch(settings, every_seconds, as_json=as_json))
        return
    standing = run_async(_once(settings))
    if as_json:
        print(json.dumps(to_jsonable_python(standing), indent=2))
    else:
        _console().print(table_of(standing))
    if any(part.trouble for part in standing.parts()):
        raise SystemExit(1)


async def _once(settings: Settings) -> Standing:
    async with database_as_it_is(settings) as database, _log(settings, database) as log:
        return await read(database, log, SystemClock())


async def _watch(settings: Settings, every_seconds: float, *, as_json: bool) -> None:
    """With `as_json` a line for each look; on a terminal one picture that changes, elsewhere one after the other."""
    console = _console()
    changes = console.is_terminal and not as_json
    with ExitStack() as stack:
        live = stack.enter_context(Live(console=console, auto_refresh=False, screen=True)) if changes else None
        async with database_as_it_is(settings, only_running=True) as database:
            while True:
                # Connected anew at each look: the log may have come, gone or come back meanwhile.
                async with _log(settings, database) as log:
                    standing = await read(database, log, SystemClock())
                if as_json:
                    print(json.dumps(to_jsonable_python(standing)), flush=True)
                elif live is None:
                    console.print(table_of(standing))
                else:
                    live.update(table_of(standing), refresh=True)
                await asyncio.sleep(every_seconds)


@asynccontextmanager
async def _log(settings: Settings, database: Database) -> AsyncIterator[Log | LeadflowError]:
    """The log, or why there is none: the rest can be looked at all the same."""
    log = open_log(settings, database)
    try:
        await log.start()
    except LeadflowError as error:
        yield error
        return
    try:
        yield log
    finally:
        await log.stop()


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _COLUMNS
    return console
