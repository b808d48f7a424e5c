"""A leadflow that dies at each boundary between two commits loses nothing and repeats nothing."""

from pathlib import Path

import pytest

from tests.faults.scenarios import f2_failpoints
from tests.faults.servers import Postgres, Servers
from tests.faults.staging import Run
from tests.faults.story import Size
from tests.faults.trees import copied
from tests.faults.world import Plan
from tests.support.kafka_broker import KafkaBroker
from tests.support.postgres import PostgresServer


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def log(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def servers(log: str, postgres_server: PostgresServer, request: pytest.FixtureRequest, tmp_path: Path) -> Servers:
    broker: KafkaBroker | None = request.getfixturevalue("kafka_broker") if log == "kafka" else None
    return Servers(Postgres(tmp_path), postgres_server, broker)


@pytest.mark.timeout(900)
async def test_death_at_every_failpoint_loses_nothing_and_repeats_nothing(
    log: str, servers: Servers, tmp_path: Path
) -> None:
    with copied(tmp_path / "sources") as tree:
        run = Run(Plan(log, seed=2, tree=tree), servers, tmp_path / "world", Size(100, 20), faults=1)
        here = await f2_failpoints(run)

    assert here.violations == []
    assert [process.deaths_at_failpoints for process in here.supervisor.processes] == [1, 4, 3]
