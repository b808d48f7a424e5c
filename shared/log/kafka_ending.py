"""Ending what aiokafka began, within a time, whatever it does meanwhile."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

logger = logging.getLogger(__name__)

_CANCEL_SECONDS = 1.0


async def ended(call: Coroutine[Any, Any, object], *, timeout_seconds: float) -> bool:
    """Whether `call` ended well in time; else it is cancelled and what it raised is logged, never raised.

    It runs in a task of its own because aiokafka's stop can let the CancelledError of an inner task out,
    which would look as if the caller had been cancelled.
    """
    task = asyncio.ensure_future(call)
    await asyncio.wait([task], timeout=timeout_seconds)
    if not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_CANCEL_SECONDS)
    if task.done() and not task.cancelled() and task.exception() is None:
        return True
    failure = "cancelled" if not task.done() or task.cancelled() else type(task.exception()).__name__
    logger.warning("a Kafka client did not end by itself", extra={"failure": failure})
    return False
