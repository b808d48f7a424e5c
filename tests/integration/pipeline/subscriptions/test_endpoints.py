"""Receivers that fail: what becomes of them as a whole, and that no other notices."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

import pytest
from pydantic_core import from_json
from sqlalchemy import text

from services.pipeline.delivery.endpoint import EndpointPolicy
from services.pipeline.feed import entries as feed
from services.pipeline.settings import PipelineSettings
from services.pipeline.subscriptions import deliveries as delivery_repository
from services.pipeline.subscriptions import managing
from services.pipeline.subscriptions import repository as subscription_repository
from services.pipeline.subscriptions.deliveries import Lease, Room
from services.pipeline.subscriptions.repository import Subscription
from shared.db.reach import ALL_WORKSPACES
from tests.integration.pipeline.conftest import PipelineHarness
from tests.support.outgoing import deliveries, dispatching, settled, subscribe
from tests.support.pipeline import a_recorded_event, recorded
from tests.support.receiver import HANG, receiving
from tests.support.waiting import wait_until

pytestmark = pytest.mark.postgres

POLICY = EndpointPolicy(jitter=0)
LEADS = [str(UUID(int=number, version=4)) for number in range(1, 31)]


async def tell(pipeline: PipelineHarness, leads: list[str], sequence: int = 1) -> None:
    """Each of the leads is heard of, or heard of again: one message about each that is new."""
    await pipeline.take_in(*(recorded(sequence, a_recorded_event("page_viewed"), lead=lead) for lead in leads))


async def now_of(pipeline: PipelineHarness, subscription: Subscription) -> Subscription:
    return await managing.get(pipeline.database, "default", subscription.id)


def failed(pipeline: PipelineHarness, subscription: Subscription, times: int) -> Callable[[], Awaitable[bool]]:
    """The condition that so many failures in a row are written down."""

    async def condition() -> bool:
        failing = (await now_of(pipeline, subscription)).failing
        return failing is not None and failing.failures >= times

    return condition


async def nothing_is_in_the_air(pipeline: PipelineHarness) -> bool:
    async with pipeline.database.transaction(ALL_WORKSPACES) as connection:
        return not await connection.scalar(text("SELECT count(*) FROM pipeline.delivery WHERE lease IS NOT NULL"))


async def test_a_receiver_that_asks_for_time_gets_it_for_all_its_messages(hooked: PipelineHarness) -> None:
    settings = PipelineSettings(webhook_poll_seconds=0.02, webhook_concurrency_per_subscription=1)
    statuses = iter([429])
    async with (
        receiving(lambda _: next(statuses, 200), retry_after="300") as slow,
        receiving() as other,
        dispatching(hooked, settings=settings, policy=POLICY),
    ):
        subscription = await subscribe(hooked, slow.url)
        await subscribe(hooked, other.url)
        await tell(hooked, LEADS[:3])
        await wait_until(failed(hooked, subscription, 1), "the first answer")
        await wait_until(lambda: len(other.requests) == 3, "the other receiver has everything")
        first = (await now_of(hooked, subscription)).failing
        assert len(slow.requests) == 1

        hooked.clock.advance(timedelta(seconds=301))
        await wait_until(lambda: len(slow.requests) == 4, "the rest")
        await wait_until(settled(hooked, subscription, 2), "the success is written down")

    assert first is not None
    assert first.resume_at == first.since + timedelta(seconds=300)
    assert (await now_of(hooked, subscription)).failing is None


async def test_a_receiver_that_fails_ten_times_is_tried_once_at_a_time(hooked: PipelineHarness) -> None:
    settings = PipelineSettings(webhook_poll_seconds=0.02, webhook_concurrency_per_subscription=10)
    async with receiving(500) as broken, dispatching(hooked, settings=settings, policy=POLICY):
        subscription = await subscribe(hooked, broken.url)
        await tell(hooked, LEADS)
        await wait_until(failed(hooked, subscription, 10), "the first ten")
        await wait_until(partial(nothing_is_in_the_air, hooked), "those in the air with them")
        paused, tried = (await now_of(hooked, subscription)).failing, len(broken.requests)
        hooked.clock.advance(timedelta(seconds=6))
        await wait_until(failed(hooked, subscription, tried + 1), "one after the pause")
        again = (await now_of(hooked, subscription)).failing

    assert len(broken.requests) == tried + 1
    assert paused is not None
    assert again is not None
    assert (paused.pauses, again.pauses) == (1, 2)
    assert again.resume_at == hooked.clock.now() + timedelta(seconds=10)


async def test_receivers_that_hang_leave_places_to_the_others(hooked: PipelineHarness) -> None:
    settings = PipelineSettings(webhook_poll_seconds=0.02, webhook_concurrency=4, webhook_timeout_seconds=0.3)
    async with AsyncExitStack() as stack:
        hanging = [await stack.enter_async_context(receiving(HANG)) for _ in range(6)]
        for receiver in hanging:
            await subscribe(hooked, receiver.url)
        healthy = await stack.enter_async_context(receiving())
        await subscribe(hooked, healthy.url)
        await stack.enter_async_context(dispatching(hooked, settings=settings, policy=POLICY))
        await tell(hooked, LEADS)
        await wait_until(lambda: len(healthy.requests) == 30, "everything at the healthy one")

    assert max(len(receiver.requests) for receiver in hanging) <= settings.webhook_concurrency


async def test_who_takes_nothing_for_five_days_is_disabled_and_others_are_told(hooked: PipelineHarness) -> None:
    async with receiving(500) as broken, receiving() as watching, dispatching(hooked, policy=POLICY):
        subscription = await subscribe(hooked, broken.url)
        await subscribe(hooked, watching.url, ["subscription.disabled"])
        await tell(hooked, LEADS[:1])
        await wait_until(failed(hooked, subscription, 1), "the first failure")
        hooked.clock.advance(timedelta(days=5, minutes=1))
        await wait_until(lambda: bool(watching.requests), "the news")

    after = await now_of(hooked, subscription)
    (news,) = watching.requests
    told = from_json(news.body)
    assert (after.state, after.disabled_reason) == ("disabled", "the receiver has taken nothing for too long")
    assert after.disabled_at == hooked.clock.now()
    assert (told["type"], told["id"]) == ("subscription.disabled", news.headers["webhook-id"])
    assert told["data"]["subscription"] == str(subscription.id)
    assert (told["data"]["reason"], told["data"]["failures"]) == ("failing", 2)


async def test_what_waited_goes_on_when_a_subscription_is_enabled_again(hooked: PipelineHarness) -> None:
    async with receiving() as receiver, receiving() as other:
        subscription = await subscribe(hooked, receiver.url)
        await subscribe(hooked, other.url)
        await tell(hooked, LEADS[:3])
        await managing.disable(hooked.database, hooked.clock, "default", subscription.id)
        async with dispatching(hooked):
            await wait_until(lambda: len(other.requests) == 3, "the other one has everything")
            assert receiver.requests == []
            await managing.enable(hooked.database, "default", subscription.id)
            await wait_until(lambda: len(receiver.requests) == 3, "what waited")


async def test_one_success_in_between_begins_the_five_days_anew(hooked: PipelineHarness) -> None:
    statuses = iter([500, 200])
    async with receiving(lambda _: next(statuses, 500)) as moody, dispatching(hooked, policy=POLICY):
        subscription = await subscribe(hooked, moody.url)
        await tell(hooked, LEADS[:1])
        await wait_until(settled(hooked, subscription, 1), "a failure")
        hooked.clock.advance(timedelta(days=3))
        await wait_until(settled(hooked, subscription, 2), "a success")
        hooked.clock.advance(timedelta(days=3))
        await tell(hooked, LEADS[1:2])
        await wait_until(failed(hooked, subscription, 1), "another failure")

    assert (await now_of(hooked, subscription)).state == "enabled"


async def test_what_waits_for_order_is_not_looked_at_before_its_time(hooked: PipelineHarness) -> None:
    async with receiving(500) as broken, dispatching(hooked):
        subscription = await subscribe(hooked, broken.url, ())
        await tell(hooked, LEADS[:1])
        await wait_until(settled(hooked, subscription, 1), "the first failure")
        await hooked.take_in(recorded(2, a_recorded_event("demo_requested"), lead=LEADS[0]))

    first, *later = await deliveries(hooked, subscription)
    assert first.attempts == 1
    assert later
    assert {item.next_at for item in later} == {first.next_at}


async def test_what_is_kept_no_longer_goes_in_steps_and_takes_its_attempts_along(hooked: PipelineHarness) -> None:
    async with receiving() as receiver, receiving(500) as broken, dispatching(hooked):
        subscription, waiting = await subscribe(hooked, receiver.url), await subscribe(hooked, broken.url)
        await tell(hooked, LEADS[:5])
        await wait_until(lambda: len(receiver.requests) == 5, "the messages")
        await wait_until(settled(hooked, waiting, 1), "a failure")
    later = hooked.clock.now() + timedelta(days=1)

    async def forget(limit: int) -> int:
        async with hooked.database.transaction(ALL_WORKSPACES) as connection:
            return await delivery_repository.forget(connection, later, limit)

    kept_by_the_feed = await forget(10)
    async with hooked.database.transaction(ALL_WORKSPACES) as connection:
        await feed.forget(connection, later, 100)
    kept_by_a_delivery = await forget(10)
    await managing.disable(hooked.database, hooked.clock, "default", waiting.id)
    in_steps = [await forget(2) for _ in range(4)]

    assert (kept_by_the_feed, kept_by_a_delivery) == (0, 0)
    assert in_steps == [2, 2, 1, 0]
    assert await deliveries(hooked, subscription) == []


async def test_what_waits_is_counted_and_aged(hooked: PipelineHarness) -> None:
    subscription = await subscribe(hooked, "https://example.com/hook")
    await tell(hooked, LEADS[:5])
    hooked.clock.advance(timedelta(minutes=7))
    async with hooked.database.transaction(ALL_WORKSPACES) as connection:
        found = await delivery_repository.waiting(connection, hooked.clock.now())
        states = await subscription_repository.count_by_state(connection, hooked.clock.now())
        await subscription_repository.leave_alone(
            connection, subscription.id, hooked.clock.now() + timedelta(hours=1)
        )
        paused = await subscription_repository.count_by_state(connection, hooked.clock.now())

    assert (found.number, found.oldest_age) == (5, timedelta(minutes=7))
    assert found.oldest_due_age == timedelta(minutes=7)
    assert (states, paused) == ({"enabled": 1}, {"paused": 1})


async def test_what_a_failing_receiver_has_waiting_is_not_our_lateness(hooked: PipelineHarness) -> None:
    async with receiving(500) as broken, dispatching(hooked, policy=POLICY):
        subscription = await subscribe(hooked, broken.url)
        await tell(hooked, LEADS[:1])
        await wait_until(failed(hooked, subscription, 1), "the first failure")
    hooked.clock.advance(timedelta(minutes=7))
    async with hooked.database.transaction(ALL_WORKSPACES) as connection:
        found = await delivery_repository.waiting(connection, hooked.clock.now())

    assert (found.number, found.oldest_age, found.oldest_due_age) == (1, timedelta(minutes=7), timedelta(0))


async def test_a_first_attempt_is_timed_only_at_a_receiver_that_has_been_well(hooked: PipelineHarness) -> None:
    async def claimed_at(**later: int) -> list[timedelta | None]:
        hooked.clock.advance(timedelta(**later))
        lease = Lease(uuid4(), hooked.clock.now(), hooked.clock.now() + timedelta(minutes=1))
        async with hooked.database.transaction(ALL_WORKSPACES) as connection:
            claimed = await delivery_repository.claim(connection, lease, Room(10, 10, 10, {}))
            await delivery_repository.release(connection, lease.holder)
        now = hooked.clock.now()
        return [None if item.told_at is None else now - item.told_at for item in claimed]

    subscription = await subscribe(hooked, "https://example.com/hook")
    await tell(hooked, LEADS[:1])
    told = await claimed_at(seconds=3)
    async with hooked.database.transaction(ALL_WORKSPACES) as connection:
        await subscription_repository.record_failure(connection, subscription.id, hooked.clock.now())
    failing = await claimed_at(seconds=3)
    async with hooked.database.transaction(ALL_WORKSPACES) as connection:
        await subscription_repository.record_success(connection, {subscription.id})
    well_again = await claimed_at(hours=1)
    await tell(hooked, LEADS[1:2])
    told_since = await claimed_at(seconds=4)

    assert told == [timedelta(seconds=3)]
    assert failing == [None]
    assert well_again == [None]
    assert told_since == [None, timedelta(seconds=4)]
