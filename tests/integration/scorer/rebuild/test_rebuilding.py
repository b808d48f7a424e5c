"""Rebuilding on real PostgreSQL: what is stored is what the events say, and where it is not, it becomes so."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from random import Random
from uuid import UUID

import pytest
from pydantic_core import from_json, to_json
from sqlalchemy import text

from services.scorer.leads import repository as lead_repository
from services.scorer.leads.history import Progress, Tuning
from services.scorer.models import versions
from services.scorer.rebuild import repository as rebuild_repository
from services.scorer.rebuild.rebuilding import Rebuilt, Verification, rebuild, verify
from services.scorer.service import Scorer
from shared.clock import ManualClock
from shared.db.engine import Database
from shared.db.outbox import Outbox
from shared.db.reach import ALL_WORKSPACES
from shared.errors import Refused
from shared.events.codec import AnyMessage
from shared.events.json import Json
from shared.events.scores import LeadScoreChanged
from tests.support import outbox
from tests.support.messages import NOON, an_event
from tests.support.postgres import as_owner
from tests.support.traffic import mixed_traffic, play
from tests.unit.scorer.histories import MODEL_DOCUMENT

IN_THIS_PROCESS = Tuning(0, chunk_leads=50)


class Bench:
    """A scorer, and whoever rebuilds beside it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = ManualClock(NOON)
        self.scorer = Scorer(database, Outbox("scorer"), self.clock)

    async def publish(self, document: Json = MODEL_DOCUMENT) -> None:
        await versions.publish(self.database, self.clock, "default", document, by="test", reason="test")

    async def day(self, *, leads: int = 40, events: int = 400, seed: int = 7) -> None:
        random = Random(seed)
        arriving = mixed_traffic(random, leads=leads, events=events, start=NOON - timedelta(days=1))
        await play(self.scorer, self.clock, random, arriving)

    async def verify(self, tuning: Tuning = IN_THIS_PROCESS) -> Verification:
        return await verify(self.database, "default", self.clock, tuning=tuning)

    async def rebuild(self, processes: int = 0, *, restart: bool = False) -> Rebuilt:
        return await rebuild(
            self.database, "default", self.clock, processes=processes, restart=restart, step_leads=10
        )

    async def told(self) -> list[AnyMessage]:
        async with self.database.transaction(ALL_WORKSPACES) as connection:
            return await outbox.taken(connection, "scorer")

    async def change(self, statement: str, **parameters: object) -> None:
        async with self.database.transaction(ALL_WORKSPACES) as connection:
            await connection.execute(text(statement), parameters)

    async def corrupt(self, lead_id: UUID) -> None:
        """Give a stored state points that no event gave."""
        async with self.database.transaction(ALL_WORKSPACES) as connection:
            row = (await lead_repository.read_leads(connection, [lead_id]))[lead_id]
            assert row.state is not None
            state = from_json(row.state)
            state[2].append([[0, "ghost", "web", "score_adjusted"], "engagement", 3.25, None, None, "", ""])
            await lead_repository.save_leads(connection, [replace(row, state=to_json(state))])

    async def rows(self, query: str) -> Sequence[tuple[object, ...]]:
        async with self.database.transaction(ALL_WORKSPACES) as connection:
            return [tuple(row) for row in await connection.execute(text(query))]


@pytest.fixture
async def bench(database: Database) -> Bench:
    bench = Bench(database)
    await bench.publish()
    return bench


async def test_verifying_a_day_of_mixed_traffic_finds_no_difference_and_its_digest_repeats(bench: Bench) -> None:
    await bench.day()
    assert len(await bench.rows("SELECT 1 FROM scorer.merge")) > 5
    assert len(await bench.rows("SELECT 1 FROM scorer.event WHERE voided")) > 5

    here = await bench.verify()
    bench.clock.advance(timedelta(days=3))
    while await bench.scorer.tell_what_time_did(50):
        pass
    by_others = await bench.verify(Tuning(2, chunk_leads=7))

    assert here.differing == by_others.differing == ()
    assert here.leads > 20
    assert (here.digest, here.at) == (by_others.digest, by_others.at)


async def test_the_digest_is_the_same_wherever_the_same_events_were_counted(bench: Bench) -> None:
    await bench.day(events=120)
    first = await bench.verify()
    async with as_owner(bench.database) as connection:
        await connection.execute(
            text("TRUNCATE scorer.event, scorer.identity, scorer.due, scorer.merge, scorer.lead CASCADE")
        )
    elsewhere = Bench(bench.database)
    random = Random(7)
    arriving = mixed_traffic(random, leads=40, events=120, start=NOON - timedelta(days=1))
    random.shuffle(arriving)
    await play(elsewhere.scorer, elsewhere.clock, random, arriving)

    again = await elsewhere.verify()

    assert (again.digest, again.at, again.leads) == (first.digest, first.at, first.leads)


async def test_verifying_finds_no_difference_after_merges_were_taken_back(bench: Bench) -> None:
    await bench.day(events=200)
    merges = await bench.rows("SELECT survivor, absorbed FROM scorer.merge ORDER BY id DESC LIMIT 3")
    for survivor, absorbed in merges:
        with suppress(Refused):
            await bench.scorer.unmerge(
                "default", UUID(str(survivor)), UUID(str(absorbed)), actor="anna", reason="two people"
            )

    assert await bench.rows("SELECT 1 FROM scorer.merge WHERE undone_at IS NOT NULL")
    assert (await bench.verify()).differing == ()


async def test_one_event_more_or_less_changes_the_digest(bench: Bench) -> None:
    await bench.scorer.count([an_event("e1"), an_event("e2")], reach=ALL_WORKSPACES)
    before = await bench.verify()
    await bench.scorer.count(
        [an_event("v", "event_voided", properties={"event_id": "e1"}, at=NOON)], reach=ALL_WORKSPACES
    )

    assert (await bench.verify()).digest != before.digest


@pytest.mark.parametrize("processes", [0, 2])
async def test_a_corrupted_lead_is_found_named_and_repaired(bench: Bench, processes: int) -> None:
    await bench.day(events=150)
    await bench.told()
    lead_id = UUID(str((await bench.rows("SELECT id FROM scorer.lead WHERE merged_into IS NULL LIMIT 1"))[0][0]))
    await bench.corrupt(lead_id)

    found = await bench.verify()
    done = await bench.rebuild(processes)

    assert [each.lead_id for each in found.differing] == [lead_id]
    assert "scores.engagement" in [each.field for each in found.differing[0].differences]
    assert (done.repaired, done.told, done.leads) == (1, 1, found.leads)
    assert (await bench.verify()).differing == ()
    (told,) = await bench.told()
    assert isinstance(told, LeadScoreChanged)
    assert (told.data.lead.id, told.data.cause) == (str(lead_id), "model")


async def test_a_due_moment_that_got_lost_is_found_and_comes_back_without_a_word(bench: Bench) -> None:
    await bench.scorer.count(
        [an_event(f"e{n}", at=NOON - timedelta(hours=n)) for n in range(6)], reach=ALL_WORKSPACES
    )
    due = await bench.rows("SELECT due_at FROM scorer.due")
    await bench.told()
    await bench.change("DELETE FROM scorer.due")

    found = await bench.verify()
    done = await bench.rebuild()

    assert [each.field for lead in found.differing for each in lead.differences] == ["due_at"]
    assert (done.repaired, done.told) == (1, 0)
    assert await bench.rows("SELECT due_at FROM scorer.due") == due
    assert await bench.told() == []


async def test_rebuilding_what_is_right_says_nothing_though_scores_have_decayed_since(bench: Bench) -> None:
    await bench.day(events=150)
    await bench.told()
    bench.clock.advance(timedelta(hours=2))

    done = await bench.rebuild()

    assert (done.repaired, done.told) == (0, 0)
    assert await bench.told() == []


async def test_leads_of_another_version_are_computed_under_the_active_one(bench: Bench) -> None:
    await bench.scorer.count([an_event()], reach=ALL_WORKSPACES)
    await bench.publish({"model": "new", "scores": {"a": {"rules": [{"id": "p", "on": "page_viewed", "points": 9}]}}})

    found = await bench.verify()
    done = await bench.rebuild()

    assert [each.field for each in found.differing[0].differences] == ["model_version"]
    assert (done.model_version, done.repaired) == (2, 1)
    assert (await bench.verify()).differing == ()
    assert await bench.scorer.follow_active_models(10) == 0


async def test_a_rebuild_that_was_cut_short_goes_on_where_it_was(bench: Bench) -> None:
    await bench.scorer.count([an_event(f"e{n}", email=f"p{n}@acme.example") for n in range(35)], reach=ALL_WORKSPACES)
    seen: list[Progress] = []

    def interrupt(progress: Progress) -> None:
        seen.append(progress)
        if progress.done >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rebuild(bench.database, "default", bench.clock, processes=0, step_leads=10, on_progress=interrupt)
    before = set(await bench.rows("SELECT id, xmin::text FROM scorer.lead"))
    done = await bench.rebuild()
    after = set(await bench.rows("SELECT id, xmin::text FROM scorer.lead"))

    assert (done.resumed, done.leads) == (True, 35)
    assert len(before & after) == seen[-1].done < 35
    assert not (await bench.rebuild()).resumed


async def test_it_begins_anew_when_asked_to_or_when_another_version_counts_by_now(bench: Bench) -> None:
    await bench.scorer.count([an_event(f"e{n}", email=f"p{n}@acme.example") for n in range(25)], reach=ALL_WORKSPACES)

    def interrupt(progress: Progress) -> None:
        raise KeyboardInterrupt

    async def cut_short() -> None:
        with pytest.raises(KeyboardInterrupt):
            await rebuild(bench.database, "default", bench.clock, processes=0, step_leads=10, on_progress=interrupt)

    await cut_short()
    assert not (await bench.rebuild(restart=True)).resumed
    await cut_short()
    await bench.publish({**MODEL_DOCUMENT, "model": "new"})
    done = await bench.rebuild()
    assert (done.resumed, done.leads, done.repaired) == (False, 25, 25)


async def test_without_a_model_there_is_nothing_to_differ(database: Database) -> None:
    bench = Bench(database)
    await bench.scorer.count([an_event(attributes={"size": 10})], reach=ALL_WORKSPACES)

    found = await bench.verify()
    done = await bench.rebuild()

    assert (found.leads, found.different, found.model_version) == (1, 0, 0)
    assert (done.leads, done.repaired, done.told) == (1, 0, 0)


async def test_a_repaired_lead_is_compared_again_in_the_shadow(bench: Bench) -> None:
    await versions.publish(
        bench.database, bench.clock, "default", {**MODEL_DOCUMENT, "model": "b"}, by="t", reason="t", activate=False
    )
    await versions.start_shadow(bench.database, bench.clock, "default", 2, by="t", reason="t")
    await bench.scorer.count([an_event()], reach=ALL_WORKSPACES)
    while await bench.scorer.follow_shadows(10):
        pass
    await bench.change("UPDATE scorer.lead SET sealed_published = NULL")

    await bench.rebuild()

    assert await bench.rows("SELECT shadow_id FROM scorer.lead") == [(None,)]
    assert await bench.scorer.follow_shadows(10) > 0


async def test_two_rebuilds_of_a_workspace_never_go_on_at_once(bench: Bench) -> None:
    async with bench.database.transaction(ALL_WORKSPACES) as connection:
        assert await rebuild_repository.take_turn(connection, "default")
        with pytest.raises(Refused, match="another rebuild"):
            await bench.rebuild()

    assert (await bench.rebuild()).leads == 0


async def test_live_traffic_beside_a_rebuild_is_never_overwritten(bench: Bench) -> None:
    await bench.day(events=100)
    random = Random(11)
    arriving = mixed_traffic(random, leads=40, events=200, start=NOON, prefix="x")

    async def rebuild_again_and_again() -> None:
        for _ in range(4):
            await bench.rebuild()

    await asyncio.gather(rebuild_again_and_again(), play(bench.scorer, bench.clock, random, arriving))

    assert (await bench.verify()).differing == ()
