"""The way to the log, with a limit on how much may be on it.

The log itself commits in groups: what arrives during one write goes out together in the next, so a burst of
single webhooks costs a few commits. What must not happen is that memory fills while the log is slow.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

from services.ingest.metrics import APPEND_DURATION, WAITING_EVENTS
from shared.errors import LogUnavailable
from shared.events.topics import PARKED_ELEMENTS
from shared.log.protocol import Log, Record, sizes_of


@dataclass(frozen=True, slots=True)
class PublisherLimits:
    """How much may wait for the log at once; the request that exceeds it is still taken, the next is not."""

    waiting_records: int
    waiting_bytes: int


class Publisher:
    """Publishes events to one topic, and beside it what became none."""

    def __init__(
        self, log: Log, topic: str, limits: PublisherLimits, *, aside_topic: str = PARKED_ELEMENTS.name
    ) -> None:
        self._log = log
        self._topic = topic
        self._aside_topic = aside_topic
        self._limits = limits
        self._waiting_records = 0
        self._waiting_bytes = 0
        WAITING_EVENTS.set_function(lambda: self._waiting_records)

    async def publish(self, records: Sequence[Record], aside: Sequence[Record] = ()) -> None:
        """Return when all `records`, and those put `aside`, are durable.

        Raises LogUnavailable, within the log's publish timeout, saying whether they may still appear; at once
        when too much waits already.
        """
        batches = [(topic, batch) for topic, batch in ((self._topic, records), (self._aside_topic, aside)) if batch]
        if not batches:
            return
        if self._waiting_records >= self._limits.waiting_records or self._waiting_bytes >= self._limits.waiting_bytes:
            raise LogUnavailable("too many events wait for the log", outcome_unknown=False)
        number, size_bytes = len(records) + len(aside), sum(sizes_of(records)) + sum(sizes_of(aside))
        self._move(number, size_bytes)
        began = perf_counter()
        try:
            if len(batches) == 1:
                await self._log.publish(*batches[0])
            else:
                await self._publish_both(batches)
        finally:
            APPEND_DURATION.observe(perf_counter() - began)
            self._move(-number, -size_bytes)

    async def _publish_both(self, batches: Sequence[tuple[str, Sequence[Record]]]) -> None:
        """At the same time; what one of the two did makes the outcome of the other's failure unknown."""
        results = await asyncio.gather(
            *(self._log.publish(topic, batch) for topic, batch in batches), return_exceptions=True
        )
        failures = [result for result in results if isinstance(result, BaseException)]
        for failure in failures:
            if not isinstance(failure, LogUnavailable):
                raise failure
        if failures:
            nothing_happened = len(failures) == len(batches) and not any(
                isinstance(failure, LogUnavailable) and failure.outcome_unknown for failure in failures
            )
            raise LogUnavailable(str(failures[0]), outcome_unknown=not nothing_happened) from failures[0]

    def _move(self, records: int, size_bytes: int) -> None:
        self._waiting_records += records
        self._waiting_bytes += size_bytes
