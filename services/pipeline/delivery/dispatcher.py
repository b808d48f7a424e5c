"""The task that delivers: takes what is due, sends it side by side, writes down what became of it.

A delivery is leased before it is sent and settled after, in transactions of their own: a process that is
killed in between sends the same id and bytes again once the lease has ended, and never loses one.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from datetime import datetime, timedelta
from random import Random
from uuid import UUID

from services.pipeline import metrics, subscription_repository
from services.pipeline.delivery import repository
from services.pipeline.delivery.repository import Claimed, Lease
from services.pipeline.delivery.schedule import RetrySchedule, outcome_of, parse_retry_after
from services.pipeline.delivery.sender import Answer, Sender
from services.pipeline.delivery.signature import signed_headers
from services.pipeline.settings import PipelineSettings
from shared.clock import Clock
from shared.db.engine import Database
from shared.errors import TransientError

logger = logging.getLogger(__name__)

_FINISH_SECONDS = 5.0
_TROUBLE_SECONDS = 1.0
_GONE = "the receiver answered 410 Gone"


class Dispatcher:
    """Delivers for one process. `holder` is its name on leases, unique per process."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        sender: Sender,
        *,
        settings: PipelineSettings,
        schedule: RetrySchedule,
        random: Random,
        holder: UUID,
    ) -> None:
        self._database = database
        self._clock = clock
        self._sender = sender
        self._settings = settings
        self._schedule = schedule
        self._random = random
        self._holder = holder
        self._changed = asyncio.Event()
        self._flying: dict[asyncio.Task[None], UUID] = {}

    def wake(self) -> None:
        """There is something to deliver."""
        self._changed.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set, then finish what is in the air, or give it back."""
        stopping = asyncio.create_task(self._wake_at(stop), name="dispatcher stop")
        try:
            while not stop.is_set():
                self._changed.clear()
                try:
                    taken = await self._launch()
                except TransientError as error:
                    logger.warning("webhook dispatcher waits", extra={"error": str(error)})
                    await _pause(stop, _TROUBLE_SECONDS)
                    continue
                if not taken:
                    await _pause(self._changed, self._settings.webhook_poll_seconds)
        finally:
            stopping.cancel()
            await self._finish()

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._changed.set()

    async def _launch(self) -> int:
        room = self._settings.webhook_concurrency - len(self._flying)
        if room <= 0:
            return 0
        now = self._clock.now()
        lease = Lease(self._holder, now, now + timedelta(seconds=self._settings.webhook_lease_seconds))
        async with self._database.transaction() as connection:
            claimed = await repository.claim(
                connection,
                lease,
                busy=Counter(self._flying.values()),
                per_subscription=self._settings.webhook_concurrency_per_subscription,
                limit=room,
            )
        for delivery in claimed:
            task = asyncio.create_task(self._deliver(delivery), name="webhook delivery")
            self._flying[task] = delivery.subscription_id
            task.add_done_callback(self._landed)
        return len(claimed)

    def _landed(self, task: asyncio.Task[None]) -> None:
        del self._flying[task]
        self._changed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("webhook delivery failed", extra={"error": type(error).__name__})

    async def _deliver(self, delivery: Claimed) -> None:
        at = self._clock.now()
        alive = [secret.text for secret in delivery.secrets if secret.expires_at is None or at < secret.expires_at]
        headers = signed_headers(delivery.message_id, delivery.body, at=at, secrets=alive)
        answer = await self._sender.send(delivery.url, headers, delivery.body)
        try:
            await self._settle(delivery, at, answer)
        except TransientError as error:
            # The lease ends by itself, and the receiver gets the same message once more.
            logger.warning("webhook delivery not written down", extra={"error": str(error)})

    async def _settle(self, delivery: Claimed, at: datetime, answer: Answer) -> None:
        outcome = outcome_of(answer.status)
        now = self._clock.now()
        delay = self._delay(delivery, answer, now) if outcome == "retried" else None
        result = "failed" if outcome == "retried" and delay is None else outcome
        state = {"delivered": "delivered", "retried": "pending"}.get(result, "failed")
        async with self._database.transaction() as connection:
            ours = await repository.settle(
                connection, delivery, self._holder, state=state, next_at=now + (delay or timedelta(0))
            )
            if not ours:
                return
            await repository.add_attempt(connection, delivery, at, answer)
            if outcome == "disabled":
                await subscription_repository.disable(connection, delivery.subscription_id, _GONE)
        _count(result, delivery, answer)

    def _delay(self, delivery: Claimed, answer: Answer, now: datetime) -> timedelta | None:
        retry_after = parse_retry_after(answer.retry_after, now)
        return self._schedule.next_delay(delivery.attempts + 1, retry_after=retry_after, random=self._random)

    async def _finish(self) -> None:
        flying = list(self._flying)
        if flying:
            await asyncio.wait(flying, timeout=_FINISH_SECONDS)
        for task in flying:
            task.cancel()
        await asyncio.gather(*flying, return_exceptions=True)
        await self._sender.close()
        with contextlib.suppress(TransientError):
            async with self._database.transaction() as connection:
                await repository.release(connection, self._holder)


def _count(result: str, delivery: Claimed, answer: Answer) -> None:
    status_class = f"{answer.status // 100}xx" if answer.status is not None else "none"
    metrics.WEBHOOK_DELIVERIES.labels(result, status_class).inc()
    metrics.WEBHOOK_DURATION.observe(answer.duration_seconds)
    if result == "delivered":
        metrics.WEBHOOK_ATTEMPTS.observe(delivery.attempts + 1)


async def _pause(until: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await until.wait()
