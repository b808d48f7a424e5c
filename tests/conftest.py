"""Fixtures of the whole suite: one real PostgreSQL and one real Kafka broker per test run.

Every test that asks for a database gets a fresh one; topics and groups are told apart by their names.
"""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings

from shared.db.embedded_postgres import EmbeddedPostgres
from shared.db.engine import Database
from tests.support.kafka_broker import KafkaBroker, KafkaUnavailable, running_broker
from tests.support.postgres import PostgresServer

# A law is not broken because the machine is busy.
settings.register_profile("leadflow", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("leadflow")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PostgresServer]:
    """The server named in LEADFLOW_TEST_DATABASE_URL, or one of our own; its template is migrated."""
    async with AsyncExitStack() as stack:
        url = os.environ.get("LEADFLOW_TEST_DATABASE_URL")  # noqa: TID251 - tests have no settings
        if url is None:
            data_dir: Path = tmp_path_factory.mktemp("postgres")
            url = await stack.enter_async_context(EmbeddedPostgres(data_dir).running())
            await PostgresServer(url).trade_durability_for_speed()
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


@pytest.fixture(scope="session")
def kafka_broker() -> Iterator[KafkaBroker]:
    """The broker named in LEADFLOW_TEST_KAFKA, or one in Docker, or one on the JVM of this machine."""
    environment = os.environ  # noqa: TID251 - tests have no settings
    try:
        with running_broker(environment.get("LEADFLOW_TEST_KAFKA")) as broker:
            yield broker
    except KafkaUnavailable as reason:
        if environment.get("LEADFLOW_TEST_REQUIRE_KAFKA") == "1":
            pytest.fail(f"Kafka is required here, but: {reason}")
        pytest.skip(f"no Kafka broker: {reason}")


@pytest.fixture
def kafka_bootstrap(kafka_broker: KafkaBroker) -> str:
    """Where the broker is, as `host:port`."""
    return kafka_broker.bootstrap
