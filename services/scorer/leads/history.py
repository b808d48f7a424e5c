"""Stored histories, lead by lead: what recomputing, comparing and testing models read.

Everything read through one `Snapshot` is of one moment, in this process and in its workers, however long it
takes and whatever is counted meanwhile. An open snapshot keeps PostgreSQL from vacuuming what is newer.
"""

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from multiprocessing import connection as pipes
from multiprocessing.util import Finalize
from typing import Any, Final, Generic, NamedTuple, TypeAlias, TypeVar
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.scorer.leads import stored_leads
from shared.db.engine import Database
from shared.errors import TransientError
from shared.events.accepting import AcceptedEvent
from shared.garbage import collect_seldom
from shared.sealing.data_keys import Sealing

Argument = TypeVar("Argument")
Item = TypeVar("Item")
Result = TypeVar("Result")

CHUNK_LEADS: Final = 200
_LONGEST_SECONDS = 3600.0
# Chunks handed out per worker: one in work, one waiting, so that none idles while its result travels.
_AHEAD = 2
# Not one of those that were erased, whose rows an old backup has brought back.
_STANDS = "id NOT IN (SELECT unnest(leads) FROM sealing.erasure WHERE workspace = :workspace)"


class LeadHistory(NamedTuple):
    """A surviving lead and every event that counts for it, those of leads it absorbed included.

    In the order in which they count as having happened. Retracted events are not among them.
    """

    lead_id: UUID
    events: tuple[AcceptedEvent, ...]


class Progress(NamedTuple):
    """How many of the workspace's leads are done."""

    done: int
    leads: int


# Reads what the work needs of these leads, within the snapshot.
Read: TypeAlias = Callable[[AsyncConnection, Sequence[UUID]], Awaitable[list[Item]]]
# Built once per process from a picklable argument; then given one chunk of leads after the other.
Work: TypeAlias = Callable[[Sequence[Item]], Result]
Prepare: TypeAlias = Callable[[Argument], Work[Item, Result]]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of the database. Another session reads the same with `SET TRANSACTION SNAPSHOT id`."""

    connection: AsyncConnection
    id: str
    url: str
    sealing: Sealing


class WorkerDied(TransientError):
    """A worker process ended before its work: killed, or out of memory."""


@asynccontextmanager
async def snapshot(database: Database, workspace: str) -> AsyncIterator[Snapshot]:
    """Hold one moment of the database, for reading alone."""
    async with _reading(database.url, database.sealing, workspace) as connection:
        exported = await connection.execute(text("SELECT pg_export_snapshot()"))
        yield Snapshot(connection, str(exported.scalar_one()), database.url, database.sealing)


async def lead_ids(
    connection: AsyncConnection, workspace: str, *, after: UUID | None = None, upto: UUID | None = None, limit: int
) -> list[UUID]:
    """The first `limit` surviving leads after `after` and up to `upto`, by id."""
    rows = await connection.execute(
        text(f"""
            SELECT id FROM scorer.lead
            WHERE workspace = :workspace AND merged_into IS NULL AND {_STANDS}
              AND (CAST(:after AS uuid) IS NULL OR id > :after) AND (CAST(:upto AS uuid) IS NULL OR id <= :upto)
            ORDER BY id LIMIT :limit
        """),  # noqa: S608 - a constant
        {"workspace": workspace, "after": after, "upto": upto, "limit": limit},
    )
    return [row.id for row in rows]


async def count_leads(connection: AsyncConnection, workspace: str) -> int:
    """How many leads the workspace has; those that were merged into another are not counted."""
    rows = await connection.execute(
        text(f"""
            SELECT count(*) FROM scorer.lead WHERE workspace = :workspace AND merged_into IS NULL AND {_STANDS}
        """),  # noqa: S608 - a constant
        {"workspace": workspace},
    )
    return int(rows.scalar_one())


async def last_event_at(connection: AsyncConnection, workspace: str) -> datetime | None:
    """When the last event of the workspace that counts happened; None if there is none."""
    rows = await connection.execute(
        text("""
            SELECT max(least(occurred_at, received_at)) FROM scorer.event
            WHERE workspace = :workspace AND NOT voided
        """),
        {"workspace": workspace},
    )
    found: datetime | None = rows.scalar_one()
    return found


async def histories_of(connection: AsyncConnection, leads: Sequence[UUID]) -> list[LeadHistory]:
    """The histories of these leads, in the order given."""
    found = await stored_leads.histories(connection, leads)
    return [LeadHistory(lead, tuple(sorted(found[lead], key=_order))) for lead in leads]


@dataclass(frozen=True, slots=True)
class Task(Generic[Argument, Item, Result]):
    """What to read of leads, and what to make of it.

    For other processes `read` and `prepare` must be functions of a module, and argument and results pickle.
    """

    read: Read[Item]
    prepare: Prepare[Argument, Item, Result]
    argument: Argument


@dataclass(frozen=True, slots=True)
class Tuning:
    """How a pass over all leads is done. With 0 `processes` it is done in this one, and holds up the loop."""

    processes: int
    chunk_leads: int = CHUNK_LEADS
    on_progress: Callable[[Progress], None] | None = None


async def map_leads(
    taken: Snapshot, workspace: str, task: Task[Argument, Item, Result], tuning: Tuning
) -> list[Result]:
    """What the task makes of each chunk of the workspace's leads, in the order of their ids.

    All processes read the snapshot, each by a connection of its own. Raises WorkerDied if one was killed, and
    what the work itself raises.
    """
    bar = _Bar(await count_leads(taken.connection, workspace), tuning.on_progress)
    found = _pages(taken.connection, workspace, limit=tuning.chunk_leads)
    if not tuning.processes:
        return await _mapped_here(taken.connection, found, task, bar)
    setup = _Setup(taken.url, taken.sealing, workspace, taken.id, task)
    async with worker_processes(tuning.processes, _open_worker, setup) as pool:
        return await _mapped(found, pool, bar, ahead=tuning.processes * _AHEAD)


@asynccontextmanager
async def worker_processes(
    number: int, prepare: Callable[..., None], *arguments: object
) -> AsyncIterator[ProcessPoolExecutor]:
    """`number` new processes, each set up by `prepare(*arguments)`, that end with this one whatever ends it."""
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(number, spawn, initializer=_begin, initargs=(prepare, arguments))
    try:
        yield pool
    finally:
        await asyncio.to_thread(pool.shutdown, wait=True, cancel_futures=True)


async def result_of(pool: Executor, work: Callable[..., Result], *arguments: object) -> Result:
    """What `work(*arguments)` returns in a worker. Raises WorkerDied."""
    try:
        return await asyncio.get_running_loop().run_in_executor(pool, work, *arguments)
    except BrokenProcessPool as error:
        raise WorkerDied("a worker process was killed; start the command again") from error


class _Bar:
    """Counts what is done, and tells whoever wants to know."""

    def __init__(self, leads: int, told: Callable[[Progress], None] | None) -> None:
        self._leads, self._told, self._done = leads, told, 0
        self.advance(0)

    def advance(self, leads: int) -> None:
        self._done += leads
        if self._told is not None:
            self._told(Progress(self._done, self._leads))


async def _pages(connection: AsyncConnection, workspace: str, *, limit: int) -> AsyncIterator[list[UUID]]:
    """All surviving leads of the workspace by id, `limit` at a time."""
    after: UUID | None = None
    while page := await lead_ids(connection, workspace, after=after, limit=limit):
        yield page
        after = page[-1]


async def _mapped_here(
    connection: AsyncConnection,
    found: AsyncIterator[list[UUID]],
    task: Task[Argument, Item, Result],
    bar: _Bar,
) -> list[Result]:
    work = task.prepare(task.argument)
    results: list[Result] = []
    async for page in found:
        results.append(work(await task.read(connection, page)))
        bar.advance(len(page))
    return results


async def _mapped(found: AsyncIterator[list[UUID]], pool: Executor, bar: _Bar, *, ahead: int) -> list[Any]:
    turns = asyncio.Semaphore(ahead)

    async def chunk(page: list[UUID]) -> object:
        try:
            result = await result_of(pool, _work_chunk, page)
        finally:
            turns.release()
        bar.advance(len(page))
        return result

    try:
        async with asyncio.TaskGroup() as group:
            tasks = []
            async for page in found:
                await turns.acquire()
                tasks.append(group.create_task(chunk(page)))
    except ExceptionGroup as errors:
        raise _first(errors) from None
    return [task.result() for task in tasks]


def _first(errors: ExceptionGroup[Exception]) -> Exception:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, ExceptionGroup) else first


@dataclass(frozen=True, slots=True)
class _Setup:
    """What a worker needs to begin."""

    url: str
    sealing: Sealing
    workspace: str
    snapshot: str
    task: Task[Any, Any, Any]


class _Worker:
    """A worker's loop, connection and work, for as long as its process lives."""

    def __init__(self, setup: _Setup) -> None:
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._read = setup.task.read
        self._work = setup.task.prepare(setup.task.argument)
        self._connection = self._runner.run(
            self._stack.enter_async_context(_reading(setup.url, setup.sealing, setup.workspace, setup.snapshot))
        )

    def do(self, page: list[UUID]) -> object:
        return self._work(self._runner.run(self._read_page(page)))

    async def _read_page(self, page: list[UUID]) -> list[Any]:
        return await self._read(self._connection, page)

    def close(self) -> None:
        self._runner.run(self._stack.aclose())
        self._runner.close()


_worker: _Worker | None = None


def _open_worker(setup: _Setup) -> None:
    global _worker  # noqa: PLW0603 - the only place a pool leaves for what a process keeps between calls
    _worker = _Worker(setup)
    Finalize(_worker, _worker.close, exitpriority=1)


def _work_chunk(page: list[UUID]) -> Any:
    assert _worker is not None, "the initializer ran"
    return _worker.do(page)


def _begin(prepare: Callable[..., None], arguments: tuple[object, ...]) -> None:
    """Every worker's beginning. Ctrl-C is the parent's to obey; and a parent that was killed can tell nobody."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    collect_seldom()
    prepare(*arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker is started by somebody"
    pipes.wait([parent.sentinel])
    os._exit(1)


@asynccontextmanager
async def _reading(
    url: str, sealing: Sealing, workspace: str, snapshot_id: str | None = None
) -> AsyncIterator[AsyncConnection]:
    """A connection that reads one moment only, on a pool of its own: it may take longer than a service may."""
    patient = Database(url, pool_size=1, timeout_seconds=_LONGEST_SECONDS, sealing=sealing)
    try:
        async with patient.reading(workspace, snapshot_id=snapshot_id) as connection:
            yield connection
    finally:
        await patient.close()


def _order(event: AcceptedEvent) -> tuple[datetime, str, str]:
    return min(event.occurred_at, event.received_at), event.id, event.source
