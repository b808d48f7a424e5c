"""`leadflow models`: the scoring model as a file, reviewed, published, compared and taken back like code."""

import getpass
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic_core import to_json
from rich.console import Console
from rich.table import Table

from services.command import drafts
from services.command.backtest import backtest_
from services.command.failure import fail
from services.command.model_source import ACTIVE, HELP, documents_of, read_document, version_of
from services.command.model_tests import default_golden, model_tests, run_tests
from services.command.runtime import database, run_async
from services.command.shadow import shadow, shadow_report
from services.command.simulate import simulate_
from services.scorer.domain.models.diff import differences
from services.scorer.domain.models.document import parse_model
from services.scorer.domain.models.schema import model_schema
from services.scorer.models import repository as model_repository
from services.scorer.models import versions
from services.scorer.models.repository import Activation, Choice, PublishedModel
from services.scorer.settings import ScorerSettings
from shared.clock import SystemClock
from shared.documents.yaml_text import write_yaml
from shared.errors import InvalidInput, LeadflowError
from shared.events.json import Json
from shared.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Scoring models: validate, test, compare, publish, choose, shadow, backtest.",
)
app.add_typer(drafts.app, name="drafts")
app.command("backtest")(backtest_)
app.command("simulate")(simulate_)
app.command("test")(model_tests)
app.command("shadow")(shadow)
app.command("shadow-report")(shadow_report)

File = Annotated[Path, typer.Argument(help="Model document, YAML or JSON.", exists=True, dir_okay=False)]
Workspace = Annotated[str, typer.Option(help="Workspace.")]
Reason = Annotated[str, typer.Option(help="Why, for the history.")]
_MOST_LISTED = 100


@app.command()
def validate(file: File) -> None:
    """Check a model document; every fault is listed with its path."""
    try:
        model = parse_model(read_document(file))
    except LeadflowError as error:
        fail(error)
    print(f"{file}: {model.name} is valid")


@app.command()
def publish(
    file: File,
    reason: Reason = "published from a file",
    workspace: Workspace = "default",
    activate: Annotated[bool, typer.Option(help="Let it count at once.")] = True,
    require_tests: Annotated[
        bool, typer.Option("--require-tests", help="Only if the golden histories beside it pass.")
    ] = False,
) -> None:
    """Publish a model document as the next version."""
    document = _read(file)
    if require_tests and not run_tests(file, [default_golden(file)]):
        fail(InvalidInput(f"{file} was not published: its golden histories fail"))

    async def work() -> PublishedModel:
        async with database(Settings()) as opened:
            return await versions.publish(
                opened,
                SystemClock(),
                workspace,
                document,
                by=getpass.getuser(),
                reason=reason,
                activate=activate,
                most=ScorerSettings().most_model_versions,
            )

    published = run_async(work())
    print(f"{published.name} is version {published.version} of the model of {workspace}")


@app.command()
def activate(
    version: Annotated[int, typer.Argument(min=1, max=2**31 - 1, help="Version.")],
    reason: Reason,
    workspace: Workspace = "default",
) -> None:
    """Let a published version count from now on; what was in the shadow is promoted by this."""

    async def work() -> None:
        async with database(Settings()) as opened:
            await versions.activate(opened, SystemClock(), workspace, version, by=getpass.getuser(), reason=reason)

    run_async(work())
    print(f"version {version} counts in {workspace}")


@app.command()
def rollback(
    reason: Reason,
    from_version: Annotated[
        int | None, typer.Option(min=1, max=2**31 - 1, help="Only if this version is the active one.")
    ] = None,
    workspace: Workspace = "default",
) -> None:
    """Let the version count again that did before the active one."""

    async def work() -> int:
        async with database(Settings()) as opened:
            return await versions.rollback(
                opened, SystemClock(), workspace, by=getpass.getuser(), reason=reason, version=from_version
            )

    print(f"version {run_async(work())} counts in {workspace} again")


@app.command("list")
def list_models(workspace: Workspace = "default") -> None:
    """All published versions, the newest first."""

    async def work() -> tuple[list[PublishedModel], Choice]:
        async with database(Settings()) as opened, opened.transaction(workspace) as connection:
            choice = (await model_repository.choices(connection, [workspace]))[workspace]
            return await model_repository.models_of(connection, workspace), choice

    found, choice = run_async(work())
    marks = {choice.shadow_version: "shadow", choice.version: "active"}
    table = Table("version", "name", "counts", "published", "by", "reason")
    for model in found:
        mark = marks.get(model.version, "")
        table.add_row(
            str(model.version), model.name, mark, _minute(model.published_at), model.published_by, model.reason
        )
    Console().print(table)


@app.command()
def history(
    workspace: Workspace = "default",
    limit: Annotated[int, typer.Option(min=1, max=_MOST_LISTED, help="Decisions shown, the newest first.")] = 20,
) -> None:
    """Which version counted since when, who decided so, and why."""

    async def work() -> list[Activation]:
        async with database(Settings()) as opened, opened.transaction(workspace) as connection:
            return await model_repository.activations(connection, workspace, limit=limit)

    table = Table("version", "since", "by", "reason")
    for decision in run_async(work()):
        table.add_row(str(decision.version), _minute(decision.activated_at), decision.activated_by, decision.reason)
    Console().print(table)


@app.command()
def show(
    version: Annotated[str, typer.Argument(help="Version, or `active`.")] = ACTIVE,
    as_yaml: Annotated[bool, typer.Option("--yaml", help="As YAML instead of JSON.")] = False,
    workspace: Workspace = "default",
) -> None:
    """The document of a version."""

    async def work() -> Json:
        async with database(Settings()) as opened:
            number = await version_of(opened, workspace, version)
            return (await versions.published(opened, workspace, number)).document

    document = run_async(work())
    if as_yaml:
        print(write_yaml(document), end="")
    else:
        Console(file=sys.stdout).print_json(data=document)


@app.command()
def diff(
    old: Annotated[str, typer.Argument(help=HELP)],
    new: Annotated[str, typer.Argument(help=HELP)],
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit 1 if they differ and 2 if that cannot be told, as diff does.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As a JSON array.")] = False,
    workspace: Workspace = "default",
) -> None:
    """What changes from one model to another, in words; spelling is no difference."""
    before, after = run_async(documents_of([old, new], workspace), failing=2 if exit_code else 1)
    found = differences(before, after)
    if as_json:
        print(to_json(found, indent=2).decode())
    else:
        for difference in found:
            print(difference)
    if found and exit_code:
        raise SystemExit(1)


@app.command()
def schema() -> None:
    """The JSON Schema of model documents, for editors."""
    print(json.dumps(model_schema(), indent=2, ensure_ascii=False))


def _read(file: Path) -> Json:
    try:
        document = read_document(file)
        parse_model(document)
    except LeadflowError as error:
        fail(error)
    return document


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"
