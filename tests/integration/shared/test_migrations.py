"""One history for all schemas: it applies, is checked at start, and can be walked back."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text
from sqlalchemy.engine import Connection

from shared.db.engine import Database
from shared.db.migrations import _config, check_migrated, migrate
from shared.errors import Misconfigured
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.postgres

SCHEMAS = {"log", "access", "ingest", "scorer", "pipeline"}


@pytest.fixture
async def empty(postgres_server: PostgresServer) -> AsyncIterator[Database]:
    async with postgres_server.fresh_url(migrated=False) as url:
        database = Database(url)
        yield database
        await database.close()


async def schemas(database: Database) -> set[str]:
    async with database.as_login() as connection:
        names = await connection.scalars(text("SELECT nspname FROM pg_namespace"))
        return set(names) & SCHEMAS


async def tables(database: Database) -> list[tuple[str, str, str, str]]:
    async with database.as_login() as connection:
        rows = await connection.execute(
            text(
                "SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns"
                " WHERE table_schema = ANY(:schemas) ORDER BY 1, 2, 3"
            ),
            {"schemas": sorted(SCHEMAS)},
        )
        return [(row[0], row[1], row[2], row[3]) for row in rows]


def walk_back(connection: Connection) -> None:
    config: Config = _config()
    config.attributes["connection"] = connection
    command.downgrade(config, "base")


async def test_migrating_makes_one_schema_per_service(empty: Database) -> None:
    await migrate(empty)

    assert await schemas(empty) == SCHEMAS
    await check_migrated(empty)


async def test_an_empty_database_is_refused_with_the_remedy(empty: Database) -> None:
    with pytest.raises(Misconfigured, match="leadflow migrate"):
        await check_migrated(empty)


async def test_processes_that_migrate_at_the_same_time_wait_for_each_other(empty: Database) -> None:
    await asyncio.gather(*(migrate(empty) for _ in range(3)))

    await check_migrated(empty)


async def test_down_and_up_again_gives_the_same_tables(empty: Database) -> None:
    await migrate(empty)
    before = await tables(empty)

    async with empty.engine.connect() as connection:
        await connection.run_sync(walk_back)
    assert await schemas(empty) == set()
    await migrate(empty)

    assert await tables(empty) == before
