"""`leadflow models`: the scoring model as a file, reviewed and published like code."""

import getpass
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.command.backtest import backtest_
from services.command.failure import fail
from services.command.runtime import database, run_async
from services.scorer import model_repository, models
from services.scorer.domain.document import parse_model
from services.scorer.model_repository import PublishedModel
from shared.clock import SystemClock
from shared.documents.yaml_text import read_yaml
from shared.errors import InvalidInput, LeadflowError
from shared.events.json import Json
from shared.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Scoring models: validate, publish, list, show.")

app.command("backtest")(backtest_)

File = Annotated[Path, typer.Argument(help="Model document, YAML or JSON.", exists=True, dir_okay=False)]
Workspace = Annotated[str, typer.Option(help="Workspace.")]


@app.command()
def validate(file: File) -> None:
    """Check a model document; every fault is listed with its path."""
    try:
        model = parse_model(_document(file))
    except LeadflowError as error:
        fail(error)
    print(f"{file}: {model.name} is valid")


@app.command()
def publish(
    file: File,
    reason: Annotated[str, typer.Option(help="Why, for the history.")] = "published from a file",
    workspace: Workspace = "default",
    activate: Annotated[bool, typer.Option(help="Let it count at once.")] = True,
) -> None:
    """Publish a model document as the next version."""

    async def work() -> PublishedModel:
        async with database(Settings()) as opened:
            return await models.publish(
                opened,
                SystemClock(),
                workspace,
                _document(file),
                by=getpass.getuser(),
                reason=reason,
                activate=activate,
            )

    published = run_async(work())
    print(f"{published.name} is version {published.version} of the model of {workspace}")


@app.command("list")
def list_models(workspace: Workspace = "default") -> None:
    """All published versions, the newest first."""

    async def work() -> tuple[list[PublishedModel], int | None]:
        async with database(Settings()) as opened, opened.transaction() as connection:
            active = await model_repository.active_versions(connection, [workspace])
            return await model_repository.models_of(connection, workspace), active.get(workspace)

    found, active = run_async(work())
    table = Table("version", "name", "active", "published", "by", "reason")
    for model in found:
        mark = "yes" if model.version == active else ""
        at = f"{model.published_at:%Y-%m-%d %H:%M}"
        table.add_row(str(model.version), model.name, mark, at, model.published_by, model.reason)
    Console().print(table)


@app.command()
def show(
    version: Annotated[int, typer.Argument(help="Version.")],
    workspace: Workspace = "default",
) -> None:
    """The document of a version, as JSON."""

    async def work() -> PublishedModel | None:
        async with database(Settings()) as opened, opened.transaction() as connection:
            return await model_repository.model_of(connection, workspace, version)

    model = run_async(work())
    if model is None:
        fail(InvalidInput(f"{workspace} has no version {version} of the model"))
    Console(file=sys.stdout).print_json(data=model.document)


def _document(file: Path) -> Json:
    try:
        return read_yaml(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{file} is not UTF-8 text") from error
