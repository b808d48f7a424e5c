"""A key is held to its pace: the last call that it allows is taken, the next one is told when to come again."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import APIRouter, Depends

from shared.access import KeyRepository, KeyRing, Scope, require
from shared.access.pacing import Cost, Paces
from shared.access.token_bucket import Pace
from shared.clock import ManualClock
from shared.db.engine import Database
from shared.process import create_app
from shared.service import Service
from tests.support.messages import NOON

pytestmark = pytest.mark.postgres


def nothing() -> None:
    """What the routes do."""


@pytest.fixture
async def client(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    """Three cheap calls and two dear ones at once; one more of each every four seconds."""
    clock = ManualClock(NOON)
    keys = KeyRing(database, clock, Paces(cheap=Pace(0.25, 3), dear=Pace(0.25, 2)))
    router = APIRouter()
    costs: tuple[Cost, ...] = ("cheap", "dear", "free")
    for cost in costs:
        guard = require(Scope.LEADS_READ, keys, cost=cost)
        router.add_api_route(f"/{cost}", nothing, dependencies=[Depends(guard)])
    texts = [
        (await KeyRepository(database).create("acme", name=name, scopes=[Scope.LEADS_READ], now=NOON)).text
        for name in ("one", "other")
    ]
    await keys.snapshot.refresh()
    app = create_app([Service("test", (router,))])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://leadflow") as client:
        client.headers["authorization"] = f"Bearer {texts[0]}"
        client.params = {"other": texts[1]}
        yield client


async def calls(client: httpx.AsyncClient, path: str, count: int, **headers: str) -> list[int]:
    return [(await client.get(path, headers=headers)).status_code for _ in range(count)]


async def test_one_call_too_many_is_told_when_to_come_again(client: httpx.AsyncClient) -> None:
    assert await calls(client, "/cheap", 3) == [200] * 3

    refused = await client.get("/cheap")

    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert refused.headers["retry-after"] == "4"


async def test_what_is_dear_has_a_pace_of_its_own(client: httpx.AsyncClient) -> None:
    assert await calls(client, "/dear", 3) == [200, 200, 429]
    assert await calls(client, "/cheap", 4) == [200, 200, 200, 429]
    assert await calls(client, "/free", 5) == [200] * 5


async def test_no_key_uses_up_what_another_may(client: httpx.AsyncClient) -> None:
    await calls(client, "/cheap", 4)

    assert await calls(client, "/cheap", 1, authorization=f"Bearer {client.params['other']}") == [200]
