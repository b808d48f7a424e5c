"""Group commit: whatever arrives while one write is under way goes out together in the next.

One write at a time keeps the order of publishing, and makes a thousand small publishes cost a few writes.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

from msgspec import Struct

from shared.deadlines import within
from shared.errors import DatabaseUnavailable, InvalidInput, LogUnavailable
from shared.observability.metrics import OTHER, PRODUCER_ERRORS

Item = TypeVar("Item")

# A request that has arrived takes two turns to submit. A write is not kept waiting for more than some milliseconds.
_QUIET_TURNS = 2
_MOST_TURNS = 20


class _Submission(Struct, Generic[Item], eq=False):
    items: Sequence[Item]
    size: int
    done: asyncio.Future[None]
    taken: bool = False


class Flusher(Generic[Item]):
    """One lane of writes. `write` is never called concurrently.

    A write holds submissions of up to `max_bytes` together; a larger one goes alone.

    What `write` raises is raised to everybody whose items were in that write.
    """

    def __init__(self, write: Callable[[Sequence[Item]], Awaitable[None]], *, max_bytes: int) -> None:
        self._write = write
        self._max_bytes = max_bytes
        self._waiting: deque[_Submission[Item]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def submit(self, items: Sequence[Item], *, size: int, timeout_seconds: float) -> None:
        """Return when `items`, of `size` bytes together, are written. Raises LogUnavailable after the timeout.

        Items that no write has taken yet are withdrawn then, and the error says that they will not appear.
        """
        submission = _Submission(items, size, asyncio.get_running_loop().create_future())
        self._waiting.append(submission)
        if self._task is None or self._task.done():
            # It works for everybody who comes meanwhile: it must not log in the name of the first.
            self._task = asyncio.create_task(self._flush(), name="log flusher", context=Context())
        try:
            with within(timeout_seconds):
                await submission.done
        except TimeoutError as error:
            message = f"the log did not confirm within {timeout_seconds} s"
            raise LogUnavailable(message, outcome_unknown=submission.taken) from error
        finally:
            if not submission.taken:
                self._waiting.remove(submission)

    async def close(self) -> None:
        """Give up what is still waiting or under way."""
        while self._waiting:
            submission = self._waiting.popleft()
            submission.taken = True
            _fail(submission, LogUnavailable("the log is closed", outcome_unknown=False))
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=1)

    async def _flush(self) -> None:
        while self._waiting:
            await self._gather()
            batch = self._next_batch()
            if not batch:
                return
            try:
                await self._write([item for submission in batch for item in submission.items])
            except asyncio.CancelledError:
                for submission in batch:
                    _fail(submission, LogUnavailable("the log was closed meanwhile", outcome_unknown=True))
                raise
            except Exception as error:  # noqa: BLE001 - it belongs to those who wait
                PRODUCER_ERRORS.labels(_kind_of(error)).inc()
                for submission in batch:
                    _fail(submission, error)
            else:
                for submission in batch:
                    if not submission.done.done():
                        submission.done.set_result(None)

    async def _gather(self) -> None:
        """Let everybody come along who is about to submit: turns of the loop as long as they bring somebody."""
        quiet = 0
        for _ in range(_MOST_TURNS):
            before = len(self._waiting)
            await asyncio.sleep(0)
            quiet = 0 if len(self._waiting) > before else quiet + 1
            if quiet == _QUIET_TURNS:
                return

    def _next_batch(self) -> list[_Submission[Item]]:
        batch: list[_Submission[Item]] = []
        size = 0
        while self._waiting and (not batch or size + self._waiting[0].size <= self._max_bytes):
            submission = self._waiting.popleft()
            submission.taken = True
            size += submission.size
            batch.append(submission)
        return batch


def _kind_of(error: Exception) -> str:
    """The label of a write that failed; engines say by its cause what it was."""
    cause = error.__cause__ or error
    name = type(cause).__name__
    if isinstance(error, InvalidInput):
        return "refused"
    if isinstance(cause, TimeoutError) or "Timeout" in name or "TimedOut" in name:
        return "timeout"
    if isinstance(cause, OSError | DatabaseUnavailable) or "Connection" in name or "NotAvailable" in name:
        return "connection"
    return "fault" if "Producer" in name or "Sequence" in name else OTHER


def _fail(submission: _Submission[Item], error: Exception) -> None:
    if not submission.done.done():
        submission.done.set_exception(error)
