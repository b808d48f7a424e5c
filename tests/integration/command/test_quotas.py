"""A workspace may have so much and no more: each quota by the setting that names it, at n and at n+1."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from typer import Typer
from typer.testing import CliRunner, Result

from services.command import keys, subscriptions
from services.command.up import BUILDS, assembled
from shared.access import KeyRepository, KeyRing, Scope
from shared.clock import SystemClock
from shared.db.engine import Database
from shared.process import create_app
from shared.service import Context, Service
from shared.settings import Settings

pytestmark = pytest.mark.postgres

MOST = 2
SETTINGS = (
    "LEADFLOW_SCORER_MOST_MODEL_VERSIONS",
    "LEADFLOW_SCORER_MOST_DRAFTS",
    "LEADFLOW_SCORER_MOST_WAITING_SIMULATIONS",
    "LEADFLOW_PIPELINE_MOST_PIPELINE_VERSIONS",
    "LEADFLOW_PIPELINE_MOST_SUBSCRIPTIONS",
    "LEADFLOW_INGEST_MOST_SOURCES",
    "LEADFLOW_MOST_KEYS",
)


def a_model(number: int) -> dict[str, Any]:
    rule = {"id": "page", "on": "page_viewed", "points": number + 1}
    return {"model": "quota", "scores": {"total": {"rules": [rule]}}, "bands": {"total": {"hot": 12, "cold": 0}}}


def a_pipeline(number: int) -> dict[str, Any]:
    return {"pipeline": "quota", "stages": [{"id": "new", "initial": True}, {"id": f"stage_{number}"}]}


@dataclass(frozen=True, slots=True)
class Kind:
    """How one more of something is made by API, and how a further one is refused."""

    add: Callable[[int, str], tuple[str, str, dict[str, Any]]]
    code: str
    setting: str


KINDS = {
    "models": Kind(
        lambda number, _: ("POST", "/v1/models", {"document": a_model(number)}),
        "too_many_models",
        "LEADFLOW_SCORER_MOST_MODEL_VERSIONS",
    ),
    "drafts": Kind(
        lambda number, _: ("PUT", f"/v1/models/drafts/draft-{number}", {"document": a_model(number)}),
        "too_many_drafts",
        "LEADFLOW_SCORER_MOST_DRAFTS",
    ),
    "simulations": Kind(
        lambda number, _: ("POST", "/v1/models/simulate", {"document": a_model(number)}),
        "too_many_simulations",
        "LEADFLOW_SCORER_MOST_WAITING_SIMULATIONS",
    ),
    "pipelines": Kind(
        lambda number, _: ("POST", "/v1/pipelines", {"document": a_pipeline(number)}),
        "too_many_pipelines",
        "LEADFLOW_PIPELINE_MOST_PIPELINE_VERSIONS",
    ),
    "subscriptions": Kind(
        lambda number, _: ("POST", "/v1/subscriptions", {"url": f"https://example.com/{number}"}),
        "too_many_subscriptions",
        "LEADFLOW_PIPELINE_MOST_SUBSCRIPTIONS",
    ),
    "sources": Kind(
        lambda number, workspace: (
            "POST",
            "/v1/sources",
            {"id": f"{workspace}-{number}", "kind": "segment", "secrets": ["s" * 40]},
        ),
        "too_many_sources",
        "LEADFLOW_INGEST_MOST_SOURCES",
    ),
}


@dataclass(frozen=True, slots=True)
class Routes:
    """The routes of all services, without their tasks: what waits stays waiting."""

    app: FastAPI
    database: Database
    keys: KeyRing
    stack: AsyncExitStack

    async def client(self, workspace: str) -> httpx.AsyncClient:
        repository = KeyRepository(self.database)
        key = await repository.create(workspace, name="test", scopes=[Scope.ADMIN], now=SystemClock().now())
        await self.keys.snapshot.refresh()
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app),
            base_url="http://leadflow",
            headers={"authorization": f"Bearer {key.text}"},
        )
        return await self.stack.enter_async_context(client)


@pytest.fixture(autouse=True)
def environment(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADFLOW_DATABASE_URL", database_url)
    for setting in SETTINGS:
        monkeypatch.setenv(setting, str(MOST))


@pytest.fixture
async def routes(database_url: str) -> AsyncIterator[Routes]:
    known: list[tuple[Context, KeyRing]] = []

    def ingest(context: Context, keys: KeyRing) -> Service:
        known.append((context, keys))
        return BUILDS["ingest"](context, keys)

    wanted = Settings(database_url=SecretStr(database_url))
    async with (
        assembled(tuple(BUILDS), wanted, SystemClock(), builds={**BUILDS, "ingest": ingest}) as services,
        AsyncExitStack() as stack,
    ):
        context, keys = known[0]
        yield Routes(create_app(services), context.database, keys, stack)


async def added(client: httpx.AsyncClient, kind: Kind, number: int, workspace: str) -> httpx.Response:
    method, path, body = kind.add(number, workspace)
    return await client.request(method, path, json=body)


@pytest.mark.parametrize("name", KINDS)
async def test_one_too_many_is_refused_with_what_to_do_in_its_own_workspace_alone(routes: Routes, name: str) -> None:
    kind, acme, bolt = KINDS[name], await routes.client("acme"), await routes.client("bolt")
    if name == "simulations":
        for client in (acme, bolt):
            await client.post("/v1/models", json={"document": a_model(100)})

    taken = [await added(acme, kind, number, "acme") for number in range(MOST)]
    refused = await added(acme, kind, MOST, "acme")
    elsewhere = await added(bolt, kind, MOST, "bolt")

    assert [answer.is_success for answer in (*taken, elsewhere)] == [True] * (MOST + 1)
    assert (refused.status_code, refused.json()["code"]) == (409, kind.code)
    assert f"a workspace has {MOST} " in refused.json()["detail"]
    assert kind.setting in refused.json()["detail"]


async def test_what_is_there_already_is_not_one_more(routes: Routes) -> None:
    client = await routes.client("acme")
    for number in range(MOST):
        for name in ("models", "drafts", "pipelines"):
            assert (await added(client, KINDS[name], number, "acme")).is_success

    again = [await added(client, KINDS[name], MOST - 1, "acme") for name in ("models", "drafts", "pipelines")]

    assert [answer.is_success for answer in again] == [True, True, True]
    assert (again[0].json()["version"], again[2].json()["version"]) == (MOST, MOST)


async def test_a_draft_that_would_be_one_version_too_many_stays_a_draft(routes: Routes) -> None:
    client = await routes.client("acme")
    for number in range(MOST):
        await added(client, KINDS["models"], number, "acme")
    await added(client, KINDS["drafts"], MOST, "acme")

    refused = await client.post(f"/v1/models/drafts/draft-{MOST}/publish", json={"reason": "done"})

    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_models")
    assert (await client.get(f"/v1/models/drafts/draft-{MOST}")).status_code == 200


async def test_there_is_room_again_once_something_is_deleted(routes: Routes) -> None:
    client = await routes.client("acme")
    first, _ = [await added(client, KINDS["subscriptions"], number, "acme") for number in range(MOST)]

    await client.delete(f"/v1/subscriptions/{first.json()['id']}")

    assert (await added(client, KINDS["subscriptions"], MOST, "acme")).status_code == 201


@pytest.mark.parametrize("name", ["subscriptions", "sources", "drafts"])
async def test_those_who_come_at_once_find_no_more_room_than_there_is(routes: Routes, name: str) -> None:
    client = await routes.client("acme")

    answers = await asyncio.gather(*(added(client, KINDS[name], number, "acme") for number in range(MOST + 3)))

    assert sorted(answer.status_code for answer in answers)[MOST:] == [409] * 3
    assert sum(answer.is_success for answer in answers) == MOST


async def run(app: Typer, *arguments: str) -> Result:
    # A command runs a loop of its own, so it needs a thread of its own.
    return await asyncio.to_thread(CliRunner().invoke, app, list(arguments))


async def test_commands_are_held_to_the_same() -> None:
    made = [await run(subscriptions.app, "create", f"https://example.com/{number}") for number in range(MOST + 1)]

    assert [result.exit_code for result in made] == [0] * MOST + [1]
    assert "LEADFLOW_PIPELINE_MOST_SUBSCRIPTIONS" in made[MOST].stderr


async def test_a_revoked_key_makes_room_for_another() -> None:
    made = [await run(keys.app, "create", "--workspace", "acme") for _ in range(MOST + 1)]
    key_id = made[0].stdout.strip().split("_")[2]

    await run(keys.app, "revoke", key_id, "--workspace", "acme")
    another = await run(keys.app, "create", "--workspace", "acme")

    assert [result.exit_code for result in made] == [0] * MOST + [1]
    assert f"a workspace has {MOST} keys at most: revoke one" in made[MOST].stderr
    assert another.exit_code == 0, another.stderr


async def test_an_expired_key_is_none_of_them(database: Database) -> None:
    repository, now = KeyRepository(database), SystemClock().now()
    await repository.create("acme", name="over", scopes=[Scope.ADMIN], now=now, expires_at=now, most=1)

    key = await repository.create("acme", name="next", scopes=[Scope.ADMIN], now=now, most=1)

    assert [one.key_id for one in await repository.of_workspace("acme") if one.is_good(now)] == [key.key_id]
