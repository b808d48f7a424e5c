"""The feed and the stream: everything that is told, in order, from wherever a reader stands."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from services.pipeline.feed import entries as feed
from services.pipeline.feed.entries import Told, Wanted
from shared.access import KeyRepository, Scope
from shared.db.engine import Database
from shared.db.reach import ALL_WORKSPACES
from tests.integration.pipeline.conftest import PipelineHarness
from tests.support.pipeline import LEAD, NOON, OTHER, a_position, a_recorded_event, a_score_change, recorded
from tests.support.serving import serving
from tests.support.waiting import wait_until

pytestmark = pytest.mark.postgres


@dataclass
class Listener:
    """What a client of the stream has heard; `ended` once the server has closed it."""

    events: list[dict[str, str]] = field(default_factory=list)
    ended: bool = False

    @property
    def heard(self) -> list[dict[str, str]]:
        """The events with data: others only move the place to resume from."""
        return [event for event in self.events if "data" in event]

    @property
    def types(self) -> list[str]:
        return [event["event"] for event in self.heard]

    async def until(self, count: int) -> None:
        async def has_heard() -> bool:
            return len(self.heard) >= count

        await wait_until(has_heard, f"{count} events of the stream")

    async def until_ready(self) -> None:
        async def is_ready() -> bool:
            return bool(self.events)

        await wait_until(is_ready, "the stream is open")

    async def until_end(self) -> None:
        async def has_ended() -> bool:
            return self.ended

        await wait_until(has_ended, "the stream has ended")


@asynccontextmanager
async def listening(base_url: str, key: str, path: str = "/v1/stream", **headers: str) -> AsyncIterator[Listener]:
    listener = Listener()

    async def listen() -> None:
        all_headers = {"authorization": f"Bearer {key}", **headers}
        async with (
            httpx.AsyncClient(base_url=base_url, headers=all_headers, timeout=None) as client,
            client.stream("GET", path) as answer,
        ):
            assert answer.status_code == 200, await answer.aread()
            event: dict[str, str] = {}
            async for line in answer.aiter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    event[name] = value
                elif event:
                    listener.events.append(event)
                    event = {}
        listener.ended = True

    task = asyncio.create_task(listen())
    try:
        await listener.until_ready()
        yield listener
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def page(client: httpx.AsyncClient, **query: Any) -> dict[str, Any]:
    answer = await client.get("/v1/feed", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def tell_of_two_leads(pipeline: PipelineHarness) -> None:
    await pipeline.take_in(
        recorded(1, a_recorded_event("demo_requested")),
        a_score_change(2, thresholds={"mql": a_position("reached")}),
        recorded(1, a_recorded_event("deal_updated", owner="bo"), lead=OTHER),
        a_score_change(2, lead=OTHER, email="bo@example.com"),
    )


class TestFeed:
    async def test_everything_that_was_told_comes_once_in_order_page_by_page(self, pipeline: PipelineHarness) -> None:
        await tell_of_two_leads(pipeline)
        client = await pipeline.client(Scope.LEADS_READ)
        found: list[dict[str, Any]] = []
        query: dict[str, Any] = {"limit": 2}

        while True:
            one = await page(client, **query)
            found += one["messages"]
            query["cursor"] = one["next_cursor"]
            if not one["more"]:
                break

        told = {message.id for message in await pipeline.emitted()}
        assert told < {message["id"] for message in found}
        assert len({message["id"] for message in found}) == len(found)
        for lead in (LEAD, OTHER):
            stages = [m["data"]["sequence"] for m in found if m["subject"] == lead and "stage" in m["type"]]
            assert stages == sorted(stages)

    async def test_an_empty_page_has_a_cursor_from_which_the_next_message_is_found(
        self, pipeline: PipelineHarness
    ) -> None:
        client = await pipeline.client(Scope.LEADS_READ)
        empty = await page(client)
        await pipeline.take_in(a_score_change(1))

        then = await page(client, cursor=empty["next_cursor"], type="lead.score_changed")

        assert empty["messages"] == []
        assert [message["type"] for message in then["messages"]] == ["lead.score_changed"]

    async def test_only_what_is_asked_for(self, pipeline: PipelineHarness) -> None:
        await tell_of_two_leads(pipeline)
        client = await pipeline.client(Scope.LEADS_READ)

        async def types(**query: Any) -> set[tuple[str, str]]:
            return {(m["type"], m["subject"]) for m in (await page(client, **query))["messages"]}

        assert await types(type="lead.score_changed") == {("lead.score_changed", LEAD), ("lead.score_changed", OTHER)}
        assert {lead for _, lead in await types(lead=OTHER)} == {OTHER}
        assert await types(filter="data.to_stage=mql") == {("lead.stage_changed", LEAD)}
        assert await types(filter=["data.to_stage=mql", "data.to_stage=new"]) == {
            ("lead.stage_changed", LEAD),
            ("lead.stage_changed", OTHER),
        }
        assert await types(begin="newest") == set()

    async def test_a_filter_that_nothing_passes_still_gets_ahead(self, pipeline: PipelineHarness) -> None:
        await tell_of_two_leads(pipeline)
        client = await pipeline.client(Scope.LEADS_READ)

        found = await page(client, filter="data.to_stage=nowhere")

        assert found["messages"] == []
        assert not found["more"]

    async def test_workspaces_are_apart(self, pipeline: PipelineHarness) -> None:
        await tell_of_two_leads(pipeline)
        client = await pipeline.client(Scope.LEADS_READ, workspace="other")

        assert (await page(client))["messages"] == []

    @pytest.mark.parametrize(
        "query",
        [
            "type=nonsense",
            "filter=x",
            "filter=%00=1",
            "filter=data.to_stge=mql",
            "cursor=abc",
            "limit=0",
            "lead=1",
            "begin=never",
        ],
    )
    async def test_a_question_that_makes_no_sense_is_refused(self, pipeline: PipelineHarness, query: str) -> None:
        client = await pipeline.client(Scope.LEADS_READ)

        assert (await client.get(f"/v1/feed?{query}")).status_code == 422

    async def test_a_reader_that_was_away_for_too_long_is_told_so(self, pipeline: PipelineHarness) -> None:
        client = await pipeline.client(Scope.LEADS_READ)
        start = (await page(client))["next_cursor"]
        await tell_of_two_leads(pipeline)
        kept = await page(client, limit=1)
        async with pipeline.database.transaction(ALL_WORKSPACES) as connection:
            assert await feed.forget(connection, NOON + timedelta(seconds=1), 1) == 1

        too_late = await client.get("/v1/feed", params={"cursor": start})
        oldest = await page(client, begin="oldest")
        in_time = await page(client, cursor=kept["next_cursor"])

        assert (too_late.status_code, too_late.json()["code"]) == (410, "cursor_expired")
        assert oldest == in_time

    async def test_what_commits_later_never_stands_before_what_was_read(self, database: Database) -> None:
        async def told(number: int) -> None:
            async with database.transaction(ALL_WORKSPACES) as connection:
                await append(connection, number)

        async def append(connection: Any, number: int) -> None:
            await connection.execute(
                text("INSERT INTO pipeline.webhook_message VALUES (:id, 'lead.merged', '{}', :now)"),
                {"id": str(number), "now": NOON},
            )
            await feed.append(connection, [Told("default", str(number), "lead.merged", LEAD)], NOON)

        async def read() -> list[int]:
            async with database.transaction(ALL_WORKSPACES) as connection:
                found = await feed.read(connection, "default", after=0, wanted=Wanted(), limit=10)
            return [entry.position for entry in found.entries]

        async def second_waits() -> bool:
            async with database.transaction(ALL_WORKSPACES) as connection:
                waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                return bool(await connection.scalar(text(waiting)))

        async with database.transaction(ALL_WORKSPACES) as first:
            await append(first, 1)
            second = asyncio.create_task(told(2))
            await wait_until(second_waits, "the second transaction waits for the first")
            assert await read() == []
        await second

        positions = await read()
        assert len(positions) == 2
        assert positions == sorted(positions)


class TestStream:
    async def test_what_is_told_is_heard_at_once_and_resumed_after_a_break(self, pipeline: PipelineHarness) -> None:
        client = await pipeline.client(Scope.LEADS_READ)
        key = client.headers["authorization"].removeprefix("Bearer ")
        async with serving(pipeline.app) as base_url:
            async with listening(base_url, key, "/v1/stream?type=lead.score_changed") as first:
                await pipeline.take_in(a_score_change(1))
                await first.until(1)
            await pipeline.take_in(a_score_change(2), a_score_change(3))
            last = {"last-event-id": first.heard[-1]["id"]}
            async with listening(base_url, key, "/v1/stream?type=lead.score_changed", **last) as second:
                await second.until(2)
                pipeline.watch.close()
                await second.until_end()

        heard = [*first.heard, *second.heard]
        assert [event["event"] for event in heard] == ["lead.score_changed"] * 3
        sequences = [
            (await page(client, type="lead.score_changed"))["messages"][n]["data"]["sequence"] for n in range(3)
        ]
        assert sequences == [1, 2, 3]

    async def test_another_process_tells_too(self, pipeline: PipelineHarness) -> None:
        client = await pipeline.client(Scope.LEADS_READ)
        key = client.headers["authorization"].removeprefix("Bearer ")
        elsewhere = PipelineHarness(pipeline.database, pipeline.log)
        async with serving(pipeline.app) as base_url, listening(base_url, key) as listener:
            await elsewhere.take_in(a_score_change(1))
            await pipeline.watch.look()
            await listener.until(1)

        assert "lead.score_changed" in listener.types

    async def test_what_a_filter_keeps_back_still_moves_the_place_to_resume_from(
        self, pipeline: PipelineHarness
    ) -> None:
        client = await pipeline.client(Scope.LEADS_READ)
        key = client.headers["authorization"].removeprefix("Bearer ")
        path = "/v1/stream?filter=data.to_stage%3Dnowhere"
        async with serving(pipeline.app) as base_url, listening(base_url, key, path) as listener:
            begun = len(listener.events)
            await tell_of_two_leads(pipeline)

            async def has_moved() -> bool:
                return len(listener.events) > begun

            await wait_until(has_moved, "a new place")

        assert listener.heard == []
        after = await page(client, cursor=listener.events[-1]["id"])
        assert after["messages"] == []

    async def test_a_revoked_key_hears_no_more(self, pipeline: PipelineHarness) -> None:
        client = await pipeline.client(Scope.LEADS_READ)
        key = client.headers["authorization"].removeprefix("Bearer ")
        async with serving(pipeline.app) as base_url, listening(base_url, key) as listener:
            repository = KeyRepository(pipeline.database)
            for stored in await repository.of_workspace("default"):
                await repository.revoke(stored.key_id, workspace="default", now=NOON)
            await pipeline.keys.snapshot.refresh()
            pipeline.watch.wake()

            await listener.until_end()

    async def test_there_are_no_more_streams_than_allowed(self, pipeline: PipelineHarness) -> None:
        client = await pipeline.client(Scope.LEADS_READ)
        pipeline.watch.most_streams = 0

        answer = await client.get("/v1/stream")

        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 0
