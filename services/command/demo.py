"""`leadflow demo`: leadflow embedded in one process, two weeks of a company played into it, and a report."""

import logging
import socket
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from services.command.runtime import database, run_async
from services.command.up import BUILDS, serve
from services.demo import data_directory
from services.demo.api import SCOPES
from services.demo.installation import Installation, install, installed
from services.demo.load import load
from services.demo.play import Tally
from services.demo.show import Show
from services.pipeline import app as pipeline
from services.pipeline.settings import PipelineSettings
from shared.access.repository import KeyRepository
from shared.clock import SystemClock
from shared.errors import Misconfigured
from shared.observability.logs import configure_logs
from shared.settings import Settings

DEFAULT_SEED = 17
_DIRECTORY = Path(".leadflow/demo")
_PORTS_TRIED = 20
_COLUMNS = 100
_INTERRUPTED = 130


def demo(
    exit_: Annotated[bool, typer.Option("--exit", help="End after the report instead of serving on.")] = False,
    seed: Annotated[int | None, typer.Option(min=0, help=f"Another story; default {DEFAULT_SEED}.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what earlier runs left.")] = False,
    into: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Play into the leadflow that runs there, on the same database, and end."),
    ] = None,
) -> None:
    """Play two weeks of a believable company through the public API, embedded, and show what comes of it."""
    started_at = time.monotonic()
    if into is not None:
        tally = run_async(_load(Settings(), into, seed=DEFAULT_SEED if seed is None else seed))
        print(f"{tally.accepted} events accepted in {time.monotonic() - started_at:.0f} s, {tally.ignored} ignored")
        return
    settings = _settings()
    configure_logs(settings.log_level)
    # It warns that webhooks may go to this machine, which is what the demo wants.
    logging.getLogger(pipeline.__name__).setLevel(logging.ERROR)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _COLUMNS
    agrees = run_async(_run(settings, console, ends=exit_, seed=seed, fresh=fresh, started_at=started_at))
    if not agrees:
        raise typer.Exit(_INTERRUPTED if agrees is None else 1)


async def _load(settings: Settings, url: str, *, seed: int) -> Tally:
    """The load needs a key, which whoever has the database can make."""
    clock = SystemClock()
    async with database(settings) as opened:
        key = await KeyRepository(opened).create("default", name="demo", scopes=SCOPES, now=clock.now())
    return await load(url, key.text, seed=seed, clock=clock)


def _settings() -> Settings:
    """The environment's, but embedded whatever it says: a demo must never play into a real database."""
    stated = Settings()
    given = stated.model_fields_set
    changes: dict[str, object] = {
        "database_url": None,
        "kafka_bootstrap_servers": None,
        "data_dir": stated.data_dir if "data_dir" in given else _DIRECTORY,
        "log_level": stated.log_level if "log_level" in given else "WARNING",
    }
    return stated.model_copy(update=changes)


async def _run(
    settings: Settings, console: Console, *, ends: bool, seed: int | None, fresh: bool, started_at: float
) -> bool | None:
    """The demo from start to end; whether all sums agreed, None if it was ended before."""
    with data_directory.occupied(settings.data_dir):
        if fresh:
            await data_directory.empty(settings.data_dir)
        first_run = installed(settings.data_dir) is None
        installation = await _installation(settings, seed)
        show = Show(
            installation=installation,
            data_dir=settings.data_dir,
            first_run=first_run,
            console=console,
            clock=SystemClock(),
            started_at=started_at,
            ends=ends,
        )
        await serve(tuple(_BUILDS), _on_free_port(settings, console), show.run, builds=_BUILDS)
        return show.agrees


_BUILDS = {
    **BUILDS,
    # The demo's subscriber listens on this machine, without TLS: leadflow refuses such addresses otherwise.
    "pipeline": lambda context, keys: pipeline.build(
        context, PipelineSettings(webhook_allow_private_addresses=True, webhook_allow_http=True), keys
    ),
}


async def _installation(settings: Settings, seed: int | None) -> Installation:
    """The demo of the data directory; for a new one its operator makes a key, as `leadflow keys create` does."""
    known = installed(settings.data_dir)
    if known is None:
        now = SystemClock().now()
        async with database(settings) as opened:
            key = await KeyRepository(opened).create("default", name="demo", scopes=SCOPES, now=now)
        return install(settings.data_dir, seed=DEFAULT_SEED if seed is None else seed, now=now, api_key=key.text)
    if seed not in {None, known.seed}:
        raise Misconfigured(f"{settings.data_dir} holds the story of seed {known.seed}: add --fresh to forget it")
    return known


def _on_free_port(settings: Settings, console: Console) -> Settings:
    for port in range(settings.port, settings.port + _PORTS_TRIED):
        if _is_free(settings.host, port):
            if port != settings.port:
                console.print(f"Port {settings.port} is taken, so the demo serves on [bold]{port}[/bold].")
            return settings.model_copy(update={"port": port})
    raise Misconfigured(f"no free port from {settings.port} on: name one in LEADFLOW_PORT")


def _is_free(host: str, port: int) -> bool:
    try:
        with socket.create_server((host, port)):
            return True
    except OSError:
        return False
