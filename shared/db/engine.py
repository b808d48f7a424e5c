"""PostgreSQL as the services see it: bounded waits, one unit of work, one answer to "is it transient?"."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shared.db.observed import count_error
from shared.errors import DatabaseUnavailable, Misconfigured

# Connection trouble, resources, operator intervention; then lock, deadlock, serialisation and idle timeouts.
_TRANSIENT_CLASSES = ("08", "53", "57", "40")
_TRANSIENT_STATES = ("55P03", "25P03")


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
    if isinstance(error, InterfaceError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", None) or ""
    return error.connection_invalidated or state.startswith(_TRANSIENT_CLASSES) or state in _TRANSIENT_STATES


class Database:
    """A pool of connections; `transaction` is the only place in leadflow that commits."""

    def __init__(self, url: str, *, pool_size: int = 10, timeout_seconds: float = 10.0) -> None:
        self.url = url
        self._timeout_seconds = timeout_seconds
        milliseconds = str(int(timeout_seconds * 1000))
        self.engine: AsyncEngine = create_async_engine(
            async_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=timeout_seconds,
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
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """One unit of work: committed when the block ends, rolled back when it raises.

        Raises DatabaseUnavailable for trouble that may pass; what the block raises otherwise goes through.
        """
        try:
            async with self.engine.begin() as connection:
                yield connection
        except Exception as error:
            count_error(error)
            if is_transient(error) and not isinstance(error, DatabaseUnavailable):
                raise DatabaseUnavailable(f"PostgreSQL does not answer: {type(error).__name__}") from error
            raise

    async def check(self) -> None:
        """Answer within a second if PostgreSQL does. Raises DatabaseUnavailable."""
        try:
            async with asyncio.timeout(1), self.transaction() as connection:
                await connection.execute(text("SELECT 1"))
        except TimeoutError as error:
            raise DatabaseUnavailable("PostgreSQL did not answer within a second") from error

    async def close(self) -> None:
        await self.engine.dispose()
