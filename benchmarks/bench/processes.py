"""leadflow and its probe as processes of their own, on a PostgreSQL of the benchmark's."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from shared.access import KeyRepository, Scope
from shared.clock import SystemClock
from shared.db.embedded_postgres import EmbeddedPostgres
from shared.db.engine import Database
from shared.db.migrations import migrate

_READY_SECONDS = 60.0

# Every request of the load comes with one key; whoever measures a limit on purpose set for one key measures nothing.
_UNLIMITED = {"LEADFLOW_INGEST_KEY_BURST_REQUESTS": "1000000", "LEADFLOW_INGEST_KEY_REQUESTS_PER_SECOND": "100000"}


@dataclass(frozen=True, slots=True)
class Installation:
    """A migrated PostgreSQL, and a key that may do everything."""

    url: str
    database: Database
    key: str
    directory: Path

    @property
    def headers(self) -> dict[str, str]:
        """What a request needs to be let in."""
        return {"authorization": f"Bearer {self.key}", "content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class Process:
    """A server of this machine."""

    pid: int
    port: int


@asynccontextmanager
async def installed(directory: Path) -> AsyncIterator[Installation]:
    """A leadflow without services, in `directory`."""
    async with EmbeddedPostgres(directory).running() as url:
        database = Database(url)
        try:
            await migrate(database)
            key = await KeyRepository(database).create(
                "default", name="benchmark", scopes=[Scope.ADMIN, Scope.EVENTS_WRITE], now=SystemClock().now()
            )
            yield Installation(url, database, key.text, directory)
        finally:
            await database.close()


@asynccontextmanager
async def service(installation: Installation, name: str) -> AsyncIterator[Process]:
    """`leadflow <name>` on a free port, ready."""
    port = _free_port()
    environment = {
        **os.environ,  # noqa: TID251 - the child's environment, not a setting
        **_UNLIMITED,
        "LEADFLOW_DATABASE_URL": installation.url,
        "LEADFLOW_DATA_DIR": str(installation.directory),
        "LEADFLOW_PORT": str(port),
        "LEADFLOW_LOG_LEVEL": "WARNING",
    }
    async with _started([sys.executable, "-m", "services", name], environment, installation.directory, port) as ready:
        await _until_ready(port, "/readyz")
        yield ready


@asynccontextmanager
async def probe(directory: Path) -> AsyncIterator[Process]:
    """The bare server that the one of leadflow is compared with: same server, same loop, same parser."""
    port = _free_port()
    command = [sys.executable, "-m", "uvicorn", "benchmarks.bench.probe_app:application", "--port", str(port)]
    command += ["--no-access-log", "--log-level", "warning", "--loop", "uvloop", "--http", "httptools"]
    async with _started(command, dict(os.environ), directory, port) as ready:  # noqa: TID251 - as above
        await _until_ready(port, "/")
        yield ready


@asynccontextmanager
async def _started(
    command: Sequence[str], environment: Mapping[str, str], directory: Path, port: int
) -> AsyncIterator[Process]:
    with (directory / f"process-{port}.log").open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)  # noqa: ASYNC220, S603 - ours
    try:
        yield Process(process.pid, port)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


async def _until_ready(port: int, path: str) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        async with asyncio.timeout(_READY_SECONDS):
            while not await _is_ready(client, path):  # noqa: ASYNC110 - another process's doing
                await asyncio.sleep(0.1)


async def _is_ready(client: httpx.AsyncClient, path: str) -> bool:
    try:
        return (await client.get(path)).status_code < 300
    except httpx.TransportError:
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port
