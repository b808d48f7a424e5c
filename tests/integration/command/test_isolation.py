"""Nobody's key opens what is another workspace's: every route of the API that names something, by OpenAPI.

A route that is not in the table fails, and so does one whose own workspace is told 404: then the id was not real.
"""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import event

from shared.access import Scope
from shared.db import engine
from shared.db.engine import Database
from shared.db.reach import WORKER_ROLE
from shared.events.json import Json
from tests.support.waiting import wait_until
from tests.support.webhooks import segment
from tests.support.whole import Whole, whole

pytestmark = pytest.mark.postgres

MODEL: Final[dict[str, Any]] = {
    "model": "isolation",
    "scores": {"total": {"rules": [{"id": "page", "on": "page_viewed", "points": 2}]}},
    "bands": {"total": {"hot": 12, "cold": 0}},
}
PIPELINE: Final[dict[str, Any]] = {
    "pipeline": "isolation",
    "stages": [{"id": "new", "initial": True}, {"id": "next"}, {"id": "won", "terminal": "won"}],
}
BY: Final = {"actor": "eve", "reason": "curious"}
METHODS: Final = {"get", "put", "post", "patch", "delete", "options", "head"}
# A name that the caller gives: in the caller's own workspace there is nothing by it yet, and then there is.
MAKES_ITS_OWN: Final = {("put", "/v1/models/drafts/{name}")}
# They ask for a signature and not for a key.
SIGNED: Final = {(method, "/v1/webhooks/{source_id}") for method in ("get", "options", "post")}


@dataclass(frozen=True, slots=True)
class Call:
    """How a route is called on what a workspace has: `ids` fill its path."""

    ids: Mapping[str, object]
    body: Json = None
    query: Mapping[str, str] = field(default_factory=dict)


Route = tuple[str, str]


@pytest.fixture
async def leadflow(database_url: str) -> AsyncIterator[Whole]:
    async with whole(database_url) as running:
        yield running


@dataclass(frozen=True, slots=True)
class Owner:
    """A workspace that has one of everything."""

    client: httpx.AsyncClient
    calls: Mapping[Route, Call]
    lead: str


async def post(client: httpx.AsyncClient, path: str, body: Json) -> Any:
    answer = await client.post(path, json=body)
    assert answer.is_success, (path, answer.text)
    return answer.json() if answer.content else None


async def first(client: httpx.AsyncClient, path: str, key: str) -> Any:
    """The first of a list, as soon as there is one."""
    found: list[Any] = []

    async def is_there() -> bool:
        answer = await client.get(path)
        assert answer.status_code == 200, answer.text
        found[:] = answer.json()[key]
        return bool(found)

    await wait_until(is_there, f"{path} lists something", timeout_seconds=60)
    return found[0]


async def an_owner(leadflow: Whole, workspace: str) -> Owner:
    """Leads, models, pipelines, drafts, a shadow, a simulation, a source, a parked element, a subscription."""
    client = await leadflow.client(workspace)
    await post(client, "/v1/models", {"document": MODEL})
    await post(client, "/v1/models", {"document": {**MODEL, "model": "other"}, "activate": False})
    await post(client, "/v1/pipelines", {"document": PIPELINE})
    await post(client, "/v1/pipelines", {"document": {**PIPELINE, "pipeline": "other"}, "activate": False})
    for name in ("kept", "published", "deleted"):
        answer = await client.put(f"/v1/models/drafts/{name}", json={"document": {**MODEL, "model": name}})
        assert answer.status_code == 200, answer.text
    await post(client, "/v1/models/2/shadow", {"reason": "compare"})
    simulation = await post(client, "/v1/models/simulate", {"version": 2})
    subscription = (await post(client, "/v1/subscriptions", {"url": "http://127.0.0.1:9/"}))["id"]
    source = f"segment-{workspace}"
    signed = segment({"type": "track", "event": "Signed Up", "messageId": "m-1", "userId": "u-1"})
    await post(client, "/v1/sources", {"id": source, "kind": "segment", "secrets": [signed.secret]})
    for number in range(3):
        person: Json = {"email": f"ann{number}@{workspace}.example"}
        event: Json = {"id": f"e{number}", "type": "page_viewed", "lead": person}
        await post(client, "/v1/events", event)
    sent = await client.post(f"/v1/webhooks/{source}", content=signed.body, headers=dict(signed.headers))
    assert sent.status_code == 202, sent.text
    element = (await first(client, "/v1/parked", "elements"))["id"]
    leads = [
        (await first(client, f"/v1/leads?email=ann{number}@{workspace}.example", "leads"))["id"]
        for number in range(3)
    ]
    return Owner(client, calls_on(leads, source, element, subscription, simulation["id"]), leads[0])


def calls_on(leads: list[str], source: str, element: str, subscription: str, simulation: str) -> Mapping[Route, Call]:
    """Every route that names something, in an order in which the owner's own calls find it: destroyers last."""
    of_lead, of_subscription = {"lead_id": leads[0]}, {"subscription_id": subscription}
    adjusted: Json = {"score": "total", "points": 1, **BY}
    retracted: Json = {"source": "api", "event_id": "e0", **BY}
    return {
        ("patch", "/v1/sources/{source_id}"): Call({"source_id": source}, {"time_zone": "Europe/Paris"}),
        ("post", "/v1/sources/{source_id}/secrets"): Call({"source_id": source}, {"secret": "s" * 40}),
        ("get", "/v1/parked/{element_id}"): Call({"element_id": element}),
        ("get", "/v1/models/{version}"): Call({"version": 1}),
        ("get", "/v1/models/{version}/diff/{other}"): Call({"version": 1, "other": 2}),
        ("get", "/v1/models/{version}/shadow"): Call({"version": 2}),
        ("post", "/v1/models/{version}/shadow"): Call({"version": 2}, {"reason": "again"}),
        ("delete", "/v1/models/{version}/shadow"): Call({"version": 2}),
        ("post", "/v1/models/{version}/activate"): Call({"version": 1}, {"reason": "back"}),
        ("get", "/v1/models/drafts/{name}"): Call({"name": "kept"}),
        ("get", "/v1/models/drafts/{name}/diff"): Call({"name": "kept"}),
        ("put", "/v1/models/drafts/{name}"): Call({"name": "kept"}, {"document": MODEL}),
        ("post", "/v1/models/drafts/{name}/publish"): Call({"name": "published"}, {"reason": "x", "activate": False}),
        ("delete", "/v1/models/drafts/{name}"): Call({"name": "deleted"}),
        ("get", "/v1/models/simulations/{simulation_id}"): Call({"simulation_id": simulation}),
        ("get", "/v1/pipelines/{version}"): Call({"version": 1}),
        ("get", "/v1/pipelines/{version}/changes"): Call({"version": 2}, query={"since": "1"}),
        ("get", "/v1/pipelines/{version}/diagram"): Call({"version": 1}),
        ("post", "/v1/pipelines/{version}/activate"): Call({"version": 1}, {"reason": "same"}),
        ("get", "/v1/scores/{lead_id}"): Call(of_lead),
        ("get", "/v1/scores/{lead_id}/forecast"): Call(of_lead),
        ("get", "/v1/scores/{lead_id}/curve"): Call(of_lead),
        ("get", "/v1/scores/{lead_id}/lift"): Call(of_lead),
        ("get", "/v1/scores/{lead_id}/events"): Call(of_lead),
        ("post", "/v1/scores/{lead_id}/adjustments"): Call(of_lead, adjusted),
        ("post", "/v1/scores/{lead_id}/resets"): Call(of_lead, {"score": "total", **BY}),
        ("post", "/v1/scores/{lead_id}/retractions"): Call(of_lead, retracted),
        ("post", "/v1/scores/{lead_id}/merge"): Call(of_lead, {"absorbed": leads[1], **BY}),
        ("post", "/v1/scores/{lead_id}/unmerge"): Call(of_lead, {"absorbed": leads[1], **BY}),
        ("get", "/v1/leads/{lead_id}"): Call(of_lead),
        ("get", "/v1/leads/{lead_id}/timeline"): Call(of_lead),
        ("get", "/v1/leads/{lead_id}/stages"): Call(of_lead),
        ("post", "/v1/leads/{lead_id}/stage"): Call(of_lead, {"to": "next", **BY}),
        ("get", "/v1/subscriptions/{subscription_id}"): Call(of_subscription),
        ("patch", "/v1/subscriptions/{subscription_id}"): Call(of_subscription, {"description": "changed"}),
        ("post", "/v1/subscriptions/{subscription_id}/enable"): Call(of_subscription),
        ("post", "/v1/subscriptions/{subscription_id}/disable"): Call(of_subscription),
        ("post", "/v1/subscriptions/{subscription_id}/secret/rotate"): Call(of_subscription, {}),
        ("get", "/v1/subscriptions/{subscription_id}/deliveries"): Call(of_subscription),
        ("get", "/v1/subscriptions/{subscription_id}/attempts"): Call(of_subscription),
        ("post", "/v1/subscriptions/{subscription_id}/replay"): Call(of_subscription, {"since": "2026-01-01T00:00Z"}),
        ("post", "/v1/subscriptions/{subscription_id}/test"): Call(of_subscription),
        ("delete", "/v1/subscriptions/{subscription_id}"): Call(of_subscription),
        ("get", "/v1/scores/{lead_id}/export"): Call(of_lead),
        ("get", "/v1/leads/{lead_id}/export"): Call(of_lead),
        ("delete", "/v1/scores/{lead_id}"): Call({"lead_id": leads[2]}),
        ("get", "/v1/scores/{lead_id}/erasure"): Call({"lead_id": leads[2]}),
    }


def routes_that_name_something(leadflow: Whole) -> set[Route]:
    """Every operation of OpenAPI with an id in its path."""
    paths = leadflow.app.openapi()["paths"]
    return {
        (method, path)
        for path, operations in paths.items()
        for method in operations
        if method in METHODS and "{" in path
    }


async def call(client: httpx.AsyncClient, route: Route, how: Call) -> httpx.Response:
    method, path = route
    return await client.request(
        method, path.format(**how.ids), params=dict(how.query), json=how.body if how.body is not None else None
    )


async def statuses(client: httpx.AsyncClient, calls: Mapping[Route, Call]) -> dict[Route, int]:
    return {route: (await call(client, route, how)).status_code for route, how in calls.items()}


async def test_a_key_opens_nothing_of_another_workspace(leadflow: Whole) -> None:
    acme = await an_owner(leadflow, "acme")
    stranger = await leadflow.client("bolt")
    assert routes_that_name_something(leadflow) == set(acme.calls) | SIGNED, "a route that names something is new"

    theirs = await statuses(stranger, acme.calls)
    listed = await what_lists_show(stranger, acme)
    own = await statuses(acme.client, acme.calls)

    assert {route: status for route, status in theirs.items() if status != 404} == dict.fromkeys(MAKES_ITS_OWN, 200)
    assert {path: found for path, found in listed.items() if found} == {}
    assert {route: status for route, status in own.items() if not 200 <= status < 300} == {}


async def test_ids_of_another_workspace_in_a_body_change_nothing_of_its_parked_elements(leadflow: Whole) -> None:
    acme = await an_owner(leadflow, "acme")
    bolt = await an_owner(leadflow, "bolt")
    theirs, own = (owner.calls["get", "/v1/parked/{element_id}"].ids["element_id"] for owner in (acme, bolt))
    await acme.client.patch("/v1/sources/segment-acme", json={"event_names": {"Signed Up": "trial_started"}})
    before = (await acme.client.get(f"/v1/parked/{theirs}")).json()

    replays = [
        await bolt.client.post("/v1/parked/replay", json=which)
        for which in ({"ids": [theirs]}, {"ids": [own, theirs]}, {"source": "segment-acme"})
    ]
    settled = await bolt.client.post("/v1/parked/settle", json={"ids": [theirs, own], "state": "discarded"})
    after = (await acme.client.get(f"/v1/parked/{theirs}")).json()
    its_owners = await acme.client.post("/v1/parked/replay", json={"ids": [theirs]})

    assert [answer.status_code for answer in replays] == [404, 404, 200]
    assert (replays[2].json()["items"], settled.json()["ids"]) == ([], [own])
    assert (after, after["state"], after["attempts"]) == (before, "parked", 0)
    assert its_owners.json()["replayed"] == 1, "it could have been replayed all along"


async def what_lists_show(client: httpx.AsyncClient, of: Owner) -> dict[str, Any]:
    """What a client finds in every list, also where it asks for what the owner has."""
    lead = of.lead
    paths = {
        f"/v1/feed?begin=oldest&lead={lead}": "messages",
        "/v1/feed?begin=oldest": "messages",
        "/v1/leads?email=ann0@acme.example": "leads",
        "/v1/leads": "leads",
        "/v1/parked?source=segment-acme": "elements",
        "/v1/parked": "elements",
        "/v1/models/history": "activations",
        "/v1/models": "models",
        "/v1/models/simulations": "simulations",
        "/v1/sources": "",
        "/v1/subscriptions": "",
        "/v1/pipelines": "",
    }
    found = {}
    for path, key in paths.items():
        answer = await client.get(path)
        assert answer.status_code == 200, (path, answer.text)
        shown = answer.json()
        found[path] = shown[key] if key and isinstance(shown, dict) else shown
        if isinstance(found[path], dict):
            found[path] = next(value for value in found[path].values() if isinstance(value, list))
    return found


# What a query says that keeps to its workspace.
FILTER: Final = re.compile(r"(?:\w+\.)?\bworkspace = (\$\d+(?:::\w+)?)")


def forget_filters(database: Database) -> None:
    """Plant the mistake into every query that is sent from now on: it looks into all workspaces."""

    def forgetful(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> tuple[str, Any]:
        return FILTER.sub(r"CAST(\1 AS text) IS NOT NULL", statement), parameters

    event.listen(database.engine.sync_engine, "before_cursor_execute", forgetful, retval=True)


def lift_row_security(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let requests work as the role that sees all."""
    monkeypatch.setattr(engine, "taken", lambda _: {"role": WORKER_ROLE, "workspace": ""})


async def test_nor_does_it_where_every_query_forgets_its_filter(
    leadflow: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = await an_owner(leadflow, "acme")
    stranger = await leadflow.client("bolt")
    proof = {route: acme.calls[route] for route in PROOF}
    forget_filters(leadflow.database)

    theirs = await statuses(stranger, acme.calls)
    listed = await what_lists_show(stranger, acme)
    lift_row_security(monkeypatch)
    without_row_security = await statuses(stranger, proof)

    assert {route: status for route, status in theirs.items() if status != 404} == dict.fromkeys(MAKES_ITS_OWN, 200)
    assert {path: found for path, found in listed.items() if found} == {}
    assert set(without_row_security.values()) == {200}, "the mistake that was planted is none"


# Where the mistake shows if row security does not stop it; elsewhere something else may.
PROOF: Final = (
    ("get", "/v1/leads/{lead_id}"),
    ("get", "/v1/scores/{lead_id}"),
    ("get", "/v1/parked/{element_id}"),
    ("get", "/v1/pipelines/{version}"),
    ("get", "/v1/subscriptions/{subscription_id}"),
    ("get", "/v1/models/simulations/{simulation_id}"),
)


READ, MODELS, PIPELINES = Scope.LEADS_READ, Scope.MODELS_WRITE, Scope.PIPELINES_WRITE
# What each route asks for, by what its path begins with: for reading, and for everything else.
SCOPES: Final = {
    "/v1/events": (None, Scope.EVENTS_WRITE),
    "/v1/sources": (Scope.SOURCES_WRITE, Scope.SOURCES_WRITE),
    "/v1/parked": (Scope.SOURCES_WRITE, Scope.SOURCES_WRITE),
    "/v1/models": (READ, MODELS),
    "/v1/scores": (READ, Scope.SCORES_WRITE),
    "/v1/leads": (READ, PIPELINES),
    "/v1/pipelines": (READ, PIPELINES),
    "/v1/subscriptions": (Scope.SUBSCRIPTIONS_WRITE, Scope.SUBSCRIPTIONS_WRITE),
    "/v1/feed": (READ, None),
    "/v1/stream": (READ, None),
    "/v1/reports": (READ, None),
}
OTHERWISE: Final = {
    ("delete", "/v1/scores/{lead_id}"): Scope.LEADS_ERASE,
    ("get", "/v1/scores/{lead_id}/erasure"): Scope.LEADS_ERASE,
    ("post", "/v1/pipelines/impact"): READ,
}
FOR_EVERYBODY: Final = {("get", "/livez"), ("get", "/readyz"), ("get", "/metrics")}
SOME: Final = {"lead_id": uuid4(), "subscription_id": uuid4(), "simulation_id": uuid4(), "version": 99, "other": 98}


def scope_of(route: Route) -> Scope | None:
    """The scope that a route is to ask for."""
    method, path = route
    if route in OTHERWISE:
        return OTHERWISE[route]
    reading, writing = SCOPES["/".join(path.split("/")[:3])]
    return reading if method == "get" else writing


async def test_every_route_asks_for_its_scope_and_for_no_other(leadflow: Whole) -> None:
    paths = leadflow.app.openapi()["paths"]
    routes = {(method, path) for path, operations in paths.items() for method in operations if method in METHODS}
    guarded = sorted(routes - SIGNED - FOR_EVERYBODY)
    keyless = httpx.AsyncClient(transport=httpx.ASGITransport(leadflow.app), base_url="http://leadflow")
    clients = {scope: await leadflow.client("acme", scope) for scope in Scope}

    async def lets_in(client: httpx.AsyncClient, route: Route) -> int:
        method, path = route
        ids = {**dict.fromkeys(("source_id", "element_id", "name"), "nothing"), **SOME}
        # Nothing follows a stream whose cursor is none, and a body that is no object has no effect.
        answer = await client.request(
            method,
            path.format(**ids),
            params={"cursor": "none"},
            content=None if method == "get" else b"[]",
            headers={"content-type": "application/json"},
        )
        return answer.status_code

    locked = {route for route in guarded if await lets_in(keyless, route) == 401}
    opened = {
        route: {scope for scope, client in clients.items() if await lets_in(client, route) != 403}
        for route in guarded
    }
    await keyless.aclose()

    assert locked == set(guarded)
    assert opened == {route: {scope_of(route), Scope.ADMIN} for route in guarded}
