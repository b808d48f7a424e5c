"""Commands as their users run them, on a given database and either engine of the log."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.command.main import app
from shared.db.engine import Database
from shared.events.topics import ALL_TOPICS
from shared.log.connect import open_log
from shared.log.protocol import Log
from shared.settings import Settings

Invoke = Callable[..., Awaitable[Result]]

ENGINES = [
    pytest.param("embedded", marks=pytest.mark.postgres),
    pytest.param("kafka", marks=[pytest.mark.postgres, pytest.mark.kafka]),
]


@pytest.fixture
def environment(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """LEADFLOW_* as they name this test's own database."""
    monkeypatch.setenv("LEADFLOW_DATABASE_URL", database_url)
    monkeypatch.setenv("LEADFLOW_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    return monkeypatch


@pytest.fixture
def invoke(environment: pytest.MonkeyPatch) -> Invoke:
    """Runs `leadflow ...` in a thread of its own, because a command makes an event loop."""

    async def invoke(*arguments: str, stdin: str | None = None) -> Result:
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, list(arguments), input=stdin))

    return invoke


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, environment: pytest.MonkeyPatch) -> str:
    """Which log the commands use. Not async: a broker that must be started first runs a loop of its own."""
    if request.param == "kafka":
        environment.setenv("LEADFLOW_KAFKA_BOOTSTRAP_SERVERS", request.getfixturevalue("kafka_bootstrap"))
        environment.setenv("LEADFLOW_KAFKA_PREFIX", f"t{uuid.uuid4().hex[:8]}-")
    return str(request.param)


@pytest.fixture
async def log(engine: str, database: Database) -> AsyncIterator[Log]:
    """The log that the commands find too, with all topics and nothing in them."""
    opened = open_log(Settings(), database)
    await opened.start()
    try:
        await opened.ensure_topics(ALL_TOPICS)
        yield opened
    finally:
        await opened.stop()
