"""`leadflow keys`: who may call leadflow."""

from datetime import datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.command.runtime import database, run_async
from shared.access import KeyRepository, NewKey, Scope
from shared.access.repository import StoredKey
from shared.clock import SystemClock
from shared.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help="API keys: create, list, revoke.")

Workspace = Annotated[str, typer.Option(help="Workspace; created with its first key.")]


@app.command()
def create(
    name: Annotated[str, typer.Option(help="What it is for, to tell keys apart.")] = "unnamed",
    scope: Annotated[list[Scope] | None, typer.Option(help="What it may do; several times.")] = None,
    workspace: Workspace = "default",
    expires_in_days: Annotated[int | None, typer.Option(min=1, max=36500, help="Default: never.")] = None,
) -> None:
    """Create a key. It is printed once, alone on stdout, and cannot be shown again."""

    async def work() -> NewKey:
        now = SystemClock().now()
        expires_at = now + timedelta(days=expires_in_days) if expires_in_days else None
        settings = Settings()
        async with database(settings) as opened:
            return await KeyRepository(opened).create(
                workspace,
                name=name,
                scopes=scope or [Scope.EVENTS_WRITE],
                now=now,
                expires_at=expires_at,
                most=settings.most_keys,
            )

    key = run_async(work())
    Console(stderr=True).print(f"key {key.key_id} of workspace {workspace}; it works within 2 s:")
    print(key.text)


@app.command("list")
def list_keys(workspace: Workspace = "default") -> None:
    """All keys of a workspace, without their secrets."""

    async def work() -> list[StoredKey]:
        async with database(Settings()) as opened:
            return list(await KeyRepository(opened).of_workspace(workspace))

    now = SystemClock().now()
    table = Table("key", "name", "scopes", "state", "created", "expires")
    for key in run_async(work()):
        scopes = ", ".join(sorted(key.scopes))
        table.add_row(key.key_id, key.name, scopes, _state(key, now), _day(key.created_at), _day(key.expires_at))
    Console().print(table)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id: the sixteen digits after `lf_live_`.")],
    workspace: Workspace = "default",
) -> None:
    """End a key for good; every process refuses it within 2 s."""

    async def work() -> None:
        async with database(Settings()) as opened:
            await KeyRepository(opened).revoke(key_id, workspace=workspace, now=SystemClock().now())

    run_async(work())
    print(f"{key_id} is revoked")


def _state(key: StoredKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "good" if key.is_good(now) else "expired"


def _day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d}" if moment else "never"
