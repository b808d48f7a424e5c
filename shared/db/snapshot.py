"""What a service must know on every request but may know two seconds late: a copy in memory.

Requests read the copy, so they cost no query and go on while PostgreSQL is away.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeVar

from shared.errors import TransientError

_log = logging.getLogger(__name__)
T = TypeVar("T")


class NotLoaded(TransientError):
    """Nothing has been read from PostgreSQL since the start; nothing was done with the request."""


class Snapshot(Generic[T]):
    """The last value that `load` gave. `run` keeps it fresh; a failed load leaves the last one standing."""

    def __init__(self, load: Callable[[], Awaitable[T]], *, name: str, interval_seconds: float = 2.0) -> None:
        self._load = load
        self._name = name
        self._interval_seconds = interval_seconds
        self._value: T | None = None
        self._stale = False

    def current(self) -> T:
        """The last value. Raises NotLoaded before the first one."""
        if self._value is None:
            raise NotLoaded(f"the {self._name} have not been read yet")
        return self._value

    async def refresh(self) -> None:
        """Read the value now. Raises TransientError, and the last value stays."""
        self._value = await self._load()

    async def run(self, stop: asyncio.Event) -> None:
        """Refresh until `stop` is set; trouble that may pass is logged once and outlived."""
        while not stop.is_set():
            await self._refresh_or_keep()
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._interval_seconds)

    async def _refresh_or_keep(self) -> None:
        try:
            await self.refresh()
        except TransientError as error:
            if not self._stale:
                _log.warning("snapshot not refreshed", extra={"of": self._name, "error": str(error)})
            self._stale = True
            return
        if self._stale:
            _log.info("snapshot refreshed again", extra={"of": self._name})
        self._stale = False
