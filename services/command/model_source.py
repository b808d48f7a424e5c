"""Which model a command means: a file, a published version by its number, the active one, or a draft."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from services.command.runtime import database
from services.scorer.domain.models.document import parse_model
from services.scorer.models import repository as model_repository
from services.scorer.models import versions
from shared.db.engine import Database
from shared.documents.yaml_text import read_yaml
from shared.errors import InvalidInput
from shared.events.json import Json
from shared.settings import Settings

ACTIVE: Final = "active"
DRAFT: Final = "draft:"
HELP: Final = "A file, the number of a version, `active`, or `draft:NAME`."


def read_document(file: Path) -> Json:
    """The document in a file. Raises InvalidInput when it is no YAML."""
    try:
        return read_yaml(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{file} is not UTF-8 text") from error
    except OSError as error:
        raise InvalidInput(f"{file}: {error.strerror}") from error


async def documents_of(sources: Sequence[str], workspace: str) -> list[Json]:
    """The documents that `sources` name; a database is opened only if one of them lies there.

    Raises InvalidInput for what is not there, InvalidDocument for what is no valid model.
    """
    stored = [source for source in sources if is_stored(source)]
    found: dict[str, Json] = {}
    if stored:
        async with database(Settings()) as opened:
            found = {source: await _stored(opened, workspace, source) for source in stored}
    documents = [found[source] if source in found else read_document(Path(source)) for source in sources]
    for document in documents:
        parse_model(document)
    return documents


def is_stored(source: str) -> bool:
    """Whether `source` lies in the database; else it is a file."""
    return source == ACTIVE or source.isdecimal() or source.startswith(DRAFT)


async def _stored(opened: Database, workspace: str, source: str) -> Json:
    if source.startswith(DRAFT):
        return (await versions.draft(opened, workspace, source.removeprefix(DRAFT))).document
    return (await versions.published(opened, workspace, await version_of(opened, workspace, source))).document


async def version_of(opened: Database, workspace: str, source: str) -> int:
    """The version that a number or `active` names. Raises InvalidInput for anything else."""
    if source == ACTIVE:
        async with opened.transaction(workspace) as connection:
            active = (await model_repository.choices(connection, [workspace]))[workspace].version
        if active is None:
            raise InvalidInput(f"no version of the model of {workspace} is active", code="not_found")
        return active
    if not source.isdecimal() or not 0 < int(source) < 2**31:
        raise InvalidInput(f"{source} is no version: a number, or active", code="not_found")
    return int(source)
