"""`leadflow import`: history and attributes from CSV and NDJSON, whether or not the services run meanwhile."""

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from sqlalchemy.engine import make_url

from services.command.failure import fail
from services.command.runtime import database, run_async
from services.ingest.importing.files import digest_of
from services.ingest.importing.mapping import ImportMapping, parse_mapping
from services.ingest.importing.position import Position, PositionFile
from services.ingest.importing.runner import Importer, Progress
from services.ingest.publisher import Publisher, PublisherLimits
from services.ingest.service import Ingest
from services.ingest.settings import IngestSettings
from shared.access import KeyRepository
from shared.clock import SystemClock
from shared.db.engine import Database
from shared.db.migrations import check_migrated
from shared.documents.yaml_text import read_yaml
from shared.errors import InvalidInput, LeadflowError, Misconfigured
from shared.events.json import Json
from shared.events.topics import ALL_TOPICS, ENGAGEMENT_EVENTS
from shared.log.connect import open_log
from shared.settings import Settings

_POSITIONS = "imports"
_DEFAULT_WORKSPACE = "default"
_EVENT = "event"


def import_(  # noqa: PLR0917 - typer reads options from parameters
    file: Annotated[
        Path, typer.Argument(help="CSV or NDJSON, plain or gz.", exists=True, dir_okay=False, metavar="FILE")
    ],
    mapping: Annotated[
        Path | None,
        typer.Option(help="Mapping file, YAML or JSON; else the flags below.", exists=True, dir_okay=False),
    ] = None,
    type_: Annotated[str | None, typer.Option("--type", help="Engagement type of every row.")] = None,
    type_column: Annotated[str | None, typer.Option(help="Column that names the type.")] = None,
    id_: Annotated[
        list[str] | None, typer.Option("--id", help="Column that tells rows apart; several together. Else all are.")
    ] = None,
    occurred_at: Annotated[str | None, typer.Option(help="Column with the time of happening.")] = None,
    at: Annotated[str | None, typer.Option(help="One moment for all rows, instead of a column.")] = None,
    time_format: Annotated[
        str | None, typer.Option(help="iso (the default), epoch_s, epoch_ms, or a pattern: %d.%m.%Y %H:%M.")
    ] = None,
    time_zone: Annotated[str | None, typer.Option(help="IANA zone of times that name none; else UTC.")] = None,
    email: Annotated[str | None, typer.Option(help="Column with the lead's address.")] = None,
    external_id: Annotated[
        list[str] | None, typer.Option(metavar="SYSTEM=COLUMN", help="The lead's id in a system; several times.")
    ] = None,
    anonymous_id: Annotated[str | None, typer.Option(help="Column with a visitor's id.")] = None,
    property_: Annotated[
        list[str] | None,
        typer.Option("--property", metavar="NAME=COLUMN", help="Fact about the event; NAME:number=COLUMN converts."),
    ] = None,
    attribute: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=COLUMN", help="Fact about the lead; NAME:number=COLUMN converts."),
    ] = None,
    null: Annotated[list[str] | None, typer.Option(help="A word that means that nothing is known.")] = None,
    format_: Annotated[str | None, typer.Option("--format", help="csv or ndjson; else by the name.")] = None,
    delimiter: Annotated[str | None, typer.Option(help="Of CSV cells; one character, or tab.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Of the text; utf-8 unless given.")] = None,
    source: Annotated[str | None, typer.Option(help="Source that the events are of; else import.")] = None,
    workspace: Annotated[str | None, typer.Option(help="Workspace; else default.")] = None,
    refused: Annotated[
        Path | None, typer.Option(help="File for refused rows; else FILE.refused.ndjson.", dir_okay=False)
    ] = None,
    restart: Annotated[bool, typer.Option(help="Start from the first row, whatever was done before.")] = False,
) -> None:
    """Import history: rows become events. Run twice it adds nothing; interrupted, the same command goes on."""
    try:
        event: dict[str, Json] = {
            "type": type_ or ({"column": type_column} if type_column else None),
            "id": [*(id_ or ())],
            "occurred_at": _moment(occurred_at, at, time_format),
            "properties": _values(property_, "--property"),
            "attributes": _values(attribute, "--attribute"),
        }
        lead: dict[str, Json] = {"email": email, "external_ids": _columns(external_id), "anonymous_id": anonymous_id}
        reading: dict[str, Json] = {
            "format": format_,
            "delimiter": delimiter,
            "encoding": encoding,
            "time_zone": time_zone,
            "nulls": [*(null or ())],
        }
        document = _document(mapping, event, lead, reading)
        document |= _given({"source": source, "workspace": workspace})
        refused_path = refused or file.with_name(f"{file.name}.refused.ndjson")
        _import(file, document, refused_path, restart=restart)
    except LeadflowError as error:
        fail(error)
    except OSError as error:
        fail(Misconfigured(f"{error.filename or file}: {error.strerror or error}"))


def _document(
    mapping: Path | None, event: Mapping[str, Json], lead: Mapping[str, Json], reading: Mapping[str, Json]
) -> dict[str, Json]:
    """The mapping that counts: the file's, or the one that the flags make."""
    if mapping is None:
        if "type" not in _given(event):
            raise InvalidInput("say what the rows are: --mapping, --type or --type-column")
        return {**_given(reading), "lead": _given(lead), "events": {_EVENT: _given(event)}}
    if _given(event) or _given(lead) or _given(reading):
        raise InvalidInput("beside --mapping only --source, --workspace, --refused and --restart are taken")
    try:
        document = read_yaml(mapping.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{mapping} is not UTF-8 text") from error
    except OSError as error:
        raise InvalidInput(f"{mapping}: {error.strerror}") from error
    if not isinstance(document, dict):
        raise InvalidInput(f"{mapping} is no mapping of names to values")
    return document


def _moment(column: str | None, at: str | None, form: str | None) -> Json:
    if column is not None and at is not None:
        raise InvalidInput("--occurred-at and --at exclude each other")
    if at is not None:
        return {"value": at}
    return None if column is None else {"column": column, **_given({"form": form})}


def _values(pairs: Sequence[str] | None, option: str) -> Json:
    """`NAME=COLUMN` and `NAME:kind=COLUMN` as values of a mapping."""
    found: dict[str, Json] = {}
    for name, column in _pairs(pairs, option):
        plain, colon, kind = name.partition(":")
        found[plain] = {"column": column, "as": kind} if colon else column
    return found


def _columns(pairs: Sequence[str] | None) -> Json:
    return dict(_pairs(pairs, "--external-id"))


def _pairs(pairs: Sequence[str] | None, option: str) -> Iterator[tuple[str, str]]:
    for pair in pairs or ():
        name, equals, column = pair.partition("=")
        if not equals or not name or not column:
            raise InvalidInput(f"{option} {pair}: must be NAME=COLUMN")
        yield name, column


def _given(values: Mapping[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in values.items() if value not in (None, [], {})}


def _import(file: Path, document: Json, refused: Path, *, restart: bool) -> None:
    mapping, settings, console = parse_mapping(document), Settings(), Console(stderr=True)
    canonical = json.dumps(document, sort_keys=True)
    identity = (digest_of(file), sha256(canonical.encode()).hexdigest(), _installation(settings))
    positions = PositionFile.of(settings.data_dir / _POSITIONS, *identity)
    with positions.held():
        if restart:
            positions.forget()
        before = positions.load()
        if before is not None:
            console.print(f"going on after row {before.rows:,}; --restart begins with the first")
        try:
            with _bar(console, file) as on_progress:
                done = run_async(
                    _work(settings, file, mapping, positions=positions, refused=refused, on_progress=on_progress)
                )
        except KeyboardInterrupt:
            _say_how_to_go_on(console, positions)
            raise SystemExit(130) from None
        except SystemExit:
            _say_how_to_go_on(console, positions)
            raise
    _print(done, refused)


async def _work(
    settings: Settings,
    file: Path,
    mapping: ImportMapping,
    *,
    positions: PositionFile,
    refused: Path,
    on_progress: Callable[[Progress], None],
) -> Position:
    async with _ingest(settings, mapping.workspace) as ingest:
        importer = Importer(ingest, SystemClock())
        return await importer.run(file, mapping, positions=positions, refused_path=refused, on_progress=on_progress)


@asynccontextmanager
async def _ingest(settings: Settings, workspace: str) -> AsyncIterator[Ingest]:
    """Ingest on the log of the installation, whether or not its services run now."""
    limits = IngestSettings()
    async with database(settings) as opened:
        await check_migrated(opened)
        await _check_workspace(opened, workspace)
        log = open_log(settings, opened)
        await log.start()
        try:
            await log.ensure_topics(ALL_TOPICS)
            waiting = PublisherLimits(limits.max_waiting_events, limits.max_waiting_bytes)
            publisher = Publisher(log, ENGAGEMENT_EVENTS.name, waiting)
            yield Ingest(
                publisher,
                limits.json_limits(),
                limits.max_event_bytes,
                shared_mailboxes=limits.all_shared_mailboxes(),
            )
        finally:
            await log.stop()


async def _check_workspace(opened: Database, workspace: str) -> None:
    """A misspelt workspace would take everything, and nobody could see it."""
    if workspace != _DEFAULT_WORKSPACE and not await KeyRepository(opened).of_workspace(workspace):
        raise InvalidInput(f"no key opens the workspace {workspace}: create one with `leadflow keys create`")


def _installation(settings: Settings) -> str:
    """What tells this installation from others, without its secrets: a position holds for one only."""
    where = str(settings.data_dir.resolve())
    if settings.database_url is not None:
        url = make_url(settings.database_url.get_secret_value())
        where = f"{url.host}:{url.port}/{url.database}"
    return f"{where} {settings.kafka_bootstrap_servers or ''} {settings.kafka_prefix}"


@contextmanager
def _bar(console: Console, file: Path) -> Iterator[Callable[[Progress], None]]:
    columns = (
        TextColumn("[bold]{task.description}", markup=True),
        BarColumn(bar_width=28),
        TaskProgressColumn(),
        TextColumn("{task.fields[counts]}"),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(escape(file.name), total=None, counts="")

        def told(progress: Progress) -> None:
            done = progress.position
            counts = f"{done.accepted:,} accepted, {sum(done.refused.values()):,} refused"
            bar.update(task, total=progress.size_bytes, completed=progress.read_bytes, counts=counts)

        yield told


def _say_how_to_go_on(console: Console, positions: PositionFile) -> None:
    position = positions.load()
    if position is not None:
        console.print(f"ended after row {position.rows:,}: the same command goes on from there")


def _print(done: Position, refused: Path) -> None:
    lines = {
        "rows": done.rows,
        "events accepted": done.accepted,
        "repeated in the file": done.repeated,
        "rows without an event": done.without_event,
        "refused": sum(done.refused.values()),
        **{f"  {code}": number for code, number in sorted(done.refused.items())},
    }
    for name, number in lines.items():
        print(f"{name:<24}{number:>12,}")
    if done.never_found:
        print(f"no row had: {', '.join(done.never_found)}")
    if done.refused:
        print(f"refused rows are in {refused}")
