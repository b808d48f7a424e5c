"""Rebuilding: every lead computed anew from its stored events, beside live traffic; and verifying without writing.

A rebuild is cut into parts. A part advances by one transaction for some leads, which also says how far it came, so
that whatever ends a rebuild, the next one goes on from there.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from multiprocessing.util import Finalize
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.scorer.domain.counting.tally import tally_of
from services.scorer.domain.events.event import as_event
from services.scorer.domain.lead import NO_MODEL, ActiveModel, Lead, Outcome, rebuilt
from services.scorer.domain.models.document import parse_model
from services.scorer.domain.scores.digest import digest_of, fingerprint
from services.scorer.domain.verification import Difference, Repair, differences, repaired
from services.scorer.leads import history, stored_leads
from services.scorer.leads import repository as lead_repository
from services.scorer.leads.history import LeadHistory, Progress, Task, Tuning
from services.scorer.leads.stored_leads import Contended
from services.scorer.models import repository as model_repository
from services.scorer.models.versions import ModelBook
from services.scorer.rebuild import repository
from services.scorer.rebuild.repository import Part, Run
from shared.clock import Clock, SystemClock
from shared.db.engine import Database
from shared.db.outbox import Outbox, Outgoing
from shared.errors import Refused, TransientError
from shared.events.curve import EPOCH, microseconds
from shared.events.json import Json
from shared.events.topics import LEAD_SCORES
from shared.sealing.data_keys import Sealing

STEP_LEADS: Final = 100
LISTED_LEADS: Final = 100
_PARTS: Final = 32
_ATTEMPTS: Final = 8
_FIRST_WAIT_SECONDS: Final = 0.1
_LONGEST_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild did, in all of its runs together."""

    model_version: int
    resumed: bool
    leads: int
    repaired: int
    told: int


@dataclass(frozen=True, slots=True)
class Differing:
    """A lead that is stored otherwise than its events have it."""

    lead_id: UUID
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Verification:
    """What verifying found; `differing` are the first of the `different` leads, by id."""

    model_version: int
    at: datetime
    leads: int
    different: int
    differing: tuple[Differing, ...]
    digest: str


async def rebuild(
    database: Database,
    workspace: str,
    clock: Clock,
    *,
    processes: int,
    restart: bool = False,
    step_leads: int = STEP_LEADS,
    on_progress: Callable[[Progress], None] | None = None,
) -> Rebuilt:
    """Compute every lead of the workspace anew, going on with the last rebuild if that was cut short.

    With 0 `processes` it is done in this one, by `clock`. Raises Refused while another rebuild goes on, and
    TransientError when PostgreSQL stays in trouble: then what is done is done.
    """
    async with _turn(database, workspace):
        run, resumed = await _begun(database, workspace, clock, restart=restart, step_leads=step_leads)
        steps = _Steps(_Setup(database.url, database.sealing, run, step_leads), processes, clock)
        async with database.transaction(workspace) as connection:
            parts = await repository.parts_of(connection, run.id)
        parts = await steps.run(parts, on_progress)
        async with database.transaction(workspace) as connection:
            await repository.end(connection, run.id, clock.now(), abandoned=False)
    return Rebuilt(
        model_version=run.model_version,
        resumed=resumed,
        leads=sum(part.done for part in parts),
        repaired=sum(part.repaired for part in parts),
        told=sum(part.told for part in parts),
    )


async def verify(
    database: Database,
    workspace: str,
    clock: Clock,
    *,
    at: datetime | None = None,
    listed: int = LISTED_LEADS,
    tuning: Tuning,
) -> Verification:
    """Compare every lead with its stored events, as of one moment of the database; nothing is written.

    Scores are compared, and the digest taken, at `at`: by default when the last event of the workspace happened,
    which is the same wherever the same events are.
    """
    async with history.snapshot(database, workspace) as taken:
        moment = at or await history.last_event_at(taken.connection, workspace) or EPOCH
        version, document = await _active(taken.connection, workspace)
        argument = _Verify(version, document, moment, clock.now(), listed)
        parts = await history.map_leads(taken, workspace, Task(read_stored, prepare_verifying, argument), tuning)
    differing = [lead for part in parts for lead in part.differing]
    return Verification(
        model_version=version,
        at=moment,
        leads=sum(len(part.fingerprints) for part in parts),
        different=sum(part.different for part in parts),
        differing=tuple(differing[:listed]),
        digest=digest_of(found for part in parts for found in part.fingerprints),
    )


class StoredLead(NamedTuple):
    """A lead as it is stored, and its events."""

    lead: Lead
    history: LeadHistory


async def read_stored(connection: AsyncConnection, ids: Sequence[UUID]) -> list[StoredLead]:
    """These leads as they are stored, with their events; exact within a snapshot."""
    leads = await stored_leads.read(connection, ids)
    return [StoredLead(leads[each.lead_id], each) for each in await history.histories_of(connection, ids)]


@dataclass(frozen=True, slots=True)
class _Verify:
    version: int
    document: Json
    at: datetime
    now: datetime
    listed: int


@dataclass(frozen=True, slots=True)
class _Verified:
    fingerprints: tuple[bytes, ...]
    different: int
    differing: tuple[Differing, ...]


def prepare_verifying(argument: _Verify) -> Callable[[Sequence[StoredLead]], _Verified]:
    """What verifies a chunk of leads; the model is compiled once per process."""
    model = NO_MODEL.model if argument.document is None else parse_model(argument.document)
    active = ActiveModel(argument.version, model)

    def verified(leads: Sequence[StoredLead]) -> _Verified:
        fingerprints: list[bytes] = []
        differing: list[Differing] = []
        for stored in leads:
            state = rebuilt(active, stored.lead, stored.history.events).state
            found = differences(active, stored.lead, state, at=argument.at, now=argument.now)
            if found:
                differing.append(Differing(stored.history.lead_id, found))
            tally = tally_of(model, state)
            events = map(as_event, stored.history.events)
            fingerprints.append(fingerprint(model, events, tally, microseconds(argument.at)))
        return _Verified(tuple(fingerprints), len(differing), tuple(differing[: argument.listed]))

    return verified


async def _active(connection: AsyncConnection, workspace: str) -> tuple[int, Json]:
    versions = await model_repository.active_versions(connection, [workspace])
    if workspace not in versions:
        return NO_MODEL.version, None
    published = await model_repository.model_of(connection, workspace, versions[workspace])
    assert published is not None, "an active version is a published one"
    return published.version, published.document


@asynccontextmanager
async def _turn(database: Database, workspace: str) -> AsyncIterator[None]:
    """Keeps every other rebuild of the workspace away, until this one ends or its connection breaks."""
    patient = Database(database.url, pool_size=1, timeout_seconds=_LONGEST_SECONDS, sealing=database.sealing)
    try:
        async with patient.transaction(workspace) as connection:
            # This transaction is idle all the time; it holds nothing but the turn.
            await connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            if not await repository.take_turn(connection, workspace):
                raise Refused(f"another rebuild of {workspace} goes on", code="rebuild_going_on")
            yield
    finally:
        await patient.close()


async def _begun(
    database: Database, workspace: str, clock: Clock, *, restart: bool, step_leads: int
) -> tuple[Run, bool]:
    """The rebuild to go on with, and whether it was begun before. One of another model version is no use."""
    async with database.transaction(workspace) as connection:
        version, _ = await _active(connection, workspace)
        unended = await repository.unended(connection, workspace)
        if unended is not None and unended.model_version == version and not restart:
            return unended, True
        if unended is not None:
            await repository.end(connection, unended.id, clock.now(), abandoned=True)
        leads = await history.count_leads(connection, workspace)
        number = max(1, min(_PARTS, leads // step_leads))
        bounds = await repository.split(connection, workspace, number)
        await repository.begin(connection, workspace, version, bounds, clock.now())
        run = await repository.unended(connection, workspace)
        assert run is not None, "it was just begun"
        return run, False


class _Steps:
    """Brings all parts of a rebuild to their ends, several at a time."""

    def __init__(self, setup: "_Setup", processes: int, clock: Clock) -> None:
        self._setup = setup
        self._processes = processes
        self._clock = clock

    async def run(self, parts: Sequence[Part], on_progress: Callable[[Progress], None] | None) -> list[Part]:
        known = {part.number: part for part in parts}
        waiting = [part for part in parts if not part.finished]

        def advanced(part: Part) -> None:
            known[part.number] = part
            if on_progress is not None:
                done = sum(each.done for each in known.values())
                on_progress(Progress(done, max(done, sum(each.bounds.leads for each in known.values()))))

        if not self._processes:
            await self._here(waiting, advanced)
        else:
            await self._in_processes(waiting, advanced)
        return list(known.values())

    async def _here(self, waiting: Sequence[Part], advanced: Callable[[Part], None]) -> None:
        async with _stepper(self._setup, self._clock) as stepper:
            for part in waiting:
                while not part.finished:
                    part = await stepper.step(part)  # noqa: PLW2901 - the same part, further on
                    advanced(part)

    async def _in_processes(self, waiting: list[Part], advanced: Callable[[Part], None]) -> None:
        async with history.worker_processes(self._processes, _open_worker, self._setup) as pool:

            async def take_parts() -> None:
                while waiting:
                    part = waiting.pop()
                    while not part.finished:
                        part = await history.result_of(pool, _work_step, part)
                        advanced(part)

            tasks = [asyncio.create_task(take_parts()) for _ in range(self._processes)]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class _Setup:
    url: str
    sealing: Sealing
    run: Run
    step_leads: int


class _Stepper:
    """Does one step after the other, in whatever process it is."""

    def __init__(self, setup: _Setup, database: Database, clock: Clock) -> None:
        self._setup = setup
        self._database = database
        self._clock = clock
        self._book = ModelBook()
        self._outbox = Outbox("scorer")

    async def step(self, part: Part) -> Part:
        """The next leads of the part; returns how far it is then. Trouble that may pass is waited out."""
        wait_seconds = _FIRST_WAIT_SECONDS
        for _ in range(_ATTEMPTS - 1):
            try:
                return await self._step(part)
            except TransientError:
                await asyncio.sleep(wait_seconds)
                wait_seconds *= 2
        return await self._step(part)

    async def _step(self, part: Part) -> Part:
        read = await self._read(part)
        computed = {
            id_: repaired(read.active, stored.lead, stored.history.events, self._clock.now())
            for id_, stored in read.leads.items()
        }
        async with self._database.transaction(self._setup.run.workspace) as connection:
            return await self._write(connection, part, read, computed)

    async def _read(self, part: Part) -> "_Read":
        """The leads to be done next, as of one moment, without holding up anybody."""
        workspace, bounds = self._setup.run.workspace, part.bounds
        async with self._database.reading(workspace) as connection:
            ids = await history.lead_ids(
                connection, workspace, after=part.last or bounds.after, upto=bounds.upto, limit=self._setup.step_leads
            )
            active = (await self._book.active(connection, [workspace]))[workspace]
            marks = await lead_repository.lead_marks(connection, ids)
            stored = await read_stored(connection, ids)
        return _Read(active, marks, {each.history.lead_id: each for each in stored})

    async def _write(
        self, connection: AsyncConnection, part: Part, read: "_Read", computed: Mapping[UUID, Repair]
    ) -> Part:
        ids = list(computed)
        leads = await stored_leads.lock(connection, ids)
        active = (await self._book.active(connection, [self._setup.run.workspace]))[self._setup.run.workspace]
        if active.version != read.active.version:
            raise Contended("another model version counts since the leads were read")
        marks = await lead_repository.lead_marks(connection, ids)
        if len(marks) < len(ids):
            raise Contended("a lead was erased since the leads were read")
        changed = [id_ for id_ in ids if marks[id_] != read.marks[id_]]
        repairs = {**computed, **await self._again(connection, active, leads, changed)}
        outcomes = {id_: Outcome(repair.lead, repair.messages) for id_, repair in repairs.items()}
        await stored_leads.save(connection, leads, outcomes)
        differing = [id_ for id_, repair in repairs.items() if repair.differences]
        await lead_repository.forget_shadows(connection, differing)
        told = list(_outgoing(repairs))
        await self._outbox.append(connection, told)
        after = replace(
            part,
            last=max(ids, default=part.last),
            done=part.done + len(ids),
            repaired=part.repaired + len(differing),
            told=part.told + len(told),
            finished=len(ids) < self._setup.step_leads,
        )
        await repository.save_part(connection, self._setup.run.id, after)
        return after

    async def _again(
        self, connection: AsyncConnection, active: ActiveModel, leads: Mapping[UUID, Lead], changed: Sequence[UUID]
    ) -> dict[UUID, Repair]:
        """Leads to whom something happened since they were read, computed once more now that they are locked."""
        found = await history.histories_of(connection, changed)
        now = self._clock.now()
        return {each.lead_id: repaired(active, leads[each.lead_id], each.events, now) for each in found}


@dataclass(frozen=True, slots=True)
class _Read:
    active: ActiveModel
    marks: Mapping[UUID, str]
    leads: Mapping[UUID, StoredLead]


def _outgoing(repairs: Mapping[UUID, Repair]) -> Iterable[Outgoing]:
    for id_, repair in repairs.items():
        for message in repair.messages:
            yield Outgoing(LEAD_SCORES, str(id_), message)


@asynccontextmanager
async def _stepper(setup: _Setup, clock: Clock) -> AsyncIterator[_Stepper]:
    database = Database(setup.url, pool_size=1, sealing=setup.sealing)
    try:
        yield _Stepper(setup, database, clock)
    finally:
        await database.close()


class _Worker:
    """A stepper with a loop of its own, for as long as its process lives."""

    def __init__(self, setup: _Setup) -> None:
        self._runner = asyncio.Runner()
        self._opened = _stepper(setup, SystemClock())
        self._stepper = self._runner.run(self._open())

    def step(self, part: Part) -> Part:
        return self._runner.run(self._stepper.step(part))

    def close(self) -> None:
        self._runner.run(self._close())
        self._runner.close()

    async def _open(self) -> _Stepper:
        return await self._opened.__aenter__()

    async def _close(self) -> None:
        await self._opened.__aexit__(None, None, None)


_worker: _Worker | None = None


def _open_worker(setup: _Setup) -> None:
    global _worker  # noqa: PLW0603 - the only place a pool leaves for what a process keeps between calls
    _worker = _Worker(setup)
    Finalize(_worker, _worker.close, exitpriority=1)


def _work_step(part: Part) -> Part:
    assert _worker is not None, "the initializer ran"
    return _worker.step(part)
