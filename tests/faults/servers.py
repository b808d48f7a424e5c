"""What leadflow rests on, in our hands: a PostgreSQL and a Kafka broker that can be stopped, killed and come back."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from shared.db.embedded_postgres import EmbeddedPostgres
from tests.support.kafka_broker import KafkaBroker, KafkaUnavailable, LocalBroker, broker_on_this_machine
from tests.support.postgres import PostgresServer
from tests.support.waiting import wait_until

# alembic keeps what it migrates in module variables: one migration at a time in a process.
MIGRATING = asyncio.Lock()
_START_SECONDS = 60.0


class Postgres:
    """A real server of our own, whose processes we know."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._server = EmbeddedPostgres(directory)
        self.url = ""

    async def start(self) -> None:
        await self._server.stop()
        self._server = EmbeddedPostgres(self._directory)
        self.url = await self._server.start()

    async def wait_for_no_disk(self) -> None:
        """Whoever kills processes loses nothing that the kernel was given: only machines that fail need the disk."""
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute("ALTER SYSTEM SET fsync = off")
            await connection.execute("SELECT pg_reload_conf()")
        finally:
            await connection.close()

    async def stop_immediately(self) -> None:
        """As `pg_ctl -m immediate`: no checkpoint, no goodbye; the next start recovers from the WAL."""
        pid = self._pid()
        os.kill(pid, signal.SIGQUIT)
        await wait_until(lambda: _is_gone(pid), "PostgreSQL ends", timeout_seconds=_START_SECONDS)
        await self._server.stop()

    async def end_sessions(self, database: str) -> int:
        """pg_terminate_backend of all sessions of a database; returns how many there were."""
        connection = await asyncpg.connect(self.url)
        try:
            ended = await connection.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", database
            )
            return len(ended)
        finally:
            await connection.close()

    async def answers(self) -> bool:
        """Whether it takes connections, and can write."""
        try:
            connection = await asyncpg.connect(self.url, timeout=5)
            try:
                await connection.execute("CREATE TEMPORARY TABLE room (for_it integer)")
            finally:
                await connection.close(timeout=5)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        return True

    async def exhaust_wal(self) -> None:
        """Return when the WAL found no more room on a full disk: PostgreSQL drops all sessions then."""
        before = self._panics()

        async def has_panicked() -> bool:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection = await asyncpg.connect(self.url, timeout=5)
                try:
                    await connection.execute("SELECT pg_logical_emit_message(false, '', ''), pg_switch_wal()")
                finally:
                    await connection.close(timeout=5)
            return self._panics() > before

        await wait_until(has_panicked, "the WAL is full", timeout_seconds=_START_SECONDS, every_seconds=0.1)

    def _panics(self) -> int:
        return (self._directory / "postgresql.log").read_text(errors="replace").count("PANIC")

    @property
    def alive(self) -> bool:
        """Whether its first process lives; it ends by itself when it cannot recover."""
        try:
            return not _is_gone(self._pid())
        except FileNotFoundError:
            return False

    def _pid(self) -> int:
        return int((self._directory / "postgresql" / "postmaster.pid").read_text().splitlines()[0])

    @property
    def socket(self) -> Path:
        return Path(self.url.partition("host=")[2]) / ".s.PGSQL.5432"

    async def stop(self) -> None:
        await self._server.stop()


def _is_gone(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return False
    return True


@dataclass(frozen=True, slots=True)
class Servers:
    """Both, and a template of a migrated database; the broker is None where no scenario of the run needs one."""

    postgres: Postgres
    databases: PostgresServer
    broker: KafkaBroker | None


@asynccontextmanager
async def servers(directory: Path, *, kafka: bool, links: int = 3) -> AsyncIterator[Servers]:
    """Servers of our own, stopped at the end. Raises KafkaUnavailable where a broker is wanted and cannot be had."""
    async with AsyncExitStack() as stack:
        postgres = Postgres(directory)
        await postgres.start()
        stack.push_async_callback(postgres.stop)
        databases = PostgresServer(postgres.url)
        await postgres.wait_for_no_disk()
        async with MIGRATING:
            await databases.make_template()
        broker = None
        if kafka:
            running = broker_on_this_machine(links=links)
            starting = asyncio.create_task(asyncio.to_thread(running.__enter__))
            stack.push_async_callback(_stopped, running, starting)
            broker = await asyncio.shield(starting)
        yield Servers(postgres, databases, broker)


async def _stopped(running: AbstractContextManager[KafkaBroker], starting: asyncio.Task[LocalBroker]) -> None:
    """Whoever is not waited for any more starts all the same."""
    with suppress(KafkaUnavailable):
        await starting
        await asyncio.to_thread(running.__exit__, None, None, None)
