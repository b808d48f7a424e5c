"""Group commit: the events of all requests that wait go to the log in one call, and each request hears of its own.

One task publishes. While it waits for the log the next group gathers, so a burst of single webhooks costs a
few commits, and nobody waits for more than the commit under way and the next.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from services.ingest.metrics import APPEND_DURATION, COMMIT_EVENTS
from shared.errors import InvalidInput, LeadflowError, LogUnavailable
from shared.log.protocol import Log, Record

_STALLED_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class PublisherLimits:
    """How much may wait, how much goes at once, and for how long a request waits at most."""

    waiting_records: int
    waiting_bytes: int
    commit_records: int
    timeout_seconds: float


@dataclass(slots=True)
class _Waiting:
    """The records of one request, and whom to tell. `taken` once they are on their way to the log."""

    records: Sequence[Record]
    size_bytes: int
    told: asyncio.Future[None]
    taken: bool = False


class Publisher:
    """Publishes to one topic. `run` is its task; without it nothing is accepted."""

    def __init__(self, log: Log, topic: str, limits: PublisherLimits) -> None:
        self._log = log
        self._topic = topic
        self._limits = limits
        self._queue: deque[_Waiting] = deque()
        self._waiting_records = 0
        self._waiting_bytes = 0
        self._arrived = asyncio.Event()
        self._running = False
        self._busy_since: float | None = None

    async def publish(self, records: Sequence[Record]) -> None:
        """Return when all records are durable.

        Raises LogUnavailable, within the timeout, saying whether they may still appear, and InvalidInput
        when the log takes none of them because one is too large.
        """
        if not records:
            return
        waiting = self._enqueue(records)
        try:
            async with asyncio.timeout(self._limits.timeout_seconds):
                await waiting.told
        except TimeoutError as error:
            raise LogUnavailable("the log did not confirm in time", outcome_unknown=waiting.taken) from error

    async def run(self, stop: asyncio.Event) -> None:
        """Publish what arrives until `stop` is set, then what still waits."""
        self._running = True
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                await self._until_arrival(stopping)
                await self._publish_waiting()
        finally:
            self._running = False
            stopping.cancel()
            self._turn_away_waiting()

    def progress(self) -> str | None:
        """Why the publisher does not get on although something waits, or None."""
        if self._busy_since is not None and time.monotonic() - self._busy_since > _STALLED_SECONDS:
            return f"the log has not answered for {_STALLED_SECONDS:g} s"
        return None

    def _enqueue(self, records: Sequence[Record]) -> _Waiting:
        size_bytes = sum(len(record.value) for record in records)
        full = self._waiting_records >= self._limits.waiting_records
        if not self._running or full or self._waiting_bytes >= self._limits.waiting_bytes:
            raise LogUnavailable("too many events wait for the log", outcome_unknown=False)
        waiting = _Waiting(records, size_bytes, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._waiting_records += len(records)
        self._waiting_bytes += size_bytes
        self._arrived.set()
        return waiting

    async def _until_arrival(self, stopping: asyncio.Task[bool]) -> None:
        if self._arrived.is_set():
            return
        arrival = asyncio.create_task(self._arrived.wait())
        try:
            await asyncio.wait({arrival, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            arrival.cancel()

    async def _publish_waiting(self) -> None:
        while group := self._take():
            await self._publish_group(group)
        self._arrived.clear()

    def _take(self) -> list[_Waiting]:
        """The next group: whole requests, oldest first, without those that nobody waits for any more."""
        group: list[_Waiting] = []
        count = 0
        while self._queue and (not group or count + len(self._queue[0].records) <= self._limits.commit_records):
            waiting = self._queue.popleft()
            self._waiting_records -= len(waiting.records)
            self._waiting_bytes -= waiting.size_bytes
            if not waiting.told.done():
                waiting.taken = True
                group.append(waiting)
                count += len(waiting.records)
        return group

    async def _publish_group(self, group: Sequence[_Waiting]) -> None:
        try:
            await self._append(group)
        except InvalidInput as error:
            await self._publish_one_by_one(group, error)
        except LogUnavailable as error:
            _fail(group, error)
        except BaseException:
            _fail(group, LogUnavailable("the log failed", outcome_unknown=True))
            raise
        else:
            for waiting in group:
                _tell(waiting, None)

    async def _publish_one_by_one(self, group: Sequence[_Waiting], error: InvalidInput) -> None:
        """One request's record that is too large is not the trouble of the others."""
        if len(group) == 1:
            _fail(group, error)
            return
        for waiting in group:
            await self._publish_group([waiting])

    async def _append(self, group: Sequence[_Waiting]) -> None:
        records = [record for waiting in group for record in waiting.records]
        COMMIT_EVENTS.observe(len(records))
        self._busy_since = time.monotonic()
        try:
            with APPEND_DURATION.time():
                await self._log.publish(self._topic, records)
        finally:
            self._busy_since = None

    def _turn_away_waiting(self) -> None:
        _fail(list(self._queue), LogUnavailable("leadflow is stopping", outcome_unknown=False))
        self._queue.clear()
        self._waiting_records = self._waiting_bytes = 0


def _fail(group: Sequence[_Waiting], error: LeadflowError) -> None:
    for waiting in group:
        _tell(waiting, error)


def _tell(waiting: _Waiting, error: LeadflowError | None) -> None:
    """Each request gets an exception of its own: a shared one would gather everybody's traceback."""
    if waiting.told.done():
        return
    match error:
        case None:
            waiting.told.set_result(None)
        case LogUnavailable():
            own = LogUnavailable(str(error), outcome_unknown=error.outcome_unknown)
            waiting.told.set_exception(own)
        case _:
            waiting.told.set_exception(error)
