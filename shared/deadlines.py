"""`asyncio.timeout` for what is awaited by the thousand and is hardly ever late: one timer for all who wait.

A timer of each wait's own would be set and cleared again for nothing, which costs more than many a wait's work.
"""

import asyncio
from math import inf
from types import TracebackType


def within(seconds: float) -> "_Wait":
    """A block that must be through in time, else it raises TimeoutError; the block of a task, as a plain `with`."""
    global _watch  # noqa: PLW0603 - a process has one loop, and tests one after the other
    loop = asyncio.get_running_loop()
    if _watch is None or _watch.loop is not loop:
        _watch = _Watch(loop)
    return _Wait(_watch, loop.time() + seconds)


class _Wait:
    """The block of one task. What it does with `cancel` and `uncancel` is what `asyncio.Timeout` does."""

    __slots__ = ("_cancelling", "_is_late", "_task", "_watch", "deadline")

    def __init__(self, watch: "_Watch", deadline: float) -> None:
        self._watch = watch
        self._is_late = False
        self.deadline = deadline

    def __enter__(self) -> None:
        task = asyncio.current_task(self._watch.loop)
        if task is None:
            raise RuntimeError("only a task can be told that it is late")
        self._task = task
        self._cancelling = task.cancelling()
        self._watch.add(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watch.waits.discard(self)
        if self._is_late and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def end(self) -> None:
        """It is late."""
        self._is_late = True
        self._task.cancel()


class _Watch:
    """Those who wait in one loop, and the timer for the first of them that would be late."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.waits: set[_Wait] = set()
        self._looks_at = inf
        self._timer: asyncio.TimerHandle | None = None

    def add(self, wait: _Wait) -> None:
        self.waits.add(wait)
        if wait.deadline < self._looks_at:
            self._look_at(wait.deadline)

    def _look_at(self, moment: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._looks_at, self._timer = moment, self.loop.call_at(moment, self._look)

    def _look(self) -> None:
        self._looks_at, self._timer = inf, None
        now = self.loop.time()
        late = [wait for wait in self.waits if wait.deadline <= now]
        self.waits.difference_update(late)
        for wait in late:
            wait.end()
        if self.waits:
            self._look_at(min(wait.deadline for wait in self.waits))


_watch: _Watch | None = None
