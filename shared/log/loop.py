"""The one loop every consumer runs: poll, handle, commit. It knows no message type."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from shared.errors import CommitRejected, TransientError
from shared.failpoints import reach
from shared.log.protocol import Consumer, Lag, Log, Partition, Rebalances, ReceivedRecord, next_offsets
from shared.retry import RetryPolicy

logger = logging.getLogger(__name__)

Handle = Callable[[Sequence[ReceivedRecord]], Awaitable[None]]

_POLL_SECONDS = 1.0
_LAG_EVERY_SECONDS = 5.0
_STUCK_AFTER_SECONDS = 60.0


@dataclass(slots=True)
class Progress:
    """What a consumer loop does, for liveness and metrics. Times are of the monotonic clock, in seconds.

    Progress is a batch handled and committed, or an empty poll while nothing is known to wait: a client
    that silently stopped fetching makes none. A loop that waits out somebody else's trouble is paused
    deliberately: it lives, and restarting it would help nobody. Once that is over it has its whole time again.
    """

    last_progress: float = field(default_factory=time.monotonic)
    last_pause: float = float("-inf")
    paused: bool = False
    last_error: str | None = None
    failures_in_row: int = 0
    failures: int = 0
    records_handled: int = 0
    commits_rejected: int = 0
    commits_unanswered: int = 0
    rebalances: Rebalances = field(default_factory=Rebalances)
    assignment: frozenset[Partition] = frozenset()
    lag: Mapping[Partition, Lag] = field(default_factory=dict)
    in_hand: Sequence[ReceivedRecord] = ()

    def lag_at(self, now: datetime) -> dict[Partition, Lag]:
        """The lag as it was last asked for, and at least what is in hand: a batch that hangs, or comes again and
        again, is asked about no more, and what it holds grows older.
        """
        lags = dict(self.lag)
        for partition, records in _by_partition(self.in_hand).items():
            asked = lags.get(partition, Lag(0, 0.0))
            seconds = (now - min(record.published_at for record in records)).total_seconds()
            lags[partition] = Lag(max(asked.records, len(records)), max(asked.seconds, seconds))
        return lags

    def stalled_seconds(self) -> float:
        """How long nothing was achieved although something could be; 0 while paused deliberately."""
        return 0.0 if self.paused else time.monotonic() - max(self.last_progress, self.last_pause)

    def stuck(self) -> str | None:
        """Why the loop makes no progress although it could, or None."""
        seconds = self.stalled_seconds()
        return f"no progress for {seconds:.0f} s" if seconds > _STUCK_AFTER_SECONDS else None

    def advance(self, records: int) -> None:
        self.records_handled += records
        self.in_hand = ()
        if records or not any(lag.records for lag in self.lag.values()):
            self.last_progress = time.monotonic()
        self.paused, self.last_error, self.failures_in_row = False, None, 0

    def pause(self, error: Exception) -> None:
        self.failures_in_row += 1
        self.failures += 1
        self.last_pause = time.monotonic()
        self.paused, self.last_error = True, f"{type(error).__name__}: {error}"

    def resume(self) -> None:
        """What is not achieved from here on is this loop's own trouble, though nothing is achieved yet."""
        self.paused = False


async def consume(
    log: Log,
    topics: Sequence[str],
    *,
    group: str,
    member: str,
    handle: Handle,
    stop: asyncio.Event,
    progress: Progress | None = None,
    max_records: int = 500,
    policy: RetryPolicy | None = None,
) -> None:
    """Hand batches to `handle`, the service's one unit of work, until `stop` is set; then leave the group.

    TransientError from the log or from `handle`: nothing is committed, the batch comes again after a
    growing wait. CommitRejected: the batch is somebody else's now, and its effects are idempotent.
    Everything else is a bug and is raised, so that the process ends and a person looks.
    """
    progress, policy = progress or Progress(), policy or RetryPolicy()
    while not stop.is_set():
        try:
            async with log.consume(topics, group=group, member=member) as consumer:
                await _work(consumer, handle, stop, progress, max_records=max_records, policy=policy)
        except TransientError as error:
            await _wait_out(error, stop, progress, policy)


async def _work(
    consumer: Consumer,
    handle: Handle,
    stop: asyncio.Event,
    progress: Progress,
    *,
    max_records: int,
    policy: RetryPolicy,
) -> None:
    lag_due, earlier = time.monotonic(), progress.rebalances
    while not stop.is_set():
        try:
            records = await _poll(consumer, stop, max_records)
            if records:
                progress.in_hand = records
                await handle(records)
                reach("effects-committed-offsets-not")
                await _commit(consumer, records, progress)
            progress.advance(len(records))
            progress.assignment = consumer.assignment()
            progress.rebalances = earlier + consumer.rebalances()
            if time.monotonic() >= lag_due:
                progress.lag = await consumer.lag()
                lag_due = time.monotonic() + _LAG_EVERY_SECONDS
        except CommitRejected as error:
            progress.in_hand = ()
            logger.info("commit rejected, batch dropped", extra={"error": str(error)})
        except TransientError as error:
            await consumer.rewind()
            await _wait_out(error, stop, progress, policy)


async def _poll(consumer: Consumer, stop: asyncio.Event, max_records: int) -> Sequence[ReceivedRecord]:
    """A poll that a stop cuts short: what it had fetched was not handled, and comes again."""
    polling = asyncio.ensure_future(consumer.poll(max_records=max_records, timeout_seconds=_POLL_SECONDS))
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([polling, stopping], return_when=asyncio.FIRST_COMPLETED)
        return polling.result() if polling.done() else ()
    finally:
        for task in (polling, stopping):
            task.cancel()
        await asyncio.gather(polling, stopping, return_exceptions=True)


async def _commit(consumer: Consumer, records: Sequence[ReceivedRecord], progress: Progress) -> None:
    try:
        await consumer.commit(next_offsets(records))
    except CommitRejected:
        progress.commits_rejected += 1
        raise
    except TransientError:
        progress.commits_unanswered += 1
        raise


def _by_partition(records: Sequence[ReceivedRecord]) -> dict[Partition, list[ReceivedRecord]]:
    found: dict[Partition, list[ReceivedRecord]] = {}
    for record in records:
        found.setdefault(record.partition, []).append(record)
    return found


async def _wait_out(error: Exception, stop: asyncio.Event, progress: Progress, policy: RetryPolicy) -> None:
    progress.pause(error)
    seconds = policy.delay_seconds(progress.failures_in_row, random=random.random())  # noqa: S311 - jitter
    logger.warning("consumer waits", extra={"error": progress.last_error, "seconds": round(seconds, 2)})
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
