"""Waiting for conditions instead of sleeping."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable


async def wait_until(
    condition: Callable[[], bool | Awaitable[bool]],
    what: str,
    *,
    timeout_seconds: float = 60.0,
    every_seconds: float = 0.02,
) -> None:
    """Return as soon as `condition` holds; fail, naming `what` was waited for, when it does not in time."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        outcome = condition()
        if await outcome if inspect.isawaitable(outcome) else outcome:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_seconds} s: {what}")
        await asyncio.sleep(every_seconds)
