"""From the receipt of an event to the first delivery of what follows from it: each message is measured once."""

from datetime import timedelta
from uuid import UUID

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text

from services.pipeline.subscriptions import deliveries
from shared.db.reach import ALL_WORKSPACES
from shared.events.codec import encode
from shared.events.envelope import Message, rfc3339
from shared.events.topics import LEAD_SCORES
from shared.log.messages import RECEIVED_HEADER
from shared.log.protocol import Partition, ReceivedRecord
from tests.integration.pipeline.conftest import PipelineHarness
from tests.support.outgoing import dispatching, settled, subscribe
from tests.support.pipeline import NOON, a_recorded_event, a_score_change, recorded
from tests.support.receiver import receiving
from tests.support.waiting import wait_until

pytestmark = pytest.mark.postgres

SCORES = ("lead.score_changed",)
AGO = timedelta(seconds=7)


class Delivered:
    """What the metric has counted since this was made."""

    def __init__(self) -> None:
        self._before = self._read()

    @staticmethod
    def _read() -> tuple[float, float]:
        name, labels = "leadflow_event_end_to_end_seconds", {"stage": "delivered"}
        number, seconds = (REGISTRY.get_sample_value(f"{name}_{of}", labels) for of in ("count", "sum"))
        return number or 0.0, seconds or 0.0

    @property
    def number(self) -> float:
        return self._read()[0] - self._before[0]

    @property
    def seconds(self) -> float:
        return self._read()[1] - self._before[1]


async def take_in(pipeline: PipelineHarness, *messages: Message, said: bytes | None = None) -> None:
    """Messages as the scorer's outbox publishes them, of events that came 7 s ago; or with `said` in the header."""
    moment = rfc3339(pipeline.clock.now() - AGO).encode() if said is None else said
    headers = {RECEIVED_HEADER: moment} if moment else {}
    partition = Partition(LEAD_SCORES.name, 0)
    await pipeline.handlers.handle(
        [
            ReceivedRecord(partition, offset, b"", encode(message), headers, NOON)
            for offset, message in enumerate(messages)
        ]
    )


async def undelivered(pipeline: PipelineHarness) -> int:
    async with pipeline.database.transaction(ALL_WORKSPACES) as connection:
        return int(await connection.scalar(text("SELECT count(*) FROM pipeline.undelivered")) or 0)


async def test_a_message_counts_from_the_receipt_of_its_event_to_the_first_receiver_that_takes_it(
    hooked: PipelineHarness,
) -> None:
    delivered = Delivered()
    async with receiving() as one, receiving() as other, dispatching(hooked):
        await subscribe(hooked, one.url, SCORES)
        last = await subscribe(hooked, other.url, SCORES)
        await take_in(hooked, a_score_change(1))
        await wait_until(lambda: bool(one.requests and other.requests), "both receivers")
        await wait_until(settled(hooked, last, 1), "what became of it")

    assert delivered.number == 1
    assert delivered.seconds == pytest.approx(7)
    assert await undelivered(hooked) == 0


async def test_a_receiver_that_fails_first_counts_when_it_takes_the_message(hooked: PipelineHarness) -> None:
    delivered, answers = Delivered(), iter([503])
    async with receiving(lambda _request: next(answers, 200)) as receiver, dispatching(hooked) as dispatcher:
        subscription = await subscribe(hooked, receiver.url, SCORES)
        await take_in(hooked, a_score_change(1))
        await wait_until(settled(hooked, subscription, 1), "the failed attempt")
        counted_too_early = delivered.number
        hooked.clock.advance(timedelta(hours=1))
        dispatcher.wake()
        await wait_until(settled(hooked, subscription, 2), "the second attempt")

    assert counted_too_early == 0
    assert delivered.number == 1
    assert delivered.seconds == pytest.approx(3607)


async def test_however_many_processes_and_receivers_answer_at_once_each_message_counts_once(
    hooked: PipelineHarness,
) -> None:
    delivered, leads = Delivered(), [str(UUID(int=number, version=4)) for number in range(1, 31)]
    async with receiving() as one, receiving() as other, dispatching(hooked), dispatching(hooked):
        for receiver in (one, other):
            await subscribe(hooked, receiver.url, SCORES)
        await take_in(hooked, *(a_score_change(1, lead=lead) for lead in leads))
        await wait_until(lambda: len(one.requests) + len(other.requests) >= 60, "all of them at both")

    assert delivered.number == 30


@pytest.mark.parametrize("said", [b"", b"yesterday", b"2026-03-02T12:00:00"], ids=["time", "no moment", "no zone"])
async def test_what_follows_from_no_event_counts_nothing(hooked: PipelineHarness, said: bytes) -> None:
    delivered = Delivered()
    async with receiving() as receiver, dispatching(hooked):
        subscription = await subscribe(hooked, receiver.url, SCORES)
        await take_in(hooked, a_score_change(1, cause="time"), said=said)
        await wait_until(settled(hooked, subscription, 1), "the delivery")

    assert delivered.number == 0


async def test_what_nobody_is_to_get_is_not_waited_for(hooked: PipelineHarness) -> None:
    await take_in(hooked, recorded(1, a_recorded_event("page_viewed")), a_score_change(2))

    assert await undelivered(hooked) == 0


async def test_what_was_never_taken_is_forgotten_with_its_message(hooked: PipelineHarness) -> None:
    subscription = await subscribe(hooked, "http://127.0.0.1:1/hook", SCORES)
    await take_in(hooked, a_score_change(1))
    waiting = await undelivered(hooked)
    async with hooked.database.transaction(ALL_WORKSPACES) as connection:
        await connection.execute(
            text("UPDATE pipeline.subscription SET state = 'disabled' WHERE id = :id"), {"id": subscription.id}
        )
        await connection.execute(text("DELETE FROM pipeline.feed"))
        gone = await deliveries.forget(connection, hooked.clock.now() + timedelta(days=1), 10)

    assert (waiting, gone, await undelivered(hooked)) == (1, 2, 0)
