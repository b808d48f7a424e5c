"""What receivers have taken is written down together, and nothing that is promised of one alone is lost by it."""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from pydantic_core import from_json
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.pipeline.settings import PipelineSettings
from services.pipeline.subscriptions.repository import Subscription
from shared.db.engine import Database
from shared.db.reach import ALL_WORKSPACES, Reach
from shared.errors import DatabaseUnavailable
from tests.integration.pipeline.conftest import PipelineHarness
from tests.support.outgoing import deliveries, dispatching, subscribe
from tests.support.pipeline import a_recorded_event, a_score_change, recorded
from tests.support.receiver import ReceivedRequest, receiving
from tests.support.waiting import wait_until

pytestmark = pytest.mark.postgres

LEADS = [str(UUID(int=number, version=4)) for number in range(1, 9)]
# Whoever needs a timer to get on does not get on.
TIMELESS = PipelineSettings(webhook_poll_seconds=3600)


class CutOff(Database):
    """A database that a process may lose: from then on nothing that it wants to write arrives."""

    lost = False

    @asynccontextmanager
    async def transaction(self, reach: Reach, *, is_routine: bool = False) -> AsyncIterator[AsyncConnection]:
        if self.lost:
            raise DatabaseUnavailable
        async with super().transaction(reach, is_routine=is_routine) as connection:
            yield connection


@asynccontextmanager
async def cut_off(pipeline: PipelineHarness) -> AsyncIterator[tuple[CutOff, PipelineHarness]]:
    """The same pipeline in another process, whose database can be taken from it."""
    database = CutOff(pipeline.database.url)
    try:
        yield database, replace(pipeline, database=database)
    finally:
        await database.close()


async def tell(pipeline: PipelineHarness) -> None:
    """One message about each lead."""
    await pipeline.take_in(*(recorded(1, a_recorded_event("page_viewed"), lead=lead) for lead in LEADS))


async def states(pipeline: PipelineHarness, subscription: Subscription) -> Counter[tuple[str, int]]:
    """How many deliveries stand where, after how many attempts."""
    return Counter((item.state, item.attempts) for item in await deliveries(pipeline, subscription))


def all_taken(pipeline: PipelineHarness, subscription: Subscription) -> Callable[[], Awaitable[bool]]:
    """The condition that every delivery has been written down, after one attempt."""

    async def condition() -> bool:
        return await states(pipeline, subscription) == {("delivered", 1): len(LEADS)}

    return condition


async def test_who_is_killed_before_it_has_written_down_a_group_sends_the_same_bytes_again(
    hooked: PipelineHarness,
) -> None:
    async with cut_off(hooked) as (database, killed):

        def answer(_request: ReceivedRequest) -> int:
            database.lost = True
            return 200

        async with receiving(answer) as receiver:
            subscription = await subscribe(hooked, receiver.url)
            await tell(hooked)
            async with dispatching(killed):
                await wait_until(lambda: len(receiver.requests) == len(LEADS), "everything once")
            written = await states(hooked, subscription)
            async with dispatching(hooked) as survivor:
                survivor.wake()
                sent_too_early = len(receiver.requests) - len(LEADS)
                hooked.clock.advance(timedelta(seconds=61))
                await wait_until(all_taken(hooked, subscription), "everything is written down")

    sent = Counter((request.headers["webhook-id"], request.body) for request in receiver.requests)
    assert written == {("pending", 0): len(LEADS)}
    assert sent_too_early == 0
    assert list(sent.values()) == [2] * len(LEADS)


async def test_what_was_taken_while_the_database_was_away_is_written_down_when_it_is_back(
    hooked: PipelineHarness,
) -> None:
    async with cut_off(hooked) as (database, cut):

        def answer(_request: ReceivedRequest) -> int:
            database.lost = True
            return 200

        async with receiving(answer) as receiver, dispatching(cut):
            subscription = await subscribe(hooked, receiver.url)
            await tell(hooked)
            await wait_until(lambda: len(receiver.requests) == len(LEADS), "everything once")
            database.lost = False
            await wait_until(all_taken(hooked, subscription), "everything is written down")

    assert len(receiver.requests) == len(LEADS)


async def test_one_that_cannot_be_written_down_keeps_no_other_from_it(
    hooked: PipelineHarness, caplog: pytest.LogCaptureFixture
) -> None:
    async with receiving() as receiver:
        subscription = await subscribe(hooked, receiver.url)
        await tell(hooked)
        bad, *_ = await deliveries(hooked, subscription)
        async with hooked.database.transaction(ALL_WORKSPACES) as connection:
            await connection.execute(
                text(
                    "INSERT INTO pipeline.delivery_attempt (delivery_id, number, at, duration_seconds) "
                    "VALUES (:id, 1, now(), 0)"
                ),
                {"id": bad.id},
            )
        with caplog.at_level(logging.ERROR):
            async with dispatching(hooked):
                await wait_until(lambda: "webhook delivery failed" in caplog.messages, "the bad one")

                async def others_are_taken() -> bool:
                    return (await states(hooked, subscription))["delivered", 1] == len(LEADS) - 1

                await wait_until(others_are_taken, "the others are written down")

    left = [item.id for item in await deliveries(hooked, subscription) if item.state == "pending"]
    assert left == [bad.id]
    assert len(receiver.requests) == len(LEADS)


async def test_what_is_taken_at_once_is_one_transaction(hooked: PipelineHarness) -> None:
    """Each round writes what has gathered, so there are fewer transactions than deliveries."""
    commits: list[None] = []
    async with cut_off(hooked) as (database, other), receiving() as receiver:
        event.listen(database.engine.sync_engine, "commit", lambda _connection: commits.append(None))
        subscription = await subscribe(hooked, receiver.url)
        await tell(hooked)
        # While nobody can write a lead's delivery, the others land.
        async with hooked.database.transaction(ALL_WORKSPACES) as connection, dispatching(other, settings=TIMELESS):
            await wait_until(lambda: len(commits) == 1, "the claim")
            await connection.execute(text("SELECT id FROM pipeline.delivery ORDER BY id LIMIT 1 FOR UPDATE"))
            await wait_until(lambda: len(receiver.requests) == len(LEADS), "all requests")
            await connection.rollback()
            await wait_until(all_taken(hooked, subscription), "everything is written down")
            needed = len(commits)

    assert needed < len(LEADS)


async def test_the_next_message_about_a_lead_follows_as_soon_as_the_one_before_is_written_down(
    hooked: PipelineHarness,
) -> None:
    async with receiving() as receiver, dispatching(hooked, settings=TIMELESS) as dispatcher:
        await subscribe(hooked, receiver.url, ("lead.score_changed",))
        await hooked.take_in(*(a_score_change(sequence) for sequence in range(1, 21)))
        dispatcher.wake()
        await wait_until(lambda: len(receiver.requests) == 20, "all of them")

    assert [from_json(request.body)["data"]["sequence"] for request in receiver.requests] == list(range(1, 21))
