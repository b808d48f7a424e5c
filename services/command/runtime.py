"""What commands share: the database that the settings name, and a loop to work in."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

import uvloop

from services.command.failure import fail
from shared.db.embedded_postgres import EmbeddedPostgres, service_url
from shared.db.engine import Database
from shared.db.migrations import migrate
from shared.errors import LeadflowError, Misconfigured
from shared.log.connect import open_log
from shared.log.protocol import Log
from shared.sealing.data_keys import Sealing
from shared.settings import Settings

T = TypeVar("T")

_LOOK_SECONDS = 5.0
_LOOK_CONNECTIONS = 4


@asynccontextmanager
async def database(settings: Settings) -> AsyncIterator[Database]:
    """The database of `settings`. The embedded one is started if nobody runs it yet, and migrated."""
    async with AsyncExitStack() as stack:
        if settings.database_url is None:
            owner = await stack.enter_async_context(EmbeddedPostgres(settings.data_dir).running())
            await _migrate(owner)
            url = await service_url(owner)
        else:
            url = settings.database_url.get_secret_value()
        opened = Database(
            url,
            pool_size=settings.database_pool_size,
            timeout_seconds=settings.database_timeout_seconds,
            sealing=_sealing(settings),
        )
        stack.push_async_callback(opened.close)
        yield opened


@asynccontextmanager
async def database_of_owner(settings: Settings) -> AsyncIterator[Database]:
    """The database of `settings` as the owner of its tables sees it, who alone can migrate it."""
    async with AsyncExitStack() as stack:
        if settings.database_url is None:
            url = await stack.enter_async_context(EmbeddedPostgres(settings.data_dir).running())
        else:
            url = (settings.migration_database_url or settings.database_url).get_secret_value()
        opened = Database(url, pool_size=_LOOK_CONNECTIONS, timeout_seconds=settings.database_timeout_seconds)
        stack.push_async_callback(opened.close)
        yield opened


async def _migrate(url: str) -> None:
    opened = Database(url, pool_size=_LOOK_CONNECTIONS)
    try:
        await migrate(opened)
    finally:
        await opened.close()


@asynccontextmanager
async def database_as_it_is(settings: Settings, *, only_running: bool = False) -> AsyncIterator[Database]:
    """The database of `settings` for a look: nothing is made and nothing is migrated.

    The embedded one is started for the time being if nobody runs it, unless `only_running`. Raises Misconfigured
    when there is none.
    """
    async with AsyncExitStack() as stack:
        if settings.database_url is None:
            embedded = EmbeddedPostgres(settings.data_dir)
            if not embedded.initialised:
                raise Misconfigured(
                    f"there is no database in {settings.data_dir} yet: `leadflow up` makes one, "
                    "LEADFLOW_DATA_DIR or LEADFLOW_DATABASE_URL name another"
                )
            url = await stack.enter_async_context(embedded.running())
            if only_running and embedded.owned:
                raise Misconfigured(f"no leadflow runs on {settings.data_dir}: start `leadflow up` first")
        else:
            url = settings.database_url.get_secret_value()
        opened = Database(
            url,
            pool_size=_LOOK_CONNECTIONS,
            timeout_seconds=settings.database_timeout_seconds,
            sealing=_sealing(settings),
        )
        stack.push_async_callback(opened.close)
        yield opened


def _sealing(settings: Settings) -> Sealing:
    keys = settings.sealing_keys.get_secret_value() if settings.sealing_keys else ""
    return Sealing(keys, on=settings.sealing)


def impatient(settings: Settings) -> Settings:
    """For commands that look and do not wait: every single answer within `_LOOK_SECONDS`.

    They say in their own words what does not answer, so the client's complaints about it are kept off the screen.
    """
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    return settings.model_copy(
        update={
            "database_timeout_seconds": min(settings.database_timeout_seconds, _LOOK_SECONDS),
            "log_publish_timeout_seconds": min(settings.log_publish_timeout_seconds, _LOOK_SECONDS),
        }
    )


@asynccontextmanager
async def database_and_log(settings: Settings) -> AsyncIterator[tuple[Database, Log]]:
    """The database and the log of `settings`, for a command that looks at both or publishes."""
    async with database(settings) as opened:
        log = open_log(settings, opened)
        await log.start()
        try:
            yield opened, log
        finally:
            await log.stop()


def run_async(work: Coroutine[None, None, T], *, failing: int = 1) -> T:
    """Run a command to its end; an error of leadflow's becomes a message and the exit code `failing`."""
    try:
        return uvloop.run(work)
    except LeadflowError as error:
        fail(error, exit_code=failing)
    except asyncio.CancelledError:
        raise SystemExit(130) from None
