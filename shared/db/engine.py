"""PostgreSQL as the services see it: bounded waits, one unit of work, one answer to "is it transient?"."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
from sqlalchemy import TextClause, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shared.db.observed import count_error, sqlstate
from shared.db.reach import APP_ROLE, WORKER_ROLE, Reach, taken
from shared.errors import DatabaseUnavailable, Misconfigured
from shared.sealing.data_keys import Sealing, execution_options

# Connection trouble, resources, operator intervention; then lock, deadlock, serialisation and idle timeouts.
_TRANSIENT_CLASSES = ("08", "53", "57", "40")
_TRANSIENT_STATES = ("55P03", "25P03")
# One statement for all, because every transaction begins with it; all end with the transaction, so that the pool
# hands on nothing.
_TAKEN = "SELECT set_config('role', :role, true), set_config('leadflow.workspace', :workspace, true)"
_TAKE = text(_TAKEN)
# A plan for whatever parameters is made once for a connection. Left to itself, PostgreSQL makes another one each time
# that they are few: a quarter of what it does for a small batch.
PLANNED_ONCE = "set_config('plan_cache_mode', 'force_generic_plan', true)"
_TAKE_FOR_ROUTINE = text(f"{_TAKEN}, {PLANNED_ONCE}")
_OLDEST_SECONDS: Final = 300
# The role is not there, or the login may not take it.
_ROLE_REFUSED = ("22023", "42501")


def async_url(url: str) -> URL:
    """`url` for SQLAlchemy on asyncpg. Raises Misconfigured when it is not a PostgreSQL URL."""
    try:
        parsed = make_url(url)
    except Exception as error:
        raise Misconfigured("the database URL is not of the form postgresql://user@host:port/name") from error
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise Misconfigured(f"the database must be PostgreSQL, not {parsed.get_backend_name()}")
    return parsed.set(drivername="postgresql+asyncpg")


def is_transient(error: BaseException) -> bool:
    """Whether the same work may succeed later. asyncpg lets bare OSErrors through, so they count too."""
    if isinstance(error, OSError | TimeoutError | PoolTimeoutError | DatabaseUnavailable):
        return True
    # The driver loses its place, too, when a connection goes in the middle of a statement's preparation.
    if isinstance(error, InterfaceError | asyncpg.InterfaceError | asyncpg.InternalClientError):
        return True
    state = sqlstate(error)
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return state.startswith(_TRANSIENT_CLASSES) or state in _TRANSIENT_STATES


class Database:
    """A pool of connections; `transaction` is the only place in leadflow that commits."""

    def __init__(
        self, url: str, *, pool_size: int = 10, timeout_seconds: float = 10.0, sealing: Sealing | None = None
    ) -> None:
        self.url = url
        self.sealing = sealing or Sealing()
        self._timeout_seconds = timeout_seconds
        milliseconds = str(int(timeout_seconds * 1000))
        self.engine: AsyncEngine = create_async_engine(
            async_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=timeout_seconds,
            # The one that was used last knows statements, plans and tables. Those that wait long are made anew when
            # they are needed: a firewall between may have forgotten them.
            pool_use_lifo=True,
            pool_recycle=_OLDEST_SECONDS,
            execution_options=execution_options(self.sealing),
            connect_args={
                "timeout": timeout_seconds,
                "command_timeout": timeout_seconds + 5,
                "server_settings": {
                    "application_name": "leadflow",
                    "statement_timeout": milliseconds,
                    "lock_timeout": milliseconds,
                    "idle_in_transaction_session_timeout": str(int(timeout_seconds * 3000)),
                    "timezone": "UTC",
                },
            },
        )

    @asynccontextmanager
    async def transaction(self, reach: Reach, *, is_routine: bool = False) -> AsyncIterator[AsyncConnection]:
        """One unit of work on the rows of `reach`: committed when the block ends, rolled back when it raises.

        `is_routine`: its statements come all the time, and one plan suits them whatever their parameters. Not so
        those that look for many ids in a table of millions: with one plan for all they took three times as long.

        Raises DatabaseUnavailable for trouble that may pass, Misconfigured when the database does not let the login
        in; what the block raises otherwise goes through.
        """
        async with answering(), self.engine.begin() as connection:
            await _take(connection, reach, _TAKE_FOR_ROUTINE if is_routine else _TAKE)
            yield connection

    @asynccontextmanager
    async def reading(self, reach: Reach, *, snapshot_id: str | None = None) -> AsyncIterator[AsyncConnection]:
        """One moment of the rows of `reach`, read and not written; that of another transaction if its id is given.

        Raises what `transaction` raises.
        """
        async with answering(), self.engine.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            async with connection.begin():
                if snapshot_id is not None:
                    # The id is PostgreSQL's own; the statement takes no parameters.
                    await connection.exec_driver_sql(f"SET TRANSACTION SNAPSHOT '{snapshot_id}'")
                await _take(connection, reach, _TAKE)
                yield connection

    @asynccontextmanager
    async def as_login(self) -> AsyncIterator[AsyncConnection]:
        """A transaction of the login itself, rolled back: for questions about the server, before any role is there.

        Raises DatabaseUnavailable.
        """
        async with answering(), self.engine.connect() as connection:
            yield connection

    async def check(self) -> None:
        """Answer within a second if PostgreSQL does. Raises DatabaseUnavailable."""
        try:
            async with asyncio.timeout(1), self.as_login() as connection:
                await connection.execute(text("SELECT 1"))
        except TimeoutError as error:
            raise DatabaseUnavailable("PostgreSQL did not answer within a second") from error

    async def close(self) -> None:
        await self.engine.dispose()


@asynccontextmanager
async def answering() -> AsyncIterator[None]:
    """What the block meets of PostgreSQL's trouble is counted; what may pass is raised as DatabaseUnavailable."""
    try:
        yield
    except Exception as error:
        count_error(error)
        if is_transient(error) and not isinstance(error, DatabaseUnavailable):
            raise DatabaseUnavailable(f"PostgreSQL does not answer: {type(error).__name__}") from error
        raise


async def _take(connection: AsyncConnection, reach: Reach, statement: TextClause) -> None:
    try:
        await connection.execute(statement, taken(reach))
    except DBAPIError as error:
        refuse_misconfigured(error, reach)
        raise


def refuse_misconfigured(error: Exception, reach: Reach) -> None:
    """Raise Misconfigured if `error` says that the login may not take the role of `reach`."""
    if sqlstate(error) in _ROLE_REFUSED:
        raise Misconfigured(
            f"the database does not let its login take the role {taken(reach)['role']}: run `leadflow migrate`, "
            f"and GRANT {APP_ROLE}, {WORKER_ROLE} to the login of LEADFLOW_DATABASE_URL"
        ) from error
