"""A migrated database for every test: cloned from a template on one real server per test run."""

import itertools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.engine import Database
from shared.db.migrations import migrate

_NAMES = itertools.count(1)


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """The server of the test run, with a template that every migration has been applied to."""

    url: str
    prefix: str = field(default_factory=lambda: f"leadflow_test_{os.getpid()}")

    @property
    def template(self) -> str:
        return f"{self.prefix}_template"

    async def trade_durability_for_speed(self) -> None:
        """For a server of our own that holds nothing but tests: creating and dropping databases waits for no disk."""
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            await self._execute(f"ALTER SYSTEM SET {setting} = off")
        await self._execute("SELECT pg_reload_conf()")

    async def make_template(self) -> None:
        await self._execute(f"CREATE DATABASE {self.template}")
        database = Database(self.url_of(self.template))
        await migrate(database)
        await database.close()

    async def drop_template(self) -> None:
        await self._execute(f"DROP DATABASE IF EXISTS {self.template} WITH (FORCE)")

    @asynccontextmanager
    async def fresh_url(self, *, migrated: bool = True) -> AsyncIterator[str]:
        """The URL of a database of its own, dropped afterwards whoever is still connected."""
        name = f"{self.prefix}_{next(_NAMES)}"
        await self._execute(f"CREATE DATABASE {name} TEMPLATE {self.template if migrated else 'template0'}")
        try:
            yield self.url_of(name)
        finally:
            await self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def url_of(self, database: str) -> str:
        return make_url(self.url).set(database=database).render_as_string(hide_password=False)

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


@asynccontextmanager
async def as_owner(database: Database) -> AsyncIterator[AsyncConnection]:
    """What no service may do, and a test of damage or of the schema must: a transaction of the tables' owner."""
    async with database.engine.begin() as connection:
        yield connection
