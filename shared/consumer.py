"""A consumer as a task of a service: the loop, its metrics, and whether it lives."""

import asyncio
import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from shared.events.topics import TopicSpec
from shared.log.dead_letter import initialise_dead_letters
from shared.log.loop import Handle, Progress, consume
from shared.log.protocol import ReceivedRecord
from shared.observability import metrics
from shared.service import Context
from shared.settings import Settings

_METRICS_EVERY_SECONDS = 1.0


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
        self._shown: set[tuple[str, str, str]] = set()
        _initialise(group)
        for topic in self._topics:
            initialise_dead_letters(topic)

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set. Raises what the loop raises: a bug, which ends the process."""
        watching = asyncio.create_task(self._watch(), name=f"{self._group} consumer metrics")
        try:
            await consume(
                self._context.log,
                self._topics,
                group=self._group,
                member=member_name(self._context.settings),
                handle=self._counted,
                stop=stop,
                progress=self._progress,
                max_records=self._max_records,
            )
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    async def _counted(self, records: Sequence[ReceivedRecord]) -> None:
        await self._handle(records)
        metrics.CONSUMER_BATCH.labels(self._group).observe(len(records))

    def stuck(self) -> str | None:
        """Why the consumer makes no progress although it could, or None."""
        return self._progress.stuck()

    async def _watch(self) -> None:
        before = Progress()
        while True:
            self._publish(before)
            before = replace(self._progress)
            await asyncio.sleep(_METRICS_EVERY_SECONDS)

    def _publish(self, before: Progress) -> None:
        now, progress, group = time.time(), self._progress, self._group
        metrics.CONSUMER_ASSIGNED.labels(group).set(len(progress.assignment))
        metrics.CONSUMER_PROGRESS.labels(group).set(now - (time.monotonic() - progress.last_progress))
        metrics.CONSUMER_RECORDS.labels(group).inc(progress.records_handled - before.records_handled)
        metrics.CONSUMER_RETRIES.labels(group).inc(progress.failures - before.failures)
        metrics.CONSUMER_REBALANCES.labels(group).inc(progress.rebalances.number - before.rebalances.number)
        waited = progress.rebalances.seconds - before.rebalances.seconds
        metrics.CONSUMER_REBALANCE_SECONDS.labels(group).inc(waited)
        for reason, failed, known in (
            ("rejected", progress.commits_rejected, before.commits_rejected),
            ("unavailable", progress.commits_unanswered, before.commits_unanswered),
        ):
            metrics.CONSUMER_COMMIT_FAILURES.labels(group, reason).inc(failed - known)
        self._publish_lag()

    def _publish_lag(self) -> None:
        """Of the partitions that this member holds; what another one reads now is the other's to tell."""
        held = self._progress.assignment
        lags = {part: lag for part, lag in self._progress.lag_at(datetime.now(UTC)).items() if part in held}
        shown = {(self._group, part.topic, str(part.number)): lag for part, lag in lags.items()}
        for labels in self._shown - shown.keys():
            metrics.CONSUMER_LAG_RECORDS.remove(*labels)
            metrics.CONSUMER_LAG_SECONDS.remove(*labels)
        for labels, lag in shown.items():
            metrics.CONSUMER_LAG_RECORDS.labels(*labels).set(lag.records)
            metrics.CONSUMER_LAG_SECONDS.labels(*labels).set(lag.seconds)
        self._shown = set(shown)


def _initialise(group: str) -> None:
    for counter in (
        metrics.CONSUMER_RECORDS,
        metrics.CONSUMER_RETRIES,
        metrics.CONSUMER_REBALANCES,
        metrics.CONSUMER_REBALANCE_SECONDS,
    ):
        counter.labels(group)
    metrics.CONSUMER_BATCH.labels(group)
    for reason in metrics.COMMIT_REASONS:
        metrics.CONSUMER_COMMIT_FAILURES.labels(group, reason)
