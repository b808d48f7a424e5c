"""Starts that cannot succeed end at once, with one line that says what to do."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.leadflow_process import Installation, free_port
from tests.support.postgres import PostgresServer


def failed_start(installation: Installation, **environment: str) -> str:
    """What `leadflow up` says last, which must not be a stack trace."""
    done = subprocess.run(
        [sys.executable, "-m", "services", "up"],
        env=installation.env(**environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


def test_a_setting_that_is_wrong_names_its_variable(installation: Installation) -> None:
    assert "LEADFLOW_PORT: " in failed_start(installation, LEADFLOW_PORT="eighty")


def test_a_broker_that_is_away_is_named(installation: Installation) -> None:
    nobody = f"127.0.0.1:{free_port()}"

    assert f"Kafka at {nobody} does not answer" in failed_start(
        installation, LEADFLOW_KAFKA_BOOTSTRAP_SERVERS=nobody, LEADFLOW_PORT=str(free_port())
    )


def test_a_database_that_is_away_is_said(installation: Installation) -> None:
    nobody = f"postgresql://leadflow@127.0.0.1:{free_port()}/leadflow"

    assert "PostgreSQL does not answer" in failed_start(installation, LEADFLOW_DATABASE_URL=nobody)


async def test_a_database_without_schemas_asks_for_the_migration(
    installation: Installation, postgres_server: PostgresServer
) -> None:
    async with postgres_server.fresh_url(migrated=False) as url:
        assert "run `leadflow migrate`" in failed_start(installation, LEADFLOW_DATABASE_URL=url)


async def test_a_port_that_is_taken_says_so(installation: Installation, tmp_path: Path) -> None:
    async with installation.running() as running:
        other = Installation(tmp_path / "other")

        assert "LEADFLOW_PORT names another port" in failed_start(other, LEADFLOW_PORT=str(running.port))
