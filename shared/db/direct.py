"""The short way to PostgreSQL, past SQLAlchemy: for one statement that is made hundreds of times a second.

Everything else goes by `engine.Database`, whose work for a transaction costs several times as much.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.engine import PLANNED_ONCE, Database, answering, refuse_misconfigured
from shared.db.reach import ALL_WORKSPACES, taken

# Role, workspace and way of planning end with the transaction, as in `engine`. No caller has a say in this text.
_BEGIN = "BEGIN; SELECT {}, {}".format(
    ", ".join(
        f"set_config('{name}', '{value}', true)"
        for name, value in zip(("role", "leadflow.workspace"), taken(ALL_WORKSPACES).values(), strict=True)
    ),
    PLANNED_ONCE,
)


class DirectConnection:
    """A connection of somebody's own: one transaction at a time. It is made when it is needed, and anew after any
    failure.
    """

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        self._database = Database(url, pool_size=1, timeout_seconds=timeout_seconds)
        self._held: AsyncConnection | None = None
        self._driver: Any = None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """A transaction that reaches all workspaces, of asyncpg's connection: committed when the block ends.

        Raises DatabaseUnavailable for trouble that may pass; what the block raises otherwise goes through.
        """
        async with answering():
            try:
                yield await self._begun()
                await self._driver.execute("COMMIT")
            except BaseException:
                await self.close()
                raise

    async def close(self) -> None:
        """Let go of the connection, without a word to the server: it may not answer."""
        held, driver, self._held, self._driver = self._held, self._driver, None, None
        if driver is not None:
            driver.terminate()
        if held is not None:
            await held.invalidate()
            await held.close()

    async def _begun(self) -> Any:
        driver = await self._open()
        try:
            await driver.execute(_BEGIN)
        except asyncpg.PostgresError as error:
            refuse_misconfigured(error, ALL_WORKSPACES)
            raise
        return driver

    async def _open(self) -> Any:
        if self._driver is None or self._driver.is_closed():
            await self.close()
            self._held = await self._database.engine.connect()
            self._driver = (await self._held.get_raw_connection()).driver_connection
        return self._driver
