"""Work that is looked for again and again: due moments, leads behind, snapshots of backlogs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from shared.errors import TransientError
from shared.observability import metrics
from shared.service import Task

logger = logging.getLogger(__name__)

_TROUBLE_SECONDS = 1.0


def every(seconds: float, work: Callable[[], Awaitable[int]], *, name: str) -> Task:
    """A task that runs `work` every `seconds`, and again at once as long as it found something to do.

    Trouble that may pass is waited out: `work` does all or nothing and will find the same again.
    """
    failures, done = metrics.PERIODIC_FAILURES.labels(name), metrics.PERIODIC_DONE.labels(name)

    async def run(stop: asyncio.Event) -> None:
        done.set_to_current_time()
        while not stop.is_set():
            try:
                found = await work()
            except TransientError as error:
                failures.inc()
                logger.warning("periodic work waits", extra={"work": name, "error": str(error)})
                await _pause(stop, _TROUBLE_SECONDS)
                continue
            done.set_to_current_time()
            if not found:
                await _pause(stop, seconds)

    return run


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
