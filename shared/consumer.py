"""A consumer as a task of a service: the loop, its metrics, and whether it lives."""

import asyncio
import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress

from shared.events.topics import TopicSpec
from shared.log.loop import Handle, Progress, consume
from shared.observability import metrics
from shared.service import Context
from shared.settings import Settings

_METRICS_EVERY_SECONDS = 1.0
_STUCK_AFTER_SECONDS = 60.0


def member_name(settings: Settings) -> str:
    """The name under which this process joins groups: the configured one, or one that is unique, since no two
    processes of a machine listen on the same port, and mostly the same after a restart.
    """
    return settings.instance or f"{socket.gethostname()}-{settings.port or os.getpid()}"


class ConsumerTask:
    """Reads `topics` as `group` and hands batches to `handle`, the service's one unit of work."""

    def __init__(
        self, context: Context, topics: Sequence[TopicSpec], *, group: str, handle: Handle, max_records: int
    ) -> None:
        self._context = context
        self._topics = [topic.name for topic in topics]
        self._group = group
        self._handle = handle
        self._max_records = max_records
        self._progress = Progress()

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set. Raises what the loop raises: a bug, which ends the process."""
        watching = asyncio.create_task(self._watch(), name=f"{self._group} consumer metrics")
        try:
            await consume(
                self._context.log,
                self._topics,
                group=self._group,
                member=member_name(self._context.settings),
                handle=self._handle,
                stop=stop,
                progress=self._progress,
                max_records=self._max_records,
            )
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    def stuck(self) -> str | None:
        """Why the consumer makes no progress although it could, or None."""
        seconds = self._progress.stalled_seconds()
        return f"no progress for {seconds:.0f} s" if seconds > _STUCK_AFTER_SECONDS else None

    async def _watch(self) -> None:
        before = Progress()
        while True:
            self._publish(before)
            before.records_handled = self._progress.records_handled
            before.failures = self._progress.failures
            await asyncio.sleep(_METRICS_EVERY_SECONDS)

    def _publish(self, before: Progress) -> None:
        now, progress, group = time.time(), self._progress, self._group
        metrics.CONSUMER_ASSIGNED.labels(group).set(len(progress.assignment))
        metrics.CONSUMER_PROGRESS.labels(group).set(now - (time.monotonic() - progress.last_progress))
        metrics.CONSUMER_RECORDS.labels(group).inc(progress.records_handled - before.records_handled)
        metrics.CONSUMER_RETRIES.labels(group).inc(progress.failures - before.failures)
        for partition, lag in progress.lag.items():
            labels = (group, partition.topic, str(partition.number))
            metrics.CONSUMER_LAG_RECORDS.labels(*labels).set(lag.records)
            metrics.CONSUMER_LAG_SECONDS.labels(*labels).set(lag.seconds)
