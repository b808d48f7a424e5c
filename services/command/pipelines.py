"""`leadflow pipelines`: the pipeline as a file, reviewed, tried, published and taken back like code."""

import getpass
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from services.command.failure import fail
from services.command.runtime import database, run_async
from services.pipeline.documents import versions
from services.pipeline.documents.repository import Activation, PublishedDocument
from services.pipeline.domain.changes import changes
from services.pipeline.domain.document import Pipeline, parse_pipeline
from services.pipeline.domain.impact import Impact, Summary
from services.pipeline.domain.mermaid import mermaid
from services.pipeline.domain.svg import svg
from services.pipeline.leads.impacts import impact_page
from services.pipeline.settings import PipelineSettings
from shared.clock import SystemClock
from shared.db.engine import Database
from shared.documents.yaml_text import read_yaml
from shared.errors import InvalidInput, LeadflowError
from shared.events.json import Json
from shared.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Pipelines: validate, publish, list, show, activate, roll back, compare, try, draw.",
)

_PAGE = 2_000

File = Annotated[Path, typer.Argument(help="Pipeline document, YAML or JSON.", exists=True, dir_okay=False)]
FileOrVersion = Annotated[str, typer.Argument(help="Pipeline document, or the number of a published version.")]
Workspace = Annotated[str, typer.Option(help="Workspace.")]
Why = Annotated[str, typer.Option(help="Why, for the history.")]


@app.command()
def validate(file: File) -> None:
    """Check a pipeline document; every fault is listed with its path."""
    try:
        pipeline = parse_pipeline(_document(file))
    except LeadflowError as error:
        fail(error)
    print(f"{file}: {pipeline.name} is valid")


@app.command()
def publish(
    file: File,
    reason: Why = "published from a file",
    workspace: Workspace = "default",
    activate: Annotated[bool, typer.Option(help="Let it count at once.")] = True,
) -> None:
    """Publish a pipeline document as the next version. It moves nobody by itself: see `impact`."""

    async def work() -> PublishedDocument:
        async with database(Settings()) as opened:
            return await versions.publish(
                opened,
                SystemClock(),
                workspace,
                _document(file),
                by=getpass.getuser(),
                reason=reason,
                activate=activate,
                most=PipelineSettings().most_pipeline_versions,
            )

    published = run_async(work())
    counts = "" if published.active else ", which does not count yet"
    print(f"{published.name} is version {published.version} of the pipeline of {workspace}{counts}")


@app.command()
def activate(
    version: Annotated[int, typer.Argument(help="Version.")],
    reason: Why,
    workspace: Workspace = "default",
) -> None:
    """Let a published version count from now on; going back to an older one is the same."""

    async def work() -> PublishedDocument:
        async with database(Settings()) as opened:
            return await versions.activate(
                opened, SystemClock(), workspace, version, by=getpass.getuser(), reason=reason
            )

    print(f"version {run_async(work()).version} of the pipeline of {workspace} counts")


@app.command()
def rollback(reason: Why, workspace: Workspace = "default") -> None:
    """Let the version count again that the active one replaced."""

    async def work() -> PublishedDocument:
        async with database(Settings()) as opened:
            return await versions.roll_back(opened, SystemClock(), workspace, by=getpass.getuser(), reason=reason)

    print(f"version {run_async(work()).version} of the pipeline of {workspace} counts again")


@app.command("list")
def list_pipelines(workspace: Workspace = "default") -> None:
    """All published versions, the newest first."""

    async def work() -> list[PublishedDocument]:
        async with database(Settings()) as opened:
            return await versions.versions(opened, workspace)

    table = Table("version", "name", "active", "published", "by", "reason")
    for found in run_async(work()):
        at = f"{found.published_at:%Y-%m-%d %H:%M}"
        mark = "yes" if found.active else ""
        table.add_row(str(found.version), found.name, mark, at, found.published_by, found.reason)
    Console().print(table)


@app.command()
def history(workspace: Workspace = "default") -> None:
    """Which version counted since when, on whose word and why, the newest first."""

    async def work() -> list[Activation]:
        async with database(Settings()) as opened:
            return await versions.history(opened, workspace)

    table = Table("since", "version", "by", "reason")
    for item in run_async(work()):
        table.add_row(f"{item.activated_at:%Y-%m-%d %H:%M}", str(item.version), item.activated_by, item.reason)
    Console().print(table)


@app.command()
def show(
    version: Annotated[int | None, typer.Argument(help="Version; the active one when left out.")] = None,
    workspace: Workspace = "default",
) -> None:
    """The document of a version, as JSON."""

    async def work() -> PublishedDocument:
        async with database(Settings()) as opened:
            return await versions.version_of(opened, workspace, version)

    Console(file=sys.stdout).print_json(data=run_async(work()).document)


@app.command()
def diff(
    what: FileOrVersion,
    against: Annotated[int | None, typer.Option(help="Version to compare with; the active one by default.")] = None,
    workspace: Workspace = "default",
) -> None:
    """What a document or a version changes, in words."""

    async def work() -> list[str]:
        async with database(Settings()) as opened:
            old = parse_pipeline((await versions.version_of(opened, workspace, against)).document)
            return changes(old, await _pipeline(what, opened, workspace))

    for change in run_async(work()) or ["nothing changes"]:
        print(change)


@app.command()
def impact(what: FileOrVersion, workspace: Workspace = "default") -> None:
    """What a document or a version would do to the leads as they stand; nothing is done.

    A version moves nobody by itself: these are the leads that its rules would move if they ran now.
    """

    async def work() -> tuple[Summary, list[Impact]]:
        async with database(Settings()) as opened:
            pipeline = await _pipeline(what, opened, workspace)
            return await _whole_impact(opened, workspace, pipeline)

    summary, touched = run_async(work())
    print(f"{summary.looked_at} leads looked at")
    _print_counts("would be moved by rules", [(f"{a} -> {b}", n) for (a, b), n in summary.moves.most_common()])
    _print_counts("stand in a stage that is gone, and stay there", summary.missing.most_common())
    _print_counts("would be judged otherwise", [(f"{a} -> {b}", n) for (a, b), n in summary.verdicts.most_common()])
    if touched:
        table = Table("lead", "stage", "would move to", "verdict now", "verdict then")
        for item in touched:
            stage = f"{item.stage} (gone)" if item.stage_missing else item.stage
            table.add_row(item.lead_id, stage, item.to or "", item.verdict_now, item.verdict)
        Console().print(table)


@app.command()
def diagram(
    what: FileOrVersion,
    form: Annotated[
        Literal["mermaid", "svg"], typer.Option("--format", help="Text for Mermaid, or a picture.")
    ] = "mermaid",
    workspace: Workspace = "default",
) -> None:
    """A document or a version as a diagram, on standard output."""

    async def work() -> Pipeline:
        async with database(Settings()) as opened:
            return await _pipeline(what, opened, workspace)

    try:
        pipeline = run_async(work()) if what.isdecimal() else parse_pipeline(_document(_existing(what)))
    except LeadflowError as error:
        fail(error)
    print({"mermaid": mermaid, "svg": svg}[form](pipeline), end="")


async def _whole_impact(opened: Database, workspace: str, pipeline: Pipeline) -> tuple[Summary, list[Impact]]:
    """Over all leads, page by page; the first page's touched leads stand for all."""
    now = SystemClock().now()
    page = await impact_page(opened, workspace, pipeline, now=now, after=None, limit=_PAGE)
    summary, touched = page.summary, list(page.touched)
    while page.last is not None:
        page = await impact_page(opened, workspace, pipeline, now=now, after=page.last, limit=_PAGE)
        summary = summary.with_summary(page.summary)
        touched += page.touched[: max(0, 20 - len(touched))]
    return summary, touched[:20]


def _print_counts(what: str, counts: Sequence[tuple[str, int]]) -> None:
    print(f"{sum(leads for _, leads in counts)} {what}")
    for name, leads in counts:
        print(f"  {leads:>9}  {name}")


async def _pipeline(what: str, opened: Database, workspace: str) -> Pipeline:
    """What the argument names: a version where it is a number, else a file."""
    if what.isdecimal():
        version = int(what) if len(what) < 10 else 0
        return parse_pipeline((await versions.version_of(opened, workspace, version)).document)
    return parse_pipeline(_document(_existing(what)))


def _existing(name: str) -> Path:
    file = Path(name)
    if not file.is_file():
        raise InvalidInput(f"{name} is neither a file nor the number of a version")
    return file


def _document(file: Path) -> Json:
    try:
        return read_yaml(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{file} is not UTF-8 text") from error
