"""`leadflow pipelines`: the pipeline as a file, reviewed and published like code."""

import getpass
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.command.failure import fail
from services.command.runtime import database, run_async
from services.pipeline import documents
from services.pipeline.document_repository import PublishedDocument
from services.pipeline.domain.document import parse_pipeline
from shared.clock import SystemClock
from shared.documents.yaml_text import read_yaml
from shared.errors import InvalidInput, LeadflowError
from shared.events.json import Json
from shared.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Pipelines: validate, publish, list, show.")

File = Annotated[Path, typer.Argument(help="Pipeline document, YAML or JSON.", exists=True, dir_okay=False)]
Workspace = Annotated[str, typer.Option(help="Workspace.")]


@app.command()
def validate(file: File) -> None:
    """Check a pipeline document; every fault is listed with its path."""
    try:
        pipeline = parse_pipeline(_document(file))
    except LeadflowError as error:
        fail(error)
    print(f"{file}: {pipeline.name} is valid")


@app.command()
def publish(file: File, workspace: Workspace = "default") -> None:
    """Publish a pipeline document as the next version; it counts from now on."""

    async def work() -> PublishedDocument:
        async with database(Settings()) as opened:
            return await documents.publish(opened, SystemClock(), workspace, _document(file), by=getpass.getuser(), reason="x")

    published = run_async(work())
    print(f"{published.name} is version {published.version} of the pipeline of {workspace}")


@app.command("list")
def list_pipelines(workspace: Workspace = "default") -> None:
    """All published versions, the newest first."""

    async def work() -> list[PublishedDocument]:
        async with database(Settings()) as opened:
            return await documents.versions(opened, workspace)

    table = Table("version", "name", "active", "published", "by")
    for found in run_async(work()):
        mark = "yes" if found.active else ""
        table.add_row(
            str(found.version), found.name, mark, f"{found.published_at:%Y-%m-%d %H:%M}", found.published_by
        )
    Console().print(table)


@app.command()
def show(
    version: Annotated[int | None, typer.Argument(help="Version; the active one when left out.")] = None,
    workspace: Workspace = "default",
) -> None:
    """The document of a version, as JSON."""

    async def work() -> PublishedDocument:
        async with database(Settings()) as opened:
            return await documents.version_of(opened, workspace, version)

    Console(file=sys.stdout).print_json(data=run_async(work()).document)


def _document(file: Path) -> Json:
    try:
        return read_yaml(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{file} is not UTF-8 text") from error
