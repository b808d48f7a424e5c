"""Brings the schemas of all services to the newest version, and tells whether they are there."""

import logging
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from shared.db.engine import Database
from shared.errors import Misconfigured

logger = logging.getLogger(__name__)

_DIRECTORY = Path(__file__).resolve().parents[2] / "migrations"
# Any constant serves, as long as every leadflow takes the same: two migrations never run at once.
_ADVISORY_LOCK = 0x1EAD_F10E
_LONGEST_SECONDS = 3600.0
_NOT_ALLOWED = "42501"


async def migrate(database: Database) -> None:
    """Apply the missing migrations; a second process that migrates at the same time waits for the first. A database
    of a newer release stays as it is.

    On a connection of its own: a migration may take longer than any statement of a service. Raises Misconfigured
    when the login may not do what a migration needs.
    """
    patient = Database(database.url, pool_size=2, timeout_seconds=_LONGEST_SECONDS)
    try:
        async with patient.as_login() as guard, patient.engine.connect() as connection:
            await guard.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK})
            if not (await revisions(database)).unknown:
                await connection.run_sync(_upgrade)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _NOT_ALLOWED:
            raise
        reason = str(error.orig).rpartition(">: ")[2]
        raise Misconfigured(f"the login may not migrate the database: {reason}") from error
    finally:
        await patient.close()


@dataclass(frozen=True, slots=True)
class Revisions:
    """Where a database stands: at `current`, while this release needs `newest`; `missing` are in between.

    A revision that this release does not know (`unknown`) is that of a newer one.
    """

    current: str | None
    newest: str | None
    missing: tuple[str, ...]
    unknown: bool


async def revisions(database: Database) -> Revisions:
    """Where the schemas are, and where this release needs them to be."""
    async with database.as_login() as connection:
        current = await connection.run_sync(_current_revision)
    script = ScriptDirectory.from_config(_config())
    downwards = [revision.revision for revision in script.walk_revisions()]
    unknown = current is not None and current not in downwards
    ahead = downwards if current is None else downwards[: downwards.index(current)] if not unknown else []
    return Revisions(current, script.get_current_head(), tuple(reversed(ahead)), unknown)


async def check_migrated(database: Database) -> None:
    """Raise Misconfigured, with the remedy, when the schemas lack what this release needs.

    Those of the next release have it all: migrations only add, so that processes of two releases work side by side
    while one replaces the other, and the older can come back.
    """
    found = await revisions(database)
    if found.unknown:
        logger.warning("the database is of a newer release", extra={"revision": found.current})
    elif found.current != found.newest:
        raise Misconfigured(
            f"the database is at migration {found.current or 'none'}, this release needs {found.newest}: "
            "run `leadflow migrate`"
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_DIRECTORY))
    return config


def _upgrade(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _current_revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
