"""One run of one contestant: fresh topics, fresh state, fresh database; then the gate; then its figures."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
from msgspec.json import decode

from benchmarks.peers import answers, environment
from benchmarks.peers.arena import (
    CROSSINGS,
    Arena,
    Feed,
    feeding,
    forget,
    make_changelogs,
    over_tcp,
    read_all,
    table,
)
from benchmarks.peers.contestants import Class, Contestant, start, start_leadflow
from benchmarks.peers.data import Made, Mix, record
from benchmarks.peers.draining import Failed, Process, Used, drained, ended, free_port
from benchmarks.peers.gate import Found, Left, faults
from benchmarks.peers.oracle import MODEL_FILE, Expected
from benchmarks.peers.watching import Watch, on_disk, watching
from services.scorer.models import versions
from shared.clock import SystemClock
from shared.db.engine import Database
from shared.documents.yaml_text import read_yaml
from shared.events.topics import ENGAGEMENT_EVENTS, LEAD_SCORES

# Whoever has told its result has everything where it must be: it may leave, but nobody waits for it.
_LEAVE_SECONDS = 1.0
_LOOK_SECONDS = 0.05
# Why there may be no answer: it was not done, cannot be run here, or what it left behind cannot be read.
UNKNOWN = (Failed, environment.Absent, TimeoutError, ValueError)


@dataclass(frozen=True, slots=True)
class Task:
    """The data of a run, with the right answer."""

    mix: Mix
    records: Sequence[Made]
    expected: Expected

    @property
    def numbers(self) -> Mapping[str, int]:
        """Leads by the key that their records have."""
        return {answers.key_of_lead(lead): lead for lead in {record.lead for record in self.records}}


@dataclass(frozen=True, slots=True)
class Figures:
    """Processor seconds per million records, records a second, megabytes at most, bytes of state a record.

    `refused`: why there are none; `ran`: it was tried.
    """

    contestant: str
    state: Class
    mix: Mix
    engine: float = 0.0
    postgres: float = 0.0
    broker: float = 0.0
    rate: float = 0.0
    memory: float = 0.0
    disk: float = 0.0
    doubled: int = 0
    refused: str | None = None
    ran: bool = True


async def run(
    arena: Arena, contestant: Contestant, state: Class, task: Task, *, number: int, limit_seconds: float
) -> Figures:
    """One run; never raises for what an engine did."""
    try:
        async with holding(arena, contestant, state, task, number=number, limit_seconds=limit_seconds) as held:
            await held.feed.publish(held.records())
            used = await held.end(held.start(events=len(task.records)))
            postgres, broker = held.watch.between(used.began, used.began + used.seconds)
            disk = await held.state_bytes()
            found = await held.found()
            wrong = faults(task.expected, found, as_of_us=held.as_of_us)
    except UNKNOWN as error:
        return Figures(
            contestant.name, state, task.mix, refused=str(error), ran=not isinstance(error, environment.Absent)
        )
    if wrong:
        return Figures(contestant.name, state, task.mix, refused="; ".join(wrong))
    millions = len(task.records) / 1e6
    return Figures(
        contestant.name,
        state,
        task.mix,
        engine=used.cpu_seconds / millions,
        postgres=postgres / millions,
        broker=broker / millions,
        rate=len(task.records) / used.seconds,
        memory=held.watch.peak_megabytes,
        disk=disk / len(task.records),
        doubled=found.doubled,
    )


@asynccontextmanager
async def holding(
    arena: Arena, contestant: Contestant, state: Class, task: Task, *, number: int, limit_seconds: float
) -> AsyncIterator["Held"]:
    """Everything that a run needs of its own, gone afterwards."""
    prefix, directory, bootstrap = f"run{number}-", arena.directory / f"run{number}", arena.broker.bootstrap
    ours = contestant.module == "leadflow"
    directory.mkdir()
    async with AsyncExitStack() as stack:
        feed = await stack.enter_async_context(feeding(bootstrap, prefix, leadflow=ours))
        stack.push_async_callback(forget, bootstrap, prefix)
        if contestant.changelogs:
            await make_changelogs(bootstrap, [f"{prefix}group-{name}" for name in contestant.changelogs])
        url = await stack.enter_async_context(arena.postgres.fresh_url(migrated=ours))
        port = await stack.enter_async_context(over_tcp(arena.socket_directory))
        if ours:
            await _publish_model(url)
        elif state == "B":
            await table(url)
        empty, as_of = await _database_bytes(url), datetime.now(UTC).replace(microsecond=0)
        watch = await stack.enter_async_context(watching(arena.used))
        yield Held(
            arena,
            contestant,
            state,
            task,
            prefix=prefix,
            directory=directory,
            feed=feed,
            url=url,
            port=port,
            empty=empty,
            as_of=as_of,
            watch=watch,
            limit_seconds=limit_seconds,
        )


@dataclass(frozen=True, slots=True)
class Started:
    """A contestant's process; `port` is where leadflow listens."""

    process: Process
    port: int


@dataclass(frozen=True, slots=True)
class Held:
    """A run being held: how its contestant is started, awaited and asked. `empty` is its database before the work."""

    arena: Arena
    contestant: Contestant
    state: Class
    task: Task
    prefix: str
    directory: Path
    feed: Feed
    url: str
    port: int
    empty: int
    as_of: datetime
    watch: Watch
    limit_seconds: float

    @property
    def ours(self) -> bool:
        """Whether it is leadflow's run."""
        return self.contestant.module == "leadflow"

    @property
    def as_of_us(self) -> int:
        """The moment that the peers' scores are of."""
        return answers.microseconds(self.as_of)

    @property
    def group(self) -> str:
        """The consumer group of a peer."""
        return self.prefix + "group"

    @property
    def source(self) -> str:
        """The topic that is read."""
        return self.prefix + ENGAGEMENT_EVENTS.name

    def records(self) -> list[tuple[bytes, bytes]]:
        """The data, as ingest writes them."""
        return [record(made, self.as_of) for made in self.task.records]

    def start(
        self, *, events: int, more: Mapping[str, object] | None = None, settings: Mapping[str, str] | None = None
    ) -> Started:
        """Start it, or start it again: same group, same state. `more` is for an adapter, `settings` for leadflow.

        Raises environment.Absent.
        """
        port = free_port()
        process = (
            self._start_leadflow(port, settings or {})
            if self.ours
            else start(self.contestant, {**self._job(events), **(more or {})}, self.directory)
        )
        self.watch.follow(process.pid)
        return Started(process, port)

    async def end(self, started: Started) -> Used:
        """Wait until all is done. Raises Failed if that takes too long, or if it ends before."""
        records = len(self.task.records)
        try:
            if self.ours:
                return await drained(self.url, {started.port: started.process}, records, self.limit_seconds)
            return await self._result(started.process)
        except Failed as error:
            raise Failed(f"{error}: {self._said()}") from None
        finally:
            await ended(started.process, ask=self.ours, patience_seconds=_LEAVE_SECONDS)

    async def found(self) -> Found:
        """The answer, wherever this contestant has left it."""
        numbers = self.task.numbers
        if self.ours:
            return answers.published_by_leadflow(await self.published(), numbers, self.as_of_us)
        crossings = await read_all(self.arena.broker.bootstrap, self.prefix + CROSSINGS.name)
        leads = {numbers[key]: Left(*lead) for key, lead in (await self._leads()).items()}
        return Found(leads, [numbers[key.decode()] for key, _ in crossings])

    async def published(self) -> list[answers.Message]:
        """All that leadflow has told of its leads."""
        return await read_all(self.arena.broker.bootstrap, self.prefix + LEAD_SCORES.name)

    async def state_bytes(self) -> int:
        """What its state takes on disk: own files, changelog topics, and what has grown in PostgreSQL."""
        own = [self._state, *self.arena.changelogs(self.prefix)]
        return on_disk(*own) + await _database_bytes(self.url) - self.empty

    @property
    def _state(self) -> Path:
        return self.directory / "state"

    @property
    def _told(self) -> Path:
        return self.directory / "result.json"

    def _job(self, events: int) -> dict[str, object]:
        database = self.url.rpartition("/")[2].partition("?")[0]
        postgres = f"host={self.arena.socket_directory} user=leadflow dbname={database}"
        jdbc = f"jdbc:postgresql://127.0.0.1:{self.port}/{database}?user=leadflow&sslmode=disable&gssEncMode=disable"
        return {
            "bootstrap": self.arena.broker.bootstrap,
            "source": self.source,
            "crossings": self.prefix + CROSSINGS.name,
            "group": self.group,
            "events": events,
            "as_of_us": self.as_of_us,
            "tuned": self.contestant.tuned,
            "state_dir": str(self._state),
            "result": str(self._told),
            "postgres": postgres if self.state == "B" else None,
            "jdbc": jdbc if self.state == "B" else None,
            "batch": self.contestant.batch,
            "progress": None,
            "session_seconds": None,
            "follow": False,
            "first": {},
        }

    def _start_leadflow(self, port: int, settings: Mapping[str, str]) -> Process:
        return start_leadflow(
            url=self.url,
            bootstrap=self.arena.broker.bootstrap,
            prefix=self.prefix,
            port=port,
            batch=self.contestant.batch,
            directory=self.directory,
            settings=settings,
        )

    async def _result(self, process: Process) -> Used:
        try:
            async with asyncio.timeout(self.limit_seconds):
                while not self._told.exists():
                    if process.poll() is not None and not self._told.exists():
                        raise Failed("ended without a result")
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            raise Failed(f"did not finish in {self.limit_seconds:g} s") from None
        self.watch.look()
        told: dict[str, Any] = decode(self._told.read_text())
        return Used(told["cpu_seconds"], told["seconds"], told["began"])

    async def _leads(self) -> dict[str, answers.Lead]:
        if self.state == "B":
            return await answers.table(self.url)
        told = decode(self._told.read_text())
        if "leads" in told:
            return {key: tuple(lead) for key, lead in told["leads"].items()}
        return await answers.changelog(self.arena.broker.bootstrap, self.contestant.module, self.prefix)

    def _said(self) -> str:
        """The end of what its process wrote."""
        said = (self.directory / "said").read_text(errors="replace").strip().splitlines()
        return " | ".join(said[-3:])[-400:]


async def _publish_model(url: str) -> None:
    database = Database(url)
    document = read_yaml(MODEL_FILE.read_text())
    await versions.publish(database, SystemClock(), "default", document, by="peers", reason="peers")
    await database.close()


async def _database_bytes(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("SELECT pg_database_size(current_database())"))
    finally:
        await connection.close()
