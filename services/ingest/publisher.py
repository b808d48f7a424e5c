"""The way to the log, with a limit on how much may be on it.

The log itself commits in groups: what arrives during one write goes out together in the next, so a burst of
single webhooks costs a few commits. What must not happen is that memory fills while the log is slow.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from services.ingest.metrics import APPEND_DURATION, WAITING_EVENTS
from shared.errors import LogUnavailable
from shared.log.protocol import Log, Record, size_of


@dataclass(frozen=True, slots=True)
class PublisherLimits:
    """How much may wait for the log at once; the request that exceeds it is still taken, the next is not."""

    waiting_records: int
    waiting_bytes: int


class Publisher:
    """Publishes to one topic."""

    def __init__(self, log: Log, topic: str, limits: PublisherLimits) -> None:
        self._log = log
        self._topic = topic
        self._limits = limits
        self._waiting_records = 0
        self._waiting_bytes = 0

    async def publish(self, records: Sequence[Record]) -> None:
        """Return when all records are durable.

        Raises LogUnavailable, within the log's publish timeout, saying whether they may still appear; at once
        when too much waits already.
        """
        if not records:
            return
        with self._waiting(records), APPEND_DURATION.time():
            await self._log.publish(self._topic, records)

    @contextmanager
    def _waiting(self, records: Sequence[Record]) -> Iterator[None]:
        if self._waiting_records >= self._limits.waiting_records or self._waiting_bytes >= self._limits.waiting_bytes:
            raise LogUnavailable("too many events wait for the log", outcome_unknown=False)
        size_bytes = sum(size_of(record) for record in records)
        self._move(len(records), size_bytes)
        try:
            yield
        finally:
            self._move(-len(records), -size_bytes)

    def _move(self, records: int, size_bytes: int) -> None:
        self._waiting_records += records
        self._waiting_bytes += size_bytes
        WAITING_EVENTS.set(self._waiting_records)
