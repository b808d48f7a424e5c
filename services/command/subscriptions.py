"""`leadflow subscriptions`: who is told by webhook."""

from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Column, Table

from services.command.runtime import database, run_async
from services.pipeline import subscriptions
from services.pipeline.delivery.address import AddressGuard
from services.pipeline.settings import PipelineSettings
from services.pipeline.subscription_repository import Subscription
from services.pipeline.subscriptions import Wish
from shared.clock import SystemClock
from shared.errors import InvalidInput
from shared.events.json import Json
from shared.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Outgoing webhooks: create, list, delete.")

Workspace = Annotated[str, typer.Option(help="Workspace.")]


@app.command()
def create(
    url: Annotated[str, typer.Argument(help="https URL of a public address.")],
    event_type: Annotated[
        list[str] | None, typer.Option(help="Event type, repeated; all of them when left out.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(help="Filter `data.to_stage=mql`, repeated; values of one path add up."),
    ] = None,
    description: Annotated[str, typer.Option(help="For people.")] = "",
    workspace: Workspace = "default",
) -> None:
    """Subscribe a URL; prints the signing secret, this once."""

    async def work() -> Subscription:
        settings = PipelineSettings()
        guard = AddressGuard(
            allow_private=settings.webhook_allow_private_addresses, allow_http=settings.webhook_allow_http
        )
        wish = Wish(url, event_type or (), _filter(where or []), description)
        async with database(Settings()) as opened:
            return await subscriptions.create(opened, SystemClock(), guard, workspace, wish)

    created = run_async(work())
    print(f"{created.id}\n{created.secrets[0].text}")


@app.command("list")
def list_subscriptions(workspace: Workspace = "default") -> None:
    """All subscriptions, the oldest first."""

    async def work() -> list[Subscription]:
        async with database(Settings()) as opened:
            return await subscriptions.all_of(opened, workspace)

    table = Table(Column("id", no_wrap=True, min_width=36), "url", "event types", "state", "created")
    for found in run_async(work()):
        table.add_row(
            str(found.id), found.url, ", ".join(found.event_types), found.state, f"{found.created_at:%Y-%m-%d %H:%M}"
        )
    Console().print(table)


@app.command()
def delete(
    subscription_id: Annotated[UUID, typer.Argument(help="Id of the subscription.")],
    workspace: Workspace = "default",
) -> None:
    """End a subscription and its deliveries."""

    async def work() -> None:
        async with database(Settings()) as opened:
            await subscriptions.delete(opened, workspace, subscription_id)

    run_async(work())
    print(f"{subscription_id} is no more")


def _filter(conditions: list[str]) -> dict[str, Json]:
    found: dict[str, list[Json]] = {}
    for condition in conditions:
        path, equals, value = condition.partition("=")
        if not equals:
            raise InvalidInput("a filter has the form path=value", field="where")
        found.setdefault(path, []).append(value)
    return {path: list(values) for path, values in found.items()}
