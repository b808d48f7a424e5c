"""`leadflow models drafts`: models that somebody works on, valid or not, until they are published."""

import getpass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from services.command.model_source import read_document
from services.command.runtime import database, run_async
from services.scorer.domain.models.document import parse_model
from services.scorer.models import repository as model_repository
from services.scorer.models import versions
from services.scorer.models.repository import Draft, PublishedModel
from services.scorer.settings import ScorerSettings
from shared.clock import SystemClock
from shared.documents.reading import NAME
from shared.documents.yaml_text import write_yaml
from shared.errors import Fault, InvalidDocument, InvalidInput
from shared.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Drafts of models: save, list, show, publish.")

Name = Annotated[str, typer.Argument(help="Name of the draft.")]
File = Annotated[Path, typer.Argument(help="Model document, YAML or JSON.", exists=True, dir_okay=False)]
Workspace = Annotated[str, typer.Option(help="Workspace.")]


@app.command()
def save(name: Name, file: File, workspace: Workspace = "default") -> None:
    """Keep a document under a name, valid or not; what is wrong with it is listed."""

    async def work() -> Draft:
        document = read_document(file)
        if not isinstance(document, dict):
            raise InvalidInput(f"{file} holds no mapping")
        if not NAME.fullmatch(name):
            raise InvalidInput(f"{name} is no name: up to 64 letters, digits, `_`, `-`, `.`, the first no sign")
        async with database(Settings()) as opened:
            most = ScorerSettings().most_drafts
            return await versions.save_draft(
                opened, SystemClock(), workspace, name, document, by=getpass.getuser(), most=most
            )

    faults = _faults(run_async(work()))
    for fault in faults:
        print(f"{fault.path}: {fault.message}")
    print(f"draft {name} is kept; it is {'not ' if faults else ''}valid")


@app.command("list")
def list_drafts(workspace: Workspace = "default") -> None:
    """All drafts."""

    async def work() -> list[Draft]:
        async with database(Settings()) as opened, opened.transaction(workspace) as connection:
            return await model_repository.drafts_of(connection, workspace)

    table = Table("name", "valid", "changed", "by")
    for draft in run_async(work()):
        valid = "no" if _faults(draft) else "yes"
        table.add_row(draft.name, valid, f"{draft.changed_at:%Y-%m-%d %H:%M}", draft.changed_by)
    Console().print(table)


@app.command()
def show(name: Name, workspace: Workspace = "default") -> None:
    """The document of a draft, as YAML."""

    async def work() -> Draft:
        async with database(Settings()) as opened:
            return await versions.draft(opened, workspace, name)

    print(write_yaml(run_async(work()).document), end="")


@app.command()
def publish(
    name: Name,
    reason: Annotated[str, typer.Option(help="Why, for the history.")],
    workspace: Workspace = "default",
    activate: Annotated[bool, typer.Option(help="Let it count at once.")] = True,
) -> None:
    """Publish a draft as the next version; then there is no such draft any more."""

    async def work() -> PublishedModel:
        async with database(Settings()) as opened:
            return await versions.publish_draft(
                opened,
                SystemClock(),
                workspace,
                name,
                by=getpass.getuser(),
                reason=reason,
                activate=activate,
                most=ScorerSettings().most_model_versions,
            )

    published = run_async(work())
    print(f"{published.name} is version {published.version} of the model of {workspace}")


@app.command()
def delete(name: Name, workspace: Workspace = "default") -> None:
    """Throw a draft away."""

    async def work() -> None:
        async with database(Settings()) as opened:
            await versions.delete_draft(opened, workspace, name)

    run_async(work())
    print(f"draft {name} is no more")


def _faults(draft: Draft) -> tuple[Fault, ...]:
    try:
        parse_model(draft.document)
    except InvalidDocument as error:
        return error.faults
    return ()
