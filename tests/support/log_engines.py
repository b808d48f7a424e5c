"""Both engines of the log behind one face, so that one contract suite can start, starve and kill them."""

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import asyncpg

from shared.db.embedded_postgres import EmbeddedPostgres
from shared.db.engine import Database
from shared.db.migrations import migrate
from shared.events.topics import TopicSpec
from shared.log.embedded import EmbeddedLog
from shared.log.kafka import KafkaLog
from shared.log.protocol import Log
from tests.support.kafka_broker import KafkaBroker

PUBLISH_TIMEOUT_SECONDS = 2.0


def a_topic(*, partitions: int = 4) -> TopicSpec:
    """A topic that no other test knows."""
    return TopicSpec(
        name=f"contract-{uuid.uuid4().hex[:12]}",
        partitions=partitions,
        retention_seconds=86_400,
        key="any",
        producers=("tests",),
        consumers=("tests",),
    )


class LogEngine(Protocol):
    """What the suite may know: how to reach the log, and how to take its server away."""

    name: str
    address: str
    session_timeout_seconds: float

    def opened(self, *, started: bool = True) -> AbstractAsyncContextManager[Log]:
        """A log object of its own, as another process would have."""
        ...

    def frozen(self) -> AbstractAsyncContextManager[None]:
        """The server takes requests and does not answer."""
        ...

    async def take_away(self) -> None: ...

    async def bring_back(self) -> None: ...


@asynccontextmanager
async def opened_log(
    name: str, address: str, *, session_timeout_seconds: float, started: bool = True
) -> AsyncIterator[Log]:
    if name == "kafka":
        kafka = KafkaLog(
            address,
            publish_timeout_seconds=PUBLISH_TIMEOUT_SECONDS,
            session_timeout_seconds=session_timeout_seconds,
        )
        async with _running(kafka, started=started):
            yield kafka
        return
    database = Database(address, timeout_seconds=5)
    embedded = EmbeddedLog(
        database,
        publish_timeout_seconds=PUBLISH_TIMEOUT_SECONDS,
        session_timeout_seconds=session_timeout_seconds,
    )
    try:
        async with _running(embedded, started=started):
            yield embedded
    finally:
        await database.close()


@asynccontextmanager
async def _running(log: Log, *, started: bool) -> AsyncIterator[None]:
    if started:
        await log.start()
    try:
        yield
    finally:
        await log.stop()


class EmbeddedEngine:
    """The log in PostgreSQL; only with a server of its own (`server`) can it be taken away."""

    name = "embedded"

    def __init__(self, address: str, server: EmbeddedPostgres | None = None) -> None:
        self.address = address
        self.session_timeout_seconds = 2.0
        self._server = server

    def opened(self, *, started: bool = True) -> AbstractAsyncContextManager[Log]:
        return opened_log(
            self.name, self.address, session_timeout_seconds=self.session_timeout_seconds, started=started
        )

    @asynccontextmanager
    async def frozen(self) -> AsyncIterator[None]:
        connection = await asyncpg.connect(self.address)
        try:
            async with connection.transaction():
                await connection.execute("LOCK TABLE log.partitions IN ACCESS EXCLUSIVE MODE")
                yield
        finally:
            await connection.close()

    async def take_away(self) -> None:
        assert self._server is not None
        await self._server.stop()

    async def bring_back(self) -> None:
        assert self._server is not None
        await self._server.start()


@asynccontextmanager
async def embedded_engine_of_its_own(data_dir: Path) -> AsyncIterator[EmbeddedEngine]:
    server = EmbeddedPostgres(data_dir)
    address = await server.start()
    try:
        database = Database(address)
        await migrate(database)
        await database.close()
        yield EmbeddedEngine(address, server)
    finally:
        await server.stop()


class KafkaEngine:
    """The log on a real broker; only one that the tests started can be taken away."""

    name = "kafka"

    def __init__(self, broker: KafkaBroker) -> None:
        self.address = broker.bootstrap
        self.session_timeout_seconds = max(2.0, broker.shortest_session_seconds)
        self._broker = broker

    def opened(self, *, started: bool = True) -> AbstractAsyncContextManager[Log]:
        return opened_log(
            self.name, self.address, session_timeout_seconds=self.session_timeout_seconds, started=started
        )

    @asynccontextmanager
    async def frozen(self) -> AsyncIterator[None]:
        os.kill(self._broker.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._broker.pid, signal.SIGCONT)

    async def take_away(self) -> None:
        await asyncio.to_thread(self._broker.kill)

    async def bring_back(self) -> None:
        await asyncio.to_thread(self._broker.start)
