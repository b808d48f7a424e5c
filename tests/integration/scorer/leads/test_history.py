"""Histories on real PostgreSQL: what recomputing, comparing and testing models read."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import UUID

import pytest

from services.scorer.leads.history import (
    LeadHistory,
    Prepare,
    Progress,
    Snapshot,
    Task,
    Tuning,
    WorkerDied,
    histories_of,
    map_leads,
    snapshot,
)
from services.scorer.service import Scorer
from shared.clock import ManualClock
from shared.db.engine import Database
from shared.db.outbox import Outbox
from shared.db.reach import ALL_WORKSPACES
from shared.events.accepting import Accepted
from tests.support.messages import NOON, an_event

Seen = tuple[UUID, list[str]]
HERE = Tuning(processes=0, chunk_leads=2)
ONE_OTHER = Tuning(processes=1)


def ids_with(prefix: str) -> Callable[[Sequence[LeadHistory]], list[Seen]]:
    return lambda chunk: [(lead_id, [prefix + event.id for event in events]) for lead_id, events in chunk]


def dying(_: str) -> Callable[[Sequence[LeadHistory]], list[Seen]]:
    import os

    return lambda chunk: os._exit(9)


def refusing(_: str) -> Callable[[Sequence[LeadHistory]], list[Seen]]:
    def work(chunk: Sequence[LeadHistory]) -> list[Seen]:
        raise ValueError("no")

    return work


async def count(database: Database, *messages: Accepted) -> None:
    await Scorer(database, Outbox("scorer"), ManualClock(NOON + timedelta(minutes=1))).count(
        messages, reach=ALL_WORKSPACES
    )


async def seen_in(
    taken: Snapshot,
    prepare: Prepare[str, LeadHistory, list[Seen]] = ids_with,
    tuning: Tuning = HERE,
    *,
    prefix: str = "",
    workspace: str = "default",
) -> list[list[Seen]]:
    return await map_leads(taken, workspace, Task(histories_of, prepare, prefix), tuning)


async def read(database: Database, workspace: str = "default") -> list[list[str]]:
    async with snapshot(database, workspace) as taken:
        return sorted(ids for chunk in await seen_in(taken, workspace=workspace) for _, ids in chunk)


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
        seen = await seen_in(taken)

    assert [ids for chunk in seen for _, ids in chunk] == [["before"]]


@pytest.mark.parametrize("processes", [0, 2])
async def test_a_function_is_mapped_over_all_leads_in_the_order_of_their_ids(
    database: Database, processes: int
) -> None:
    await count(database, *(an_event(f"e{n}", email=f"p{n}@acme.example") for n in range(7)))
    seen: list[Progress] = []

    tuning = Tuning(processes, chunk_leads=2, on_progress=seen.append)
    async with snapshot(database, "default") as taken:
        results = await seen_in(taken, tuning=tuning, prefix="my ")

    leads = [lead_id for chunk in results for lead_id, _ in chunk]
    assert leads == sorted(leads)
    assert sorted(ids for chunk in results for _, ids in chunk) == [[f"my e{n}"] for n in range(7)]
    assert [len(chunk) for chunk in results] == [2, 2, 2, 1]
    assert (seen[0], seen[-1]) == (Progress(0, 7), Progress(7, 7))


async def test_what_the_work_raises_comes_through_and_a_killed_worker_is_told_apart(database: Database) -> None:
    await count(database, an_event())

    async with snapshot(database, "default") as taken:
        with pytest.raises(ValueError, match="no"):
            await seen_in(taken, refusing, ONE_OTHER)
        with pytest.raises(WorkerDied):
            await seen_in(taken, dying, ONE_OTHER)
