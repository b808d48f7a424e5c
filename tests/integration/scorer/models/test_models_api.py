"""The API of models on real PostgreSQL: drafts, versions, who chose which and why, and the shadow."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from services.scorer.api.drafts import drafts_router
from services.scorer.api.models import models_router
from services.scorer.api.shadows import shadows_router
from services.scorer.service import Scorer
from shared.access import KeyRepository, KeyRing, Scope
from shared.clock import ManualClock
from shared.db.engine import Database
from shared.db.outbox import Outbox
from shared.db.reach import ALL_WORKSPACES
from shared.log.embedded import EmbeddedLog
from shared.process import create_app
from shared.service import Context, Service
from shared.settings import Settings
from tests.support.messages import NOON, an_event

pytestmark = pytest.mark.postgres


def a_model(points: float = 10, **changes: Any) -> dict[str, Any]:
    return {
        "model": "test",
        "scores": {"total": {"rules": [{"id": "page", "on": "page_viewed", "points": points, "half_life": "1d"}]}},
        "bands": {"total": {"hot": 30, "cold": 0}},
        "thresholds": {"hot": {"score": "total", "enter": 30}},
        **changes,
    }


class Api:
    """The routes of models without the tasks of a scorer; what tasks do is done when a test says so."""

    def __init__(self, database: Database) -> None:
        self.clock = ManualClock(NOON)
        self.database = database
        self.scorer = Scorer(database, Outbox("scorer"), self.clock)
        self.keys = KeyRing(database, self.clock)
        context = Context(Settings(), database, EmbeddedLog(database), self.clock)
        routers = tuple(router(context, self.keys) for router in (models_router, drafts_router, shadows_router))
        self.app = create_app([Service("scorer", routers)])

    async def client(self, *scopes: Scope, workspace: str = "default") -> httpx.AsyncClient:
        key = await KeyRepository(self.database).create(
            workspace, name="test", scopes=scopes or (Scope.ADMIN,), now=self.clock.now()
        )
        await self.keys.snapshot.refresh()
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app),
            base_url="http://leadflow",
            headers={"authorization": f"Bearer {key.text}"},
        )

    async def follow(self) -> None:
        while await self.scorer.follow_active_models(10) + await self.scorer.follow_shadows(10):
            pass


@pytest.fixture
def api(database: Database) -> Api:
    return Api(database)


@pytest.fixture
async def client(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(await api.client())


async def publish(client: httpx.AsyncClient, points: float, *, activate: bool = True, reason: str = "test") -> int:
    answer = await client.post(
        "/v1/models", json={"document": a_model(points), "activate": activate, "reason": reason}
    )
    assert answer.status_code == 201, answer.text
    return int(answer.json()["version"])


async def active(client: httpx.AsyncClient) -> list[int]:
    return [model["version"] for model in (await client.get("/v1/models")).json()["models"] if model["active"]]


async def test_a_draft_is_kept_with_its_faults_and_published_once_it_has_none(client: httpx.AsyncClient) -> None:
    wrong = a_model(thresholds={"hot": {"score": "totl", "enter": 30}})
    kept = (await client.put("/v1/models/drafts/spring", json={"document": wrong})).json()
    assert (kept["valid"], kept["faults"]) == (
        False,
        [{"path": "thresholds.hot.score", "message": "is no score of this model: did you mean total?"}],
    )
    refused = await client.post("/v1/models/drafts/spring/publish", json={"reason": "spring"})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_document")

    await client.put("/v1/models/drafts/spring", json={"document": a_model()})
    published = await client.post("/v1/models/drafts/spring/publish", json={"reason": "spring"})

    assert (published.status_code, published.json()["version"], published.json()["active"]) == (201, 1, True)
    assert published.json()["document"] == a_model()
    assert (await client.get("/v1/models/drafts/spring")).status_code == 404
    assert (await client.get("/v1/models/drafts")).json() == {"drafts": [], "next_cursor": None}


async def test_drafts_come_page_by_page_and_can_be_thrown_away(client: httpx.AsyncClient) -> None:
    for name in ("b", "a", "c"):
        await client.put(f"/v1/models/drafts/{name}", json={"document": a_model()})

    first = (await client.get("/v1/models/drafts", params={"limit": 2})).json()
    rest = (await client.get("/v1/models/drafts", params={"cursor": first["next_cursor"]})).json()
    deleted = await client.delete("/v1/models/drafts/b")

    assert [draft["name"] for draft in first["drafts"] + rest["drafts"]] == ["a", "b", "c"]
    assert (deleted.status_code, (await client.delete("/v1/models/drafts/b")).status_code) == (204, 404)


async def test_what_a_draft_would_change_of_the_active_version_is_told_in_words(client: httpx.AsyncClient) -> None:
    await client.put("/v1/models/drafts/spring", json={"document": a_model(12)})
    assert (await client.get("/v1/models/drafts/spring/diff")).status_code == 409
    await publish(client, 10)

    answer = (await client.get("/v1/models/drafts/spring/diff")).json()

    assert answer == {
        "differences": [
            {
                "change": "changed",
                "path": "scores.total.rules.page.points",
                "old": "10",
                "new": "12",
                "text": "rule page of total, points: 10 -> 12",
            }
        ]
    }


async def test_versions_are_compared_in_words(client: httpx.AsyncClient) -> None:
    await publish(client, 10)
    await publish(client, 12)

    there = (await client.get("/v1/models/1/diff/2")).json()["differences"]
    back = (await client.get("/v1/models/2/diff/1")).json()["differences"]

    assert [each["text"] for each in there + back] == [
        "rule page of total, points: 10 -> 12",
        "rule page of total, points: 12 -> 10",
    ]
    assert (await client.get("/v1/models/1/diff/3")).status_code == 404


async def test_the_history_says_which_version_counted_since_when_who_wanted_it_and_why(
    client: httpx.AsyncClient,
) -> None:
    await publish(client, 10, reason="first")
    await publish(client, 12, reason="second")
    await client.post("/v1/models/1/activate", json={"reason": "second was too much"})

    first = (await client.get("/v1/models/history", params={"limit": 2})).json()
    rest = (await client.get("/v1/models/history", params={"cursor": first["next_cursor"]})).json()

    told = [(each["version"], each["reason"]) for each in first["activations"] + rest["activations"]]
    assert told == [(1, "second was too much"), (2, "second"), (1, "first")]
    assert first["activations"][0]["activated_by"].startswith("key ")
    assert rest["next_cursor"] is None


async def test_one_call_goes_back_and_repeating_it_does_not_go_back_and_forth(client: httpx.AsyncClient) -> None:
    await publish(client, 10)
    assert (await client.post("/v1/models/rollback", json={"reason": "?"})).json()["code"] == "nothing_before"
    await publish(client, 12)

    back = await client.post("/v1/models/rollback", json={"reason": "too much", "from_version": 2})
    again = await client.post("/v1/models/rollback", json={"reason": "too much", "from_version": 2})

    assert (back.status_code, back.json()["version"]) == (200, 1)
    assert (again.status_code, again.json()["code"]) == (409, "not_active")
    assert await active(client) == [1]


async def test_the_shadow_is_reported_with_what_differs_and_why(api: Api, client: httpx.AsyncClient) -> None:
    await publish(client, 10)
    version = await publish(client, 20, activate=False)
    await api.scorer.count([an_event(f"a{n}", email="a@acme.example") for n in range(2)], reach=ALL_WORKSPACES)
    await api.scorer.count([an_event("b", "note_added", email="b@acme.example")], reach=ALL_WORKSPACES)

    started = await client.post(f"/v1/models/{version}/shadow", json={"reason": "is twice better?"})
    assert (started.status_code, started.json()["reason"]) == (200, "is twice better?")
    early = (await client.get(f"/v1/models/{version}/shadow")).json()
    await api.follow()
    report = (await client.get(f"/v1/models/{version}/shadow")).json()

    assert (early["leads"], early["compared"], early["movers"]) == (2, 0, [])
    assert (report["leads"], report["compared"], report["alike"], report["active_version"]) == (2, 2, 1, 1)
    assert report["scores"] == [
        {"score": "total", "leads": 2, "differing": 1, "mean_absolute_difference": 10, "largest_difference": 20}
    ]
    assert report["bands"] == [{"score": "total", "active": "cold", "shadow": "hot", "leads": 1}]
    assert report["thresholds"] == [{"threshold": "hot", "active": "below", "shadow": "reached", "leads": 1}]
    (mover,) = report["movers"]
    assert (mover["active"]["scores"], mover["shadow"]["scores"]) == ({"total": 20}, {"total": 40})
    assert mover["emails"] == ["a@acme.example"]
    assert mover["reasons"] == [{"score": "total", "kind": "rule", "name": "page", "active": 20, "shadow": 40}]


async def test_the_shadow_is_stopped_by_whoever_asks_and_promoted_by_activating_it(client: httpx.AsyncClient) -> None:
    await publish(client, 10)
    version = await publish(client, 20, activate=False)
    await client.post(f"/v1/models/{version}/shadow", json={"reason": "try"})

    assert (await client.delete(f"/v1/models/{version}/shadow")).status_code == 204
    assert (await client.delete(f"/v1/models/{version}/shadow")).status_code == 404
    await client.post(f"/v1/models/{version}/shadow", json={"reason": "try again"})
    shadows = [model["version"] for model in (await client.get("/v1/models")).json()["models"] if model["shadow"]]
    await client.post(f"/v1/models/{version}/activate", json={"reason": "better"})

    assert shadows == [version]
    assert await active(client) == [version]
    assert (await client.get(f"/v1/models/{version}/shadow")).status_code == 404


async def test_another_workspace_sees_and_changes_nothing(api: Api, client: httpx.AsyncClient) -> None:
    await publish(client, 10)
    await publish(client, 20, activate=False)
    await client.post("/v1/models/2/shadow", json={"reason": "try"})
    await client.put("/v1/models/drafts/mine", json={"document": a_model()})
    other = await api.client(workspace="other")

    calls = [
        other.get("/v1/models/1"),
        other.get("/v1/models/1/diff/2"),
        other.post("/v1/models/1/activate", json={"reason": "?"}),
        other.get("/v1/models/2/shadow"),
        other.delete("/v1/models/2/shadow"),
        other.post("/v1/models/2/shadow", json={"reason": "?"}),
        other.get("/v1/models/drafts/mine"),
        other.delete("/v1/models/drafts/mine"),
        other.post("/v1/models/drafts/mine/publish", json={"reason": "?"}),
    ]
    assert [(await call).status_code for call in calls] == [404] * len(calls)
    assert (await other.get("/v1/models")).json()["models"] == []
    assert (await other.get("/v1/models/history")).json()["activations"] == []
    assert (await other.get("/v1/models/drafts")).json()["drafts"] == []
    await other.aclose()


async def test_reading_does_not_allow_to_change(api: Api) -> None:
    reader = await api.client(Scope.LEADS_READ)
    calls = [
        reader.post("/v1/models", json={"document": a_model()}),
        reader.post("/v1/models/rollback", json={"reason": "?"}),
        reader.post("/v1/models/1/shadow", json={"reason": "?"}),
        reader.delete("/v1/models/1/shadow"),
        reader.put("/v1/models/drafts/a", json={"document": a_model()}),
        reader.delete("/v1/models/drafts/a"),
    ]
    assert [(await call).status_code for call in calls] == [403] * len(calls)
    await reader.aclose()


@pytest.mark.parametrize("cursor", ["x", "e30", "eyJ2ZXJzaW9uIjo5OTk5OTk5OTk5OTk5OTk5OTk5OX0"])
async def test_a_cursor_that_is_none_is_refused(client: httpx.AsyncClient, cursor: str) -> None:
    for path in ("/v1/models", "/v1/models/history", "/v1/models/drafts"):
        assert (await client.get(path, params={"cursor": cursor})).status_code == 422
