"""`leadflow subscriptions`: who is told by webhook."""

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from services.command.runtime import database, run_async
from services.pipeline.delivery.address import ADDRESS_REFUSED, AddressGuard
from services.pipeline.delivery.schedule import outcome_of
from services.pipeline.delivery.sender import Sender
from services.pipeline.settings import PipelineSettings
from services.pipeline.subscriptions import managing
from services.pipeline.subscriptions.managing import PartialWish, Tested, Wish
from services.pipeline.subscriptions.repository import AttemptView, Subscription
from shared.clock import SystemClock
from shared.errors import InvalidInput
from shared.events.json import Json
from shared.http.inputs import value_of
from shared.settings import Settings

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Outgoing webhooks: who is told, and what became of it."
)

_MOMENTS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]
_ONLY_PUBLIC = (
    "Nothing was sent: the URL leads to an address that is not public, or uses another port or no https. "
    "For receivers of your own network set LEADFLOW_PIPELINE_WEBHOOK_ALLOW_PRIVATE_ADDRESSES=true, and for http "
    "LEADFLOW_PIPELINE_WEBHOOK_ALLOW_HTTP=true, here and where leadflow runs."
)
Workspace = Annotated[str, typer.Option(help="Workspace.")]
SubscriptionId = Annotated[UUID, typer.Argument(help="Id of the subscription.")]


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
        wish = Wish(url, event_type or (), _filter(where or []), description)
        async with database(Settings()) as opened:
            most = PipelineSettings().most_subscriptions
            return await managing.create(opened, SystemClock(), _guard(), workspace, wish, most=most)

    created = run_async(work())
    print(f"{created.id}\n{created.secrets[0].text}")


@app.command()
def change(  # noqa: PLR0917 - typer reads options from parameters
    subscription_id: SubscriptionId,
    url: Annotated[str | None, typer.Option(help="Another https URL.")] = None,
    event_type: Annotated[list[str] | None, typer.Option(help="Event types instead, repeated.")] = None,
    all_types: Annotated[bool, typer.Option("--all-types", help="All event types instead.")] = False,
    where: Annotated[list[str] | None, typer.Option(help="Filter instead, `data.to_stage=mql`, repeated.")] = None,
    no_filter: Annotated[bool, typer.Option("--no-filter", help="Let everything through instead.")] = False,
    description: Annotated[str | None, typer.Option(help="For people.")] = None,
    workspace: Workspace = "default",
) -> None:
    """Change what is told, or where."""
    wish = PartialWish(
        url=url,
        event_types=[] if all_types else event_type or None,
        filter={} if no_filter else _filter(where) if where else None,
        description=description,
    )

    async def work() -> Subscription:
        async with database(Settings()) as opened:
            return await managing.change(opened, _guard(), workspace, subscription_id, wish)

    _print(run_async(work()))


@app.command()
def show(subscription_id: SubscriptionId, workspace: Workspace = "default") -> None:
    """One subscription, and how its receiver does."""

    async def work() -> Subscription:
        async with database(Settings()) as opened:
            return await managing.get(opened, workspace, subscription_id)

    _print(run_async(work()))


@app.command()
def enable(subscription_id: SubscriptionId, workspace: Workspace = "default") -> None:
    """Send again; what was told meanwhile can be replayed."""

    async def work() -> Subscription:
        async with database(Settings()) as opened:
            return await managing.enable(opened, workspace, subscription_id)

    _print(run_async(work()))


@app.command()
def disable(subscription_id: SubscriptionId, workspace: Workspace = "default") -> None:
    """Send nothing until it is enabled again."""

    async def work() -> Subscription:
        async with database(Settings()) as opened:
            return await managing.disable(opened, SystemClock(), workspace, subscription_id)

    _print(run_async(work()))


@app.command()
def rotate(
    subscription_id: SubscriptionId,
    keep_old_hours: Annotated[int, typer.Option(min=0, max=720, help="How long the old one signs too.")] = 24,
    workspace: Workspace = "default",
) -> None:
    """Exchange the signing secret; prints the new one, this once."""

    async def work() -> Subscription:
        async with database(Settings()) as opened:
            return await managing.rotate_secret(
                opened, SystemClock(), workspace, subscription_id, keep_old=timedelta(hours=keep_old_hours)
            )

    print(run_async(work()).secrets[0].text)


@app.command("test")
def send_test(subscription_id: SubscriptionId, workspace: Workspace = "default") -> None:
    """Send a signed test message now; exit code 1 when the receiver does not take it."""

    async def work() -> Tested:
        sender = Sender(_guard(), timeout_seconds=PipelineSettings().webhook_timeout_seconds, connections=1)
        async with database(Settings()) as opened:
            try:
                return await managing.send_test(opened, SystemClock(), sender, workspace, subscription_id)
            finally:
                await sender.close()

    tested = run_async(work())
    answer = tested.answer
    print(f"{tested.message_id}: {answer.status or answer.error} after {answer.duration_seconds:.3f} s")
    if answer.excerpt:
        print(answer.excerpt)
    if answer.error == ADDRESS_REFUSED:
        print(_ONLY_PUBLIC)
    if outcome_of(answer.status) != "delivered":
        raise SystemExit(1)


@app.command()
def attempts(
    subscription_id: SubscriptionId,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 20,
    workspace: Workspace = "default",
) -> None:
    """The last attempts, the newest first."""

    async def work() -> list[AttemptView]:
        async with database(Settings()) as opened:
            return await managing.attempts_of(opened, workspace, subscription_id, before=None, limit=limit)

    table = Table(Column("at", no_wrap=True), "message", "type", "no.", "answer", "seconds", "what it said")
    for one in run_async(work()):
        table.add_row(
            f"{one.at:%Y-%m-%d %H:%M:%S}",
            one.message_id,
            one.type,
            str(one.number),
            str(one.status or one.error),
            f"{one.duration_seconds:.3f}",
            escape(one.response or ""),
        )
    Console().print(table)


@app.command()
def replay(
    subscription_id: SubscriptionId,
    since: Annotated[datetime | None, typer.Option(formats=_MOMENTS, help="Told then or later, UTC.")] = None,
    until: Annotated[datetime | None, typer.Option(formats=_MOMENTS, help="Told before, UTC; default: now.")] = None,
    message: Annotated[list[str] | None, typer.Option(help="This message, by its id; repeated.")] = None,
    workspace: Workspace = "default",
) -> None:
    """Send again what was told, with the same ids and bytes: since a moment, or messages by their ids."""
    if (since is None) == (not message):
        raise InvalidInput("give --since, or --message, and not both", field="since")

    async def work() -> int:
        clock = SystemClock()
        async with database(Settings()) as opened:
            if since is None:
                done = await managing.replay_messages(
                    opened, clock, workspace, subscription_id, message_ids=message or []
                )
                return done.queued
            end = until.replace(tzinfo=UTC) if until else None
            done = await managing.replay_since(
                opened, clock, workspace, subscription_id, since=since.replace(tzinfo=UTC), until=end
            )
            queued = done.queued
            while done.next is not None:
                done = await managing.replay_on(opened, clock, workspace, subscription_id, place=done.next)
                queued += done.queued
            return queued

    print(f"{run_async(work())} messages are on their way again")


@app.command("list")
def list_subscriptions(workspace: Workspace = "default") -> None:
    """All subscriptions, the oldest first."""

    async def work() -> list[Subscription]:
        async with database(Settings()) as opened:
            return await managing.all_of(opened, workspace)

    table = Table(Column("id", no_wrap=True, min_width=36), "url", "event types", "state", "created")
    for found in run_async(work()):
        table.add_row(
            str(found.id),
            escape(found.url),
            ", ".join(found.event_types) or "all",
            _state(found),
            f"{found.created_at:%Y-%m-%d %H:%M}",
        )
    Console().print(table)


@app.command()
def delete(
    subscription_id: SubscriptionId,
    workspace: Workspace = "default",
) -> None:
    """End a subscription and its deliveries."""

    async def work() -> None:
        async with database(Settings()) as opened:
            await managing.delete(opened, SystemClock(), workspace, subscription_id)

    run_async(work())
    print(f"{subscription_id} is no more")


def _guard() -> AddressGuard:
    settings = PipelineSettings()
    return AddressGuard(
        allow_private=settings.webhook_allow_private_addresses, allow_http=settings.webhook_allow_http
    )


def _print(found: Subscription) -> None:
    print(f"{found.id} {found.url}\n{_state(found)}")


def _state(found: Subscription) -> str:
    if found.state == "disabled":
        return f"disabled at {found.disabled_at:%Y-%m-%d %H:%M}: {found.disabled_reason}"
    if found.failing is None:
        return "enabled"
    return f"enabled; {found.failing.failures} failures since {found.failing.since:%Y-%m-%d %H:%M}"


def _filter(conditions: list[str]) -> dict[str, Json]:
    found: dict[str, list[Json]] = {}
    for condition in conditions:
        path, equals, value = condition.partition("=")
        if not equals:
            raise InvalidInput("a filter has the form path=value", field="where")
        found.setdefault(path, []).append(value_of(value))
    return {path: list(values) for path, values in found.items()}
