"""`leadflow sources`: which platforms may send webhooks."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.command.runtime import database, run_async
from services.ingest.kinds.kind import Source
from services.ingest.kinds.registry import KINDS
from services.ingest.settings import IngestSettings
from services.ingest.sources.checking import SourceChange, SourceRequest, changed_source, new_source, with_new_secret
from services.ingest.sources.file import applied, parse_source_file
from services.ingest.sources.repository import SourceRepository
from shared.clock import SystemClock
from shared.documents.yaml_text import read_yaml
from shared.errors import InvalidInput
from shared.settings import Settings

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Webhook sources: create, apply a file, change, rotate, list."
)

SecretFile = Annotated[
    Path | None,
    typer.Option(help="File with the secret; without it, it is asked for.", exists=True, dir_okay=False),
]
Workspace = Annotated[str, typer.Option(help="Workspace.")]


@app.command()
def create(  # noqa: PLR0917 - typer reads options from parameters
    source_id: Annotated[str, typer.Argument(help="Part of its URL: /v1/webhooks/ID.")],
    kind: Annotated[str, typer.Option(help=f"One of {', '.join(KINDS)}.")],
    secret_file: SecretFile = None,
    public_url: Annotated[str | None, typer.Option(help="The URL that the platform calls; HubSpot signs it.")] = None,
    event_name: Annotated[
        list[str] | None, typer.Option(help="'NAME OF THE PLATFORM=engagement_type'; several times.")
    ] = None,
    time_zone: Annotated[str, typer.Option(help="IANA zone of times that name none.")] = "UTC",
    tolerance_seconds: Annotated[
        int | None, typer.Option(help="Oldest time stamp that is taken; for Mailgun only.")
    ] = None,
    workspace: Workspace = "default",
) -> None:
    """Create a webhook source. The secret is not an option, because others can read a command line."""
    secret = _secret(secret_file)

    async def work() -> Source:
        request = SourceRequest(
            id=source_id,
            kind=kind,
            secrets=[secret],
            public_url=public_url,
            event_names=_event_names(event_name or []),
            time_zone=time_zone,
            tolerance_seconds=tolerance_seconds,
        )
        now = SystemClock().now()
        source = new_source(request, workspace=workspace, now=now)
        async with database(Settings()) as opened:
            await SourceRepository(opened).create(source, now=now, most=IngestSettings().most_sources)
        return source

    source = run_async(work())
    print(f"{source.kind} sends to /v1/webhooks/{source.id}")


@app.command()
def change(
    source_id: Annotated[str, typer.Argument(help="The source.")],
    public_url: Annotated[str | None, typer.Option(help="The URL that the platform calls.")] = None,
    event_name: Annotated[
        list[str] | None,
        typer.Option(help="'NAME OF THE PLATFORM=engagement_type' to add; 'NAME=' takes one away; several times."),
    ] = None,
    time_zone: Annotated[str | None, typer.Option(help="IANA zone of times that name none.")] = None,
    workspace: Workspace = "default",
) -> None:
    """Change what a source's names mean; `leadflow parked replay` then tries again what was parked."""
    names = {name: event_type or None for name, event_type in _event_names(event_name or []).items()}
    wanted = SourceChange(names, public_url, time_zone)

    async def work() -> Source:
        async with database(Settings()) as opened:
            return await SourceRepository(opened).change_meaning(
                source_id, workspace, lambda source: changed_source(source, wanted)
            )

    source = run_async(work())
    print(f"{source.id} knows {len(source.event_names)} names within 2 s")


@app.command()
def rotate(
    source_id: Annotated[str, typer.Argument(help="The source.")],
    secret_file: SecretFile = None,
    keep_old_hours: Annotated[int, typer.Option(min=0, max=720, help="How long the old one is still taken.")] = 24,
    workspace: Workspace = "default",
) -> None:
    """Exchange the secret of a source; both are taken until the old one ends."""
    secret = _secret(secret_file)

    async def work() -> Source:
        now, keep_old = SystemClock().now(), timedelta(hours=keep_old_hours)
        async with database(Settings()) as opened:
            return await SourceRepository(opened).change_secrets(
                source_id, workspace, lambda source: with_new_secret(source, secret, now=now, keep_old=keep_old)
            )

    run_async(work())
    print(f"{source_id} takes the new secret within 2 s, and the old one for {keep_old_hours} h")


@app.command()
def apply(
    file: Annotated[
        Path,
        typer.Argument(help="YAML: a list `sources`; files of secrets lie beside it.", exists=True, dir_okay=False),
    ],
    workspace: Workspace = "default",
) -> None:
    """Create or change sources as a file describes them. Applying it again changes nothing."""

    def read_secret(name: str) -> str:
        try:
            return (file.parent / name).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{name} cannot be read: {type(error).__name__}") from error

    async def work() -> list[str]:
        requests = parse_source_file(read_yaml(file.read_text("utf-8")), read_secret)
        async with database(Settings()) as opened:
            return [await _apply(SourceRepository(opened), request, workspace) for request in requests]

    for line in run_async(work()):
        print(line)


@app.command("list")
def list_sources(workspace: Workspace = "default") -> None:
    """The webhook sources of a workspace, without their secrets."""

    async def work() -> list[Source]:
        async with database(Settings()) as opened:
            return list(await SourceRepository(opened).of_workspace(workspace))

    table = Table("source", "kind", "path", "secrets", "names mapped", "public URL")
    for one in run_async(work()):
        row = (str(len(one.secrets)), str(len(one.event_names)), one.public_url or "")
        table.add_row(one.id, one.kind, f"/v1/webhooks/{one.id}", *row)
    Console().print(table)


async def _apply(sources: SourceRepository, request: SourceRequest, workspace: str) -> str:
    now = SystemClock().now()
    known = {source.id: source for source in await sources.of_workspace(workspace)}.get(request.id)
    wanted = applied(request, known, workspace=workspace, now=now)
    if known is None:
        await sources.create(wanted, now=now, most=IngestSettings().most_sources)
        return f"{wanted.id} is new: /v1/webhooks/{wanted.id}"
    if wanted == known:
        return f"{wanted.id} is as it was"
    await sources.replace(wanted)
    return f"{wanted.id} has changed"


def _secret(file: Path | None) -> str:
    secret: str = file.read_text("utf-8") if file else typer.prompt("Secret", hide_input=True)
    return secret.strip()


def _event_names(pairs: list[str]) -> dict[str, str]:
    names: dict[str, str] = {}
    for pair in pairs:
        name, equals, event_type = pair.rpartition("=")
        if not equals:
            raise InvalidInput(f"{pair}: must be NAME=engagement_type", field="event_names")
        names[name] = event_type
    return names
