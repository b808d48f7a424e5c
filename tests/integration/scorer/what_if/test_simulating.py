"""Simulations on real PostgreSQL: what another model would change, by command's function and by API."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from msgspec import to_builtins
from sqlalchemy import text

from services.scorer.api.simulations import simulations_router
from services.scorer.leads import history
from services.scorer.leads.history import Tuning
from services.scorer.models import versions
from services.scorer.service import Scorer
from services.scorer.what_if.jobs import KEPT, LOST_AFTER, SIMULATED, Simulations
from services.scorer.what_if.simulating import Side, Wanted, published_side, simulate
from shared.access import KeyRepository, KeyRing, Scope
from shared.clock import ManualClock
from shared.db.engine import Database
from shared.db.outbox import Outbox
from shared.db.reach import ALL_WORKSPACES
from shared.errors import InvalidInput
from shared.log.embedded import EmbeddedLog
from shared.process import create_app
from shared.service import Context, Service
from shared.settings import Settings
from tests.support.messages import NOON, an_event
from tests.support.oracle import scores_from_scratch
from tests.support.traffic import mixed_traffic, play
from tests.unit.scorer.histories import MODEL_DOCUMENT
from tests.unit.scorer.what_if.test_simulation import doubled, standing_from_scratch

pytestmark = pytest.mark.postgres

DRAFT = doubled(MODEL_DOCUMENT, "pricing")
HERE = Tuning(0, chunk_leads=7)
MOST = 10


class Bench:
    """A scorer with an active model, and the API of simulations beside it."""

    def __init__(self, database: Database, stack: AsyncExitStack) -> None:
        self.database = database
        self.clock = ManualClock(NOON)
        self.scorer = Scorer(database, Outbox("scorer"), self.clock)
        self.simulations = Simulations(database, self.clock, processes=1, most=MOST)
        self.keys = KeyRing(database, self.clock)
        self.stop = asyncio.Event()
        self._stack = stack

    async def publish(self, document: Any = MODEL_DOCUMENT) -> None:
        await versions.publish(self.database, self.clock, "default", document, by="test", reason="test")

    async def client(self, *scopes: Scope, workspace: str = "default") -> httpx.AsyncClient:
        key = await KeyRepository(self.database).create(
            workspace, name=str(uuid4()), scopes=scopes or (Scope.ADMIN,), now=self.clock.now()
        )
        await self.keys.snapshot.refresh()
        context = Context(Settings(), self.database, EmbeddedLog(self.database), self.clock)
        app = create_app([Service("scorer", (simulations_router(context, self.keys, self.simulations),))])
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://leadflow",
            headers={"authorization": f"Bearer {key.text}"},
        )
        return await self._stack.enter_async_context(client)

    async def ask(self, **body: Any) -> dict[str, Any]:
        answer = await (await self.client()).post("/v1/models/simulate", json=body or {"document": DRAFT})
        assert answer.status_code == 202, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def look(self, job: dict[str, Any]) -> dict[str, Any]:
        answer = await (await self.client()).get(f"/v1/models/simulations/{job['id']}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def work(self) -> bool:
        return await self.simulations.work_once(self.stop)

    async def rows(self, query: str, **parameters: object) -> Sequence[tuple[object, ...]]:
        async with self.database.transaction(ALL_WORKSPACES) as connection:
            found = await connection.execute(text(query), parameters)
            return [tuple(row) for row in found] if found.returns_rows else []


@pytest.fixture
async def bench(database: Database) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        bench = Bench(database, stack)
        await bench.publish()
        yield bench


async def test_a_draft_that_doubles_one_rule_changes_exactly_the_leads_that_a_recomputation_names(
    bench: Bench,
) -> None:
    random = Random(5)
    traffic = mixed_traffic(random, leads=40, events=250, start=NOON - timedelta(days=1))
    await play(bench.scorer, bench.clock, random, traffic)
    now = bench.clock.now()

    active = await published_side(bench.database, "default", None)
    wanted = Wanted(before=active, after=Side(DRAFT, None))
    here = await simulate(bench.database, "default", wanted, now=now, tuning=HERE)
    by_others = await simulate(bench.database, "default", wanted, now=now, tuning=Tuning(2, chunk_leads=5))

    expected: set[UUID] = set()
    async with history.snapshot(bench.database, "default") as taken:
        ids = await history.lead_ids(taken.connection, "default", limit=1_000)
        histories = await history.histories_of(taken.connection, ids)
    for lead_id, events in histories:
        wire = [to_builtins(event) for event in events]
        if standing_from_scratch(MODEL_DOCUMENT, wire, now) != standing_from_scratch(DRAFT, wire, now):
            expected.add(lead_id)
    assert {change.lead_id for change in here.result.changes} == expected
    assert 3 < len(expected) < here.result.leads
    assert here == by_others
    assert (here.before.version, here.after.version) == (1, None)


async def test_a_simulation_writes_nothing_and_tells_nobody(bench: Bench) -> None:
    await bench.scorer.count([an_event()], reach=ALL_WORKSPACES)
    before = await bench.rows("SELECT xmin::text, state::text FROM scorer.lead")
    told = await bench.rows("SELECT count(*) FROM scorer.outbox")

    active = await published_side(bench.database, "default", None)
    await simulate(bench.database, "default", Wanted(active, Side(DRAFT, None)), now=NOON, tuning=HERE)

    assert await bench.rows("SELECT xmin::text, state::text FROM scorer.lead") == before
    assert await bench.rows("SELECT count(*) FROM scorer.outbox") == told


async def test_by_api_a_simulation_is_asked_for_done_in_the_background_and_fetched(bench: Bench) -> None:
    await bench.scorer.count([an_event("e", properties={"path": "/pricing"})], reach=ALL_WORKSPACES)

    asked = await bench.ask(document=DRAFT, weeks=2, movers=1)
    waiting = await bench.look(asked)
    assert await bench.work()
    done = await bench.look(asked)

    assert (waiting["status"], waiting["result"], waiting["leads"]) == ("waiting", None, None)
    assert (done["status"], done["done"], done["leads"], done["attempts"]) == ("done", 1, 1, 1)
    assert done["before"] == {"name": "everything", "version": 1}
    result = SIMULATED.validate_python(done["result"]).result
    assert [reason.name for reason in result.movers[0].reasons] == ["pricing"]
    assert len(result.thresholds[0].weeks) == 2
    listed = (await (await bench.client()).get("/v1/models/simulations")).json()
    assert [each["id"] for each in listed] == [asked["id"]]
    assert not await bench.work()


async def test_a_draft_and_a_version_can_be_asked_about(bench: Bench) -> None:
    await versions.save_draft(bench.database, bench.clock, "default", "mine", DRAFT, by="test")
    await bench.publish({**DRAFT, "model": "second"})

    by_name = await bench.ask(draft="mine", against=1)
    by_version = await bench.ask(version=1)

    assert (by_name["before"]["version"], by_name["after"]) == (1, {"name": "everything", "version": None})
    assert (by_version["before"]["name"], by_version["after"]["version"]) == ("second", 1)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"document": DRAFT, "version": 1}, 422),
        ({"document": {"model": "x"}}, 422),
        ({"version": 7}, 404),
        ({"draft": "nobody"}, 404),
        ({"document": DRAFT, "against": 9}, 404),
        ({"document": DRAFT, "score": "nothing"}, 422),
        ({"document": DRAFT, "weeks": 1000}, 422),
        ({"document": DRAFT, "at": "1900-01-01T00:00:00Z"}, 422),
        ({"document": DRAFT, "at": "9999-12-31T23:59:59+00:00"}, 422),
        ({"document": DRAFT, "score": "\x00"}, 422),
    ],
)
async def test_what_cannot_be_simulated_is_refused_at_once(bench: Bench, body: dict[str, Any], status: int) -> None:
    answer = await (await bench.client()).post("/v1/models/simulate", json=body)

    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    ("body", "field"),
    [({"version": 7}, "version"), ({"draft": "nobody"}, "draft"), ({"document": DRAFT, "against": 9}, "against")],
)
async def test_what_is_not_there_is_named_as_it_was_asked_for(bench: Bench, body: dict[str, Any], field: str) -> None:
    answer = await (await bench.client()).post("/v1/models/simulate", json=body)

    assert answer.json()["field"] == field


async def test_another_workspace_and_a_lesser_key_see_nothing(bench: Bench) -> None:
    asked = await bench.ask()
    stranger = await bench.client(workspace="other")
    lesser = await bench.client(Scope.LEADS_READ)

    assert (await stranger.get(f"/v1/models/simulations/{asked['id']}")).status_code == 404
    assert (await stranger.get("/v1/models/simulations")).json() == []
    assert (await stranger.post("/v1/models/simulate", json={"document": DRAFT})).status_code == 422
    assert (await lesser.post("/v1/models/simulate", json={"document": DRAFT})).status_code == 403
    assert (await lesser.get(f"/v1/models/simulations/{asked['id']}")).status_code == 200


async def test_as_of_a_moment_what_happened_later_does_not_count(bench: Bench) -> None:
    early, late = NOON - timedelta(days=40), NOON - timedelta(days=1)
    events = [an_event(f"e{n}", at=at, properties={"path": "/pricing"}) for n, at in ((1, early), (2, late))]
    await bench.scorer.count(events, reach=ALL_WORKSPACES)
    then = early + timedelta(days=1)

    asked = await bench.ask(document=DRAFT, at=then.isoformat(), score="total", weeks=1)
    await bench.work()

    result = SIMULATED.validate_python((await bench.look(asked))["result"]).result
    history_then = [to_builtins(events[0].data)]
    before, after = (scores_from_scratch(document, history_then, then) for document in (MODEL_DOCUMENT, DRAFT))
    assert result.at == then
    assert (result.movers[0].before, result.movers[0].after) == (round(before["total"], 2), round(after["total"], 2))


async def test_only_so_many_wait_and_only_so_many_are_kept(bench: Bench) -> None:
    for _ in range(MOST):
        await bench.ask()
    refused = await (await bench.client()).post("/v1/models/simulate", json={"document": DRAFT})
    await bench.rows("UPDATE scorer.simulation SET status = 'done'")
    await bench.rows(
        """INSERT INTO scorer.simulation (id, workspace, request, requested_at, requested_by, status)
           SELECT gen_random_uuid(), workspace, request, requested_at - interval '1 day', requested_by, 'failed'
           FROM scorer.simulation, generate_series(1, 6)"""
    )
    await bench.ask()

    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_simulations")
    assert await bench.rows("SELECT count(*) FROM scorer.simulation") == [(KEPT + 1,)]


async def test_a_simulation_whose_process_died_is_taken_up_by_another(bench: Bench) -> None:
    asked = await bench.ask()
    await bench.rows(
        "UPDATE scorer.simulation SET status = 'running', attempts = 1, alive_at = :now", now=bench.clock.now()
    )

    assert not await bench.work()
    bench.clock.advance(LOST_AFTER + timedelta(seconds=1))
    assert await bench.work()

    done = await bench.look(asked)
    assert (done["status"], done["attempts"]) == ("done", 2)


async def test_a_simulation_that_takes_its_processes_with_it_is_given_up(bench: Bench) -> None:
    asked = await bench.ask()
    await bench.rows(
        "UPDATE scorer.simulation SET status = 'running', attempts = 3, alive_at = :then",
        then=bench.clock.now() - timedelta(hours=1),
    )

    assert await bench.work()

    failed = await bench.look(asked)
    assert failed["status"] == "failed"
    assert "died" in failed["error"]


async def test_a_process_that_is_stopped_leaves_its_simulation_to_others(bench: Bench) -> None:
    asked = await bench.ask()
    bench.stop.set()

    await bench.work()

    left = await bench.look(asked)
    assert (left["status"], left["attempts"]) == ("waiting", 0)


async def test_what_fails_says_so(bench: Bench) -> None:
    asked = await bench.ask()
    await bench.rows(
        """UPDATE scorer.simulation SET request = jsonb_set(request::jsonb, '{score}', '"gone"')::json"""
    )

    assert await bench.work()

    failed = await bench.look(asked)
    assert failed["status"] == "failed"
    assert "no score gone in common" in failed["error"]


async def test_without_an_active_model_there_is_nothing_to_compare_with(database: Database) -> None:
    with pytest.raises(InvalidInput, match="no model counts"):
        await published_side(database, "default", None)
