"""Tells streams that their workspace's feed has grown, whichever process it was that told something."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from services.pipeline.feed import entries
from shared.db.engine import Database
from shared.errors import RateLimited

_RETRY_SECONDS = 5.0


@dataclass(slots=True)
class FeedWatch:
    """The streams of one process: at most `most_streams`, woken by `wake` and `look`, ended by `close`."""

    database: Database
    most_streams: int
    closed: bool = False
    _open: Counter[str] = field(default_factory=Counter)
    _seen: dict[str, int] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def streams(self) -> int:
        """How many are open."""
        return self._open.total()

    def check_room(self) -> None:
        """Raise RateLimited when one more stream would be too many."""
        if self.streams >= self.most_streams:
            raise RateLimited(f"{self.most_streams} streams are open already", retry_after_seconds=_RETRY_SECONDS)

    @contextmanager
    def listening(self, workspace: str) -> Iterator[None]:
        """Count a stream of `workspace` as open."""
        self._open[workspace] += 1
        try:
            yield
        finally:
            self._open[workspace] -= 1

    def wake(self) -> None:
        """Something was told by this process: let every stream look."""
        self._changed.set()
        self._changed = asyncio.Event()

    def close(self) -> None:
        """The process is about to end: streams end now, and resume elsewhere."""
        self.closed = True
        self.wake()

    async def look(self) -> int:
        """Wake the streams if another process has told something in one of their workspaces."""
        listening = {workspace for workspace, count in self._open.items() if count > 0}
        self._seen = {workspace: seen for workspace, seen in self._seen.items() if workspace in listening}
        grown = False
        for workspace in sorted(listening):
            async with self.database.transaction(workspace) as connection:
                newest = await entries.newest(connection, workspace)
            grown |= newest != self._seen.get(workspace)
            self._seen[workspace] = newest
        if grown:
            self.wake()
        return 0

    def next_change(self) -> asyncio.Event:
        """Set by the next `wake`: to be asked for before one looks, so that nothing falls in between."""
        return self._changed

    async def happens(self, change: asyncio.Event, timeout_seconds: float) -> bool:
        """Wait for a change; false when none came in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await change.wait()
        return change.is_set()
