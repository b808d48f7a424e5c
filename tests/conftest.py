"""Fixtures of the whole suite: one real PostgreSQL per test run, one fresh database per test."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from shared.db.embedded_postgres import EmbeddedPostgres
from shared.db.engine import Database
from tests.support.postgres import PostgresServer


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PostgresServer]:
    """The server named in LEADFLOW_TEST_DATABASE_URL, or one of our own; its template is migrated."""
    async with AsyncExitStack() as stack:
        url = os.environ.get("LEADFLOW_TEST_DATABASE_URL")  # noqa: TID251 - tests have no settings
        if url is None:
            data_dir: Path = tmp_path_factory.mktemp("postgres")
            url = await stack.enter_async_context(EmbeddedPostgres(data_dir).running())
        server = PostgresServer(url)
        await server.make_template()
        stack.push_async_callback(server.drop_template)
        yield server


@pytest.fixture
async def database_url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """A migrated database that only this test knows."""
    async with postgres_server.fresh_url() as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The same database, opened."""
    database = Database(database_url)
    yield database
    await database.close()
