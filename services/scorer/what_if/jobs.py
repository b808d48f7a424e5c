"""Simulations in the background: asked for by API, kept in PostgreSQL, done by one scorer after the other.

A job belongs to nobody but the process that is heard of: when one dies, another takes its jobs up from the start,
and a job that took several processes with it is given up.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from time import monotonic
from typing import Final
from uuid import UUID, uuid4

from pydantic import TypeAdapter

from services.scorer import metrics
from services.scorer.leads.history import Progress, Tuning
from services.scorer.what_if import repository
from services.scorer.what_if.repository import Job
from services.scorer.what_if.simulating import Simulated, Wanted, checked, simulate
from shared.clock import Clock
from shared.db.engine import Database
from shared.db.quota import Quota
from shared.db.reach import ALL_WORKSPACES
from shared.errors import InvalidInput, TransientError

logger = logging.getLogger(__name__)

SIMULATED: Final = TypeAdapter(Simulated)
WANTED: Final = TypeAdapter(Wanted)
KEPT: Final = 50
LOST_AFTER: Final = timedelta(seconds=30)
_ATTEMPTS: Final = 3
_UNFINISHED: Final = Quota(
    things="waiting simulations",
    code="too_many_simulations",
    count="SELECT count(*) FROM scorer.simulation WHERE workspace = :workspace AND status IN ('waiting', 'running')",
    remedy="ask again when one is done, or raise LEADFLOW_SCORER_MOST_WAITING_SIMULATIONS",
)
_POLL_SECONDS: Final = 1.0
_ALIVE_SECONDS: Final = 3.0


class Simulations:
    """The queue of simulations of all workspaces. All raise TransientError when PostgreSQL is in trouble."""

    def __init__(
        self, database: Database, clock: Clock, *, processes: int, most: int, new_id: Callable[[], UUID] = uuid4
    ) -> None:
        self._database = database
        self._clock = clock
        self._processes = processes
        self._most = most
        self._new_id = new_id

    async def ask(self, workspace: str, wanted: Wanted, *, by: str) -> Job:
        """Put a simulation into the queue. Raises Refused when `most` wait, and what `checked` raises."""
        job = Job(
            id=self._new_id(),
            workspace=workspace,
            request=WANTED.dump_python(checked(wanted), mode="json"),
            requested_at=self._clock.now(),
            requested_by=by,
            status="waiting",
            attempts=0,
            started_at=None,
            finished_at=None,
            done=0,
            leads=None,
            result=None,
            error=None,
        )
        async with self._database.transaction(workspace) as connection:
            await _UNFINISHED.admit_one(connection, workspace, most=self._most)
            await repository.ask(connection, job)
            await repository.forget_old(connection, workspace, keep=KEPT)
        return job

    async def find(self, workspace: str, id_: UUID) -> Job:
        """A simulation that was asked for, with its result once it is done. Raises InvalidInput (`not_found`)."""
        async with self._database.transaction(workspace) as connection:
            job = await repository.job_of(connection, workspace, id_)
        if job is None:
            raise InvalidInput("there is no such simulation", code="not_found")
        return job

    async def list(self, workspace: str) -> list[Job]:
        """Those that are kept, the newest first, without their results."""
        async with self._database.transaction(workspace) as connection:
            return await repository.jobs_of(connection, workspace)

    async def run(self, stop: asyncio.Event) -> None:
        """Do what waits, one after the other, until `stop` is set; what is in hand then is left to others."""
        while not stop.is_set():
            try:
                found = await self.work_once(stop)
            except TransientError as error:
                logger.warning("simulations wait", extra={"error": str(error)})
                found = False
            if not found:
                await _pause(stop, _POLL_SECONDS)

    async def work_once(self, stop: asyncio.Event) -> bool:
        """Do the oldest that waits or lost its process; returns whether there was one."""
        now = self._clock.now()
        async with self._database.transaction(ALL_WORKSPACES) as connection:
            job = await repository.take(connection, now, lost_before=now - LOST_AFTER)
            if job is not None and job.attempts > _ATTEMPTS:
                error = f"given up: {_ATTEMPTS} times the process that did it died"
                await repository.fail(connection, job, now, error)
                return True
        if job is not None:
            await self._work(job, stop)
        return job is not None

    async def _work(self, job: Job, stop: asyncio.Event) -> None:
        progress = Progress(0, 0)

        def told(now: Progress) -> None:
            nonlocal progress
            progress = now

        doing = asyncio.create_task(self._do(job, told))
        stopping = asyncio.create_task(stop.wait())
        try:
            while not doing.done() and not stop.is_set():
                await asyncio.wait({doing, stopping}, timeout=_ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if not await self._still_ours(job, progress):
                    return
        finally:
            stopping.cancel()
            if not doing.done():
                doing.cancel()
                with suppress(asyncio.CancelledError):
                    await doing
        if doing.cancelled():
            async with self._database.transaction(job.workspace) as connection:
                await repository.give_back(connection, job)
            return
        doing.result()

    async def _do(self, job: Job, told: Callable[[Progress], None]) -> None:
        """Simulate, and keep what came of it. Trouble that may pass is nobody's fault: the job is taken up again."""
        try:
            wanted = WANTED.validate_python(job.request)
            tuning = Tuning(self._processes, on_progress=told)
            began = monotonic()
            done = await simulate(self._database, job.workspace, wanted, now=self._clock.now(), tuning=tuning)
        except TransientError:
            raise
        except Exception as error:  # noqa: BLE001
            # A document that trips over a fault of ours must not take the scorer with it.
            logger.error("simulation failed", extra={"simulation": str(job.id), "error": type(error).__name__})
            words = str(error) if isinstance(error, InvalidInput) else "leadflow failed"
            async with self._database.transaction(job.workspace) as connection:
                await repository.fail(connection, job, self._clock.now(), words)
            return
        metrics.SIMULATION_SECONDS.observe(monotonic() - began)
        metrics.SIMULATED_LEADS.inc(done.result.leads)
        result, leads = SIMULATED.dump_python(done, mode="json"), done.result.leads
        async with self._database.transaction(job.workspace) as connection:
            await repository.finish(connection, job, self._clock.now(), result=result, leads=leads)

    async def _still_ours(self, job: Job, progress: Progress) -> bool:
        async with self._database.transaction(job.workspace) as connection:
            return await repository.keep_alive(
                connection, job, self._clock.now(), done=progress.done, leads=progress.leads
            )


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
