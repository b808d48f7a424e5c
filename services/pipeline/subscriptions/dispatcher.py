"""The task that delivers: takes what is due, sends it side by side, writes down what became of it.

A delivery is leased before it is sent and settled after, in another transaction: a process that is killed in
between sends the same id and bytes again once the lease has ended, and never loses one.

What receivers have taken is written down together: each round settles what has gathered while the last one was
written, and takes what is due next, in one transaction. Nobody waits for others to gather. A receiver that did not
take something has consequences of its own, in a transaction of its own, so that nobody waits for those either.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from random import Random
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from services.pipeline import metrics
from services.pipeline.delivery import operational
from services.pipeline.delivery.endpoint import Disabled, EndpointPolicy, Failing, Miss
from services.pipeline.delivery.schedule import RetrySchedule, outcome_of, parse_retry_after
from services.pipeline.delivery.sender import Answer, Sender
from services.pipeline.delivery.signature import signed_headers
from services.pipeline.settings import PipelineSettings
from services.pipeline.subscriptions import deliveries, repository
from services.pipeline.subscriptions.deliveries import Attempt, Claimed, Lease, Room, Settled
from services.pipeline.subscriptions.fanout import fan_out_for
from shared.clock import Clock
from shared.db.engine import Database
from shared.db.reach import ALL_WORKSPACES
from shared.errors import TransientError
from shared.events.envelope import rfc3339
from shared.events.json import Json
from shared.failpoints import reach
from shared.observability import tracing
from shared.observability.metrics import END_TO_END
from shared.observability.tracing import Attributes, Span

logger = logging.getLogger(__name__)

_FINISH_SECONDS = 5.0
_TROUBLE_SECONDS = 1.0
_DELIVERED = END_TO_END.labels("delivered")
_REASONS: Mapping[Disabled, str] = {
    "gone": "the receiver answered 410 Gone",
    "failing": "the receiver has taken nothing for too long",
}


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
        policy: EndpointPolicy,
        random: Random,
        holder: UUID,
    ) -> None:
        self._database = database
        self._clock = clock
        self._sender = sender
        self._settings = settings
        self._schedule = schedule
        self._policy = policy
        self._random = random
        self._holder = holder
        self._changed = asyncio.Event()
        self._flying: dict[asyncio.Task[None], Claimed] = {}
        self._taken: list[Attempt] = []

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
                    await self._round(self._room)
                except TransientError as error:
                    logger.warning("webhook dispatcher waits", extra={"error": str(error)})
                    await _pause(stop, _TROUBLE_SECONDS)
                    continue
                await _pause(self._changed, self._settings.webhook_poll_seconds)
        finally:
            stopping.cancel()
            await self._finish()

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._changed.set()

    async def _round(self, room: Callable[[], Room]) -> None:
        """Write down what receivers have taken, and send as much of what is due as there is room for."""
        if not self._taken and room().total <= 0:
            return
        taken: list[Attempt] = []
        try:
            async with self._database.transaction(ALL_WORKSPACES, is_routine=True) as connection:
                # Only now, so that what lands while the transaction begins is part of it.
                taken, self._taken = self._taken, []
                settled = await self._write_down(connection, taken)
                claimed = await self._claim(connection, room())
        except TransientError:
            self._taken = taken + self._taken
            raise
        except Exception:
            if not taken:
                raise
            # One that cannot be written down must not keep the others from it.
            for attempt in taken:
                self._start(self._settle(attempt), attempt.delivery)
            return
        for delivery in claimed:
            self._start(self._deliver(delivery), delivery)
        for one in settled:
            _count("delivered", one)

    async def _write_down(self, connection: AsyncConnection, taken: Sequence[Attempt]) -> list[Settled]:
        if not taken:
            return []
        settled = await deliveries.settle(connection, taken, self._holder)
        recovered = {one.attempt.delivery.subscription_id for one in settled if one.receiver_fails}
        if recovered:
            await repository.record_success(connection, recovered)
        return settled

    async def _claim(self, connection: AsyncConnection, room: Room) -> list[Claimed]:
        if room.total <= 0:
            return []
        now = self._clock.now()
        lease = Lease(self._holder, now, now + timedelta(seconds=self._settings.webhook_lease_seconds))
        return await deliveries.claim(connection, lease, room)

    def _start(self, work: Coroutine[None, None, None], delivery: Claimed) -> None:
        task = asyncio.create_task(work, name="webhook delivery")
        self._flying[task] = delivery
        task.add_done_callback(self._landed)

    def _room(self) -> Room:
        """Half of all places at most go to receivers that fail: the others find one however many hang."""
        flying = self._flying.values()
        for_failing = max(1, self._settings.webhook_concurrency // 2)
        return Room(
            total=self._settings.webhook_concurrency - len(flying),
            failing=max(0, for_failing - sum(delivery.failing for delivery in flying)),
            per_subscription=self._settings.webhook_concurrency_per_subscription,
            busy=Counter(delivery.subscription_id for delivery in flying),
        )

    def _landed(self, task: asyncio.Task[None]) -> None:
        del self._flying[task]
        self._changed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("webhook delivery failed", extra={"error": type(error).__name__})

    async def _deliver(self, delivery: Claimed) -> None:
        at = self._clock.now()
        if delivery.told_at is not None:
            metrics.WEBHOOK_FIRST_ATTEMPT.observe(max(0.0, (at - delivery.told_at).total_seconds()))
        alive = [secret.text for secret in delivery.secrets if secret.is_good(at)]
        headers = signed_headers(delivery.message_id, delivery.body, at=at, secrets=alive)
        with tracing.span("POST webhook", "client", parent=delivery.trace, attributes=_about(delivery)) as span:
            headers |= span.context.texts()
            answer = await self._sender.send(delivery.url, headers, delivery.body)
            _describe(span, answer)
        if outcome_of(answer.status) == "delivered":
            reach("delivered-not-recorded")
            self._taken.append(Attempt(delivery, at, answer, "delivered", self._clock.now()))
        else:
            await self._settle_miss(delivery, at, answer)

    async def _settle(self, attempt: Attempt) -> None:
        """Write down one that was taken, alone."""
        with _written_down_or_sent_again():
            async with self._database.transaction(ALL_WORKSPACES) as connection:
                settled = await self._write_down(connection, [attempt])
            for one in settled:
                _count("delivered", one)

    async def _settle_miss(self, delivery: Claimed, began_at: datetime, answer: Answer) -> None:
        now = self._clock.now()
        miss = Miss(began_at, answer.status, answer.error == "timeout", parse_retry_after(answer.retry_after, now))
        outcome = outcome_of(answer.status)
        delay = self._delay(delivery, miss) if outcome == "retried" else None
        result = "failed" if outcome == "retried" and delay is None else outcome
        state = "pending" if result == "retried" else "failed"
        attempt = Attempt(delivery, began_at, answer, state, now + (delay or timedelta(0)))
        with _written_down_or_sent_again():
            async with self._database.transaction(ALL_WORKSPACES) as connection:
                settled = await deliveries.settle(connection, [attempt], self._holder)
                if not settled:
                    return
                await deliveries.hold_back(connection, attempt)
                disabled = await self._judge(connection, delivery.subscription_id, miss, now)
            _count(result, settled[0])
            if disabled is not None:
                metrics.WEBHOOK_DISABLED.labels(disabled).inc()
                logger.warning(
                    "webhook subscription disabled",
                    extra={"subscription": str(delivery.subscription_id), "reason": disabled},
                )

    async def _judge(
        self, connection: AsyncConnection, subscription_id: UUID, miss: Miss, now: datetime
    ) -> Disabled | None:
        """Let the receiver as a whole have the consequences of a miss; returns why it was disabled, if it was."""
        failing = await repository.record_failure(connection, subscription_id, miss.began_at)
        reason = self._policy.disables(failing, miss, now=now)
        if reason is not None:
            return await self._disable(connection, subscription_id, reason, failing=failing, now=now)
        pause = self._policy.pause(failing, miss, random=self._random)
        if pause is not None:
            await repository.leave_alone(connection, subscription_id, now + pause)
        return None

    async def _disable(
        self, connection: AsyncConnection, subscription_id: UUID, reason: Disabled, *, failing: Failing, now: datetime
    ) -> Disabled | None:
        workspace = await repository.disable(connection, subscription_id, _REASONS[reason], now)
        if workspace is None:
            return None
        fan_out = await fan_out_for(connection, [workspace], now)
        data: dict[str, Json] = {
            "reason": reason,
            "message": _REASONS[reason],
            "failing_since": rfc3339(failing.since),
            "failures": failing.failures,
        }
        fan_out.announce(operational.disabled(uuid4(), subscription_id, workspace=workspace, at=now, data=data))
        await fan_out.write(connection)
        return reason

    def _delay(self, delivery: Claimed, miss: Miss) -> timedelta | None:
        return self._schedule.next_delay(delivery.tries + 1, retry_after=miss.retry_after, random=self._random)

    async def _finish(self) -> None:
        flying = list(self._flying)
        if flying:
            await asyncio.wait(flying, timeout=_FINISH_SECONDS)
        for task in flying:
            task.cancel()
        await asyncio.gather(*flying, return_exceptions=True)
        await self._sender.close()
        with contextlib.suppress(TransientError):
            await self._round(_no_room)
            await asyncio.gather(*self._flying, return_exceptions=True)
            async with self._database.transaction(ALL_WORKSPACES) as connection:
                await deliveries.release(connection, self._holder)


@contextlib.contextmanager
def _written_down_or_sent_again() -> Iterator[None]:
    try:
        yield
    except TransientError as error:
        # The lease ends by itself, and the receiver gets the same message once more.
        logger.warning("webhook delivery not written down", extra={"error": str(error)})


def _no_room() -> Room:
    return Room(total=0, failing=0, per_subscription=0, busy={})


def _about(delivery: Claimed) -> Attributes:
    return {
        "http.request.method": "POST",
        "http.request.resend_count": delivery.tries,
        "leadflow.message": delivery.message_id,
        "leadflow.subscription": str(delivery.subscription_id),
    }


def _describe(span: Span, answer: Answer) -> None:
    if answer.status is not None:
        span.attributes["http.response.status_code"] = answer.status
    if answer.status is None or answer.status >= 400:
        span.error = answer.error or str(answer.status)


def _count(result: str, settled: Settled) -> None:
    attempt, answer = settled.attempt, settled.attempt.answer
    status_class = f"{answer.status // 100}xx" if answer.status is not None else "none"
    metrics.WEBHOOK_DELIVERIES.labels(result, status_class).inc()
    metrics.WEBHOOK_DURATION.observe(answer.duration_seconds)
    if result == "delivered":
        metrics.WEBHOOK_ATTEMPTS.observe(attempt.delivery.tries + 1)
    if settled.received_at is not None:
        _DELIVERED.observe(max(0.0, (attempt.next_at - settled.received_at).total_seconds()))


async def _pause(until: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await until.wait()
