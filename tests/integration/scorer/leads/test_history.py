"""Histories on real PostgreSQL: what recomputing, comparing and testing models read."""

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from services.scorer.leads.history import LeadHistory, Progress, WorkerDied, histories, map_histories, snapshot
from services.scorer.service import Scorer
from shared.clock import ManualClock
from shared.db.engine import Database
from shared.db.outbox import Outbox
from shared.db.reach import ALL_WORKSPACES
from shared.events.accepting import Accepted
from tests.support.messages import NOON, an_event


def ids_with(prefix: str) -> Callable[[Sequence[LeadHistory]], list[str]]:
    return lambda chunk: [prefix + event.id for lead in chunk for event in lead.events]


def dying(_: str) -> Callable[[Sequence[LeadHistory]], list[str]]:
    import os

    return lambda chunk: os._exit(9)


def refusing(_: str) -> Callable[[Sequence[LeadHistory]], list[str]]:
    def work(chunk: Sequence[LeadHistory]) -> list[str]:
        raise ValueError("no")

    return work


async def count(database: Database, *messages: Accepted) -> None:
    await Scorer(database, Outbox("scorer"), ManualClock(NOON + timedelta(minutes=1))).count(
        messages, reach=ALL_WORKSPACES
    )


async def read(database: Database, workspace: str = "default") -> list[list[str]]:
    async with snapshot(database, workspace) as taken:
        return sorted([[e.id for e in events] async for _, events in histories(taken.connection, workspace, limit=2)])


async def test_each_surviving_lead_comes_once_with_what_counts_for_it_in_order(database: Database) -> None:
    await count(
        database,
        an_event("b2", email="bo@acme.example", at=NOON),
        an_event("b1", email="bo@acme.example", at=NOON - timedelta(days=1)),
        an_event("a1", email="ann@acme.example"),
        an_event("x", email="cy@acme.example"),
        an_event("elsewhere", workspace="other"),
    )
    await count(database, an_event("v1", anonymous_id="visitor", at=NOON - timedelta(days=2)))
    await count(database, an_event("b3", anonymous_id="visitor", email="bo@acme.example"))
    await count(database, an_event("void", "event_voided", email="cy@acme.example", properties={"event_id": "x"}))

    assert await read(database) == [["a1"], ["v1", "b1", "b2", "b3"], ["void"]]
    assert await read(database, "other") == [["elsewhere"]]


async def test_a_snapshot_does_not_see_what_is_counted_meanwhile(database: Database) -> None:
    await count(database, an_event("before"))
    async with snapshot(database, "default") as taken:
        await count(database, an_event("after"))
        seen = [history async for history in histories(taken.connection, "default")]

    assert [[e.id for e in each.events] for each in seen] == [["before"]]


@pytest.mark.parametrize("processes", [0, 2])
async def test_a_function_is_mapped_over_all_leads_in_the_order_of_their_ids(
    database: Database, processes: int
) -> None:
    await count(database, *(an_event(f"e{n}", email=f"p{n}@acme.example") for n in range(7)))
    seen: list[Progress] = []

    results = await map_histories(
        database, "default", ids_with, "my ", processes=processes, chunk_leads=2, on_progress=seen.append
    )

    async with snapshot(database, "default") as taken:
        expected = ["my " + each.events[0].id async for each in histories(taken.connection, "default")]
    assert [id_ for chunk in results for id_ in chunk] == expected
    assert [len(chunk) for chunk in results] == [2, 2, 2, 1]
    assert (seen[0], seen[-1]) == (Progress(0, 7), Progress(7, 7))


async def test_what_the_work_raises_comes_through_and_a_killed_worker_is_told_apart(database: Database) -> None:
    await count(database, an_event())

    with pytest.raises(ValueError, match="no"):
        await map_histories(database, "default", refusing, "", processes=1)
    with pytest.raises(WorkerDied):
        await map_histories(database, "default", dying, "", processes=1)
