"""Nobody's key opens what is another workspace's: every operation of the API, made up from OpenAPI.

Nothing here lists a route. A stranger asks for whatever the owner has, in paths, queries and bodies, is told nothing
of it, changes nothing of it, and is answered 404 wherever that is a possible answer. That the same requests do what
they ask for is shown by their owner, and that a leak would be found by planted ones.
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import event, text

from shared.access import Scope
from shared.db import engine
from shared.db.engine import Database
from shared.db.reach import ALL_WORKSPACES, WORKER_ROLE
from shared.events.json import Json
from tests.support.openapi_requests import METHODS, Belongings, Operation, Request, Requests, operations
from tests.support.receiver import receiving
from tests.support.waiting import wait_until
from tests.support.webhooks import segment
from tests.support.whole import Whole, whole

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(300)]

Route = tuple[str, str]
OWNER: Final = "acme"
# What else there is, health and metrics, is the operator's and on no public port.
PUBLIC: Final = "/v1/"
# What a stream says at once; afterwards it may say nothing for long.
STREAM_CHUNKS, STREAM_SECONDS = 3, 0.5
# Whether a query is sent for a request of the test, and not for the work that goes on beside it.
IS_ASKED: Final = ContextVar("is_asked", default=False)


@pytest.fixture
async def leadflow(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Whole]:
    for pace in ("KEY_REQUESTS", "KEY_DEAR_REQUESTS"):
        monkeypatch.setenv(f"LEADFLOW_{pace}_PER_SECOND", "100000")
    for most in ("KEY_BURST_REQUESTS", "KEY_DEAR_BURST_REQUESTS", "SCORER_MOST_WAITING_SIMULATIONS"):
        monkeypatch.setenv(f"LEADFLOW_{most}", "100000")
    async with whole(database_url) as running:
        yield running


@pytest.fixture
async def acme(leadflow: Whole) -> AsyncIterator["Owner"]:
    async with receiving() as receiver:
        yield await an_owner(leadflow, OWNER, receiver.url)


@dataclass(frozen=True, slots=True)
class Owner:
    """A workspace that has some of everything; each text that it chose has its name in it."""

    workspace: str
    client: httpx.AsyncClient
    has: Belongings


def a_model(workspace: str, name: str = "model") -> dict[str, Any]:
    return {
        "model": f"{workspace}-{name}",
        "scores": {f"{workspace}_total": {"rules": [{"id": f"{workspace}_page", "on": "page_viewed", "points": 2}]}},
        "bands": {f"{workspace}_total": {f"{workspace}_hot": 1, f"{workspace}_cold": 0}},
    }


def a_pipeline(workspace: str, name: str = "pipeline") -> dict[str, Any]:
    stages = [{"id": f"{workspace}_new", "initial": True}, {"id": f"{workspace}_next"}, {"id": f"{workspace}_last"}]
    return {"pipeline": f"{workspace}-{name}", "stages": stages}


async def post(client: httpx.AsyncClient, path: str, body: Json) -> Any:
    answer = await client.post(path, json=body)
    assert answer.is_success, (path, answer.text)
    return answer.json() if answer.content else None


async def an_owner(leadflow: Whole, workspace: str, receiver: str) -> Owner:
    """Leads, models, pipelines, drafts, a shadow, a simulation, a source, parked elements, a subscription."""
    client = await leadflow.client(workspace)
    await post(client, "/v1/models", {"document": a_model(workspace)})
    await post(client, "/v1/models", {"document": a_model(workspace, "other"), "activate": False})
    await post(client, "/v1/pipelines", {"document": a_pipeline(workspace)})
    await post(client, "/v1/pipelines", {"document": a_pipeline(workspace, "other"), "activate": False})
    for number in range(4):
        draft = {"document": a_model(workspace, f"draft-{number}")}
        answer = await client.put(f"/v1/models/drafts/{workspace}-{number}", json=draft)
        assert answer.status_code == 200, answer.text
    await post(client, "/v1/models/2/shadow", {"reason": f"{workspace} compares"})
    await post(client, "/v1/models/simulate", {"version": 2})
    await post(client, "/v1/subscriptions", {"url": f"{receiver}/{workspace}", "description": f"{workspace}'s CRM"})
    await post_events(client, workspace)
    owner = Owner(workspace, client, Belongings())
    await settled(leadflow, workspace)
    await learn(leadflow.app, owner)
    return owner


async def post_events(client: httpx.AsyncClient, workspace: str) -> None:
    """Of four people, and by webhook some that become none."""
    source = f"segment-{workspace}"
    signed = [
        segment(
            {"type": "track", "event": f"{workspace} Signed Up", "messageId": f"{workspace}-{n}", "userId": "u-1"}
        )
        for n in range(2)
    ]
    await post(client, "/v1/sources", {"id": source, "kind": "segment", "secrets": [signed[0].secret]})
    for number in range(4):
        person: Json = {"email": f"ann{number}@{workspace}.example", "external_ids": {"crm": f"{workspace}-{number}"}}
        happened: Json = {"id": f"{workspace}-e{number}", "type": "page_viewed", "lead": person}
        await post(client, "/v1/events", happened)
    for one in signed:
        sent = await client.post(f"/v1/webhooks/{source}", content=one.body, headers=dict(one.headers))
        assert sent.status_code == 202, sent.text


IDLE: Final = text("""
    SELECT (SELECT count(*) FROM scorer.outbox) + (SELECT count(*) FROM pipeline.outbox)
        + (SELECT count(*) FROM pipeline.delivery WHERE state = 'pending')
        + (SELECT count(*) FROM log.subscriptions
            JOIN log.partitions ON partitions.topic = subscriptions.topic
            LEFT JOIN log.offsets ON offsets.partition_id = partitions.id
                AND offsets.group_name = subscriptions.group_name
            WHERE partitions.head > coalesce(offsets.next_offset, 0))
""")
READABLE: Final = text("""
    SELECT format('%I.%I', nspname, relname) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relkind = 'r' AND nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
        AND has_table_privilege('leadflow_app', pg_class.oid, 'SELECT')
""")
# When a key was used is written down late, and by nobody else than its own workspace.
NOT_COMPARED: Final = ("last_used_at",)


async def rows_of(database: Database, workspace: str) -> dict[str, list[str]]:
    """All that row security gives to a workspace, table by table."""
    async with database.transaction(ALL_WORKSPACES) as connection:
        tables = sorted(await connection.scalars(READABLE))
    found = {}
    async with database.transaction(workspace) as connection:
        for table in tables:
            row = f"(to_jsonb(item) - CAST('{{{','.join(NOT_COMPARED)}}}' AS text[]))::text"
            query = f"SELECT {row} FROM {table} AS item ORDER BY 1"
            found[table] = list(await connection.scalars(text(query)))
    return found


async def settled(leadflow: Whole, workspace: str) -> dict[str, list[str]]:
    """What a workspace has, once nothing is on its way and nothing changes any more."""
    seen: list[dict[str, list[str]]] = []

    async def is_at_rest() -> bool:
        async with leadflow.database.transaction(ALL_WORKSPACES) as connection:
            busy = int(await connection.scalar(IDLE) or 0)
        seen.append(await rows_of(leadflow.database, workspace))
        heard = seen[-1]["pipeline.delivery_attempt"]
        return not busy and bool(heard) and len(seen) > 2 and seen[-1] == seen[-2] == seen[-3]

    await wait_until(is_at_rest, f"{workspace} is at rest", timeout_seconds=120, every_seconds=0.2)
    return seen[-1]


async def learn(app: FastAPI, owner: Owner) -> None:
    """Read all that the API shows of a workspace to itself: what there is, then what is said of each."""
    reading = [
        item for item in operations(app.openapi()) if item.method == "get" and item.has_key and not item.streams
    ]
    for operation in (item for item in reading if not item.ids):
        for answer in await shown(app, owner, operation):
            owner.has.collect(operation.path, answer)
    for operation in sorted(reading, key=lambda item: not item.ids):
        for answer in await shown(app, owner, operation):
            owner.has.learn(answer)


async def shown(app: FastAPI, owner: Owner, operation: Operation) -> list[object]:
    """What an operation answers to the owner; also a page that another one follows, and from the beginning."""
    paths = dict.fromkeys(request.path for request in Requests(app.openapi(), operation, owner.has).made())
    queries: Sequence[dict[str, str]] = ({}, {"limit": "1"}, {"begin": "oldest"})
    answers = [await owner.client.get(path, params=query) for path in paths for query in queries]
    return [answer.json() for answer in answers if answer.is_success and "json" in answer.headers["content-type"]]


def names_of(owner: Owner) -> list[str]:
    """What nobody but the owner may be told: every text with its name in it, and every id that was made for it."""
    return sorted({owner.workspace, *owner.has.ids(), *(one for one in owner.has.some_of_each() if len(one) > 8)})


def told(owner: Owner, request: Request, answer: str) -> list[str]:
    """What an answer says of an owner that its caller had not said."""
    for value in sorted(request.sent, key=len, reverse=True):
        if len(value) >= len(owner.workspace):
            answer = answer.replace(value, "")
    return [name for name in names_of(owner) if name in answer]


@dataclass(frozen=True, slots=True)
class Answer:
    request: Request
    status: int
    text: str


async def ask(app: FastAPI, client: httpx.AsyncClient, request: Request) -> Answer:
    token = IS_ASKED.set(True)
    try:
        return await answered(app, client, request)
    finally:
        IS_ASKED.reset(token)


async def answered(app: FastAPI, client: httpx.AsyncClient, request: Request) -> Answer:
    if request.operation.streams:
        return await listen(app, client, request)
    answer = await client.request(
        request.operation.method,
        request.path,
        params=list(request.query),
        json=request.body if request.body is not None else None,
    )
    return Answer(request, answer.status_code, answer.text)


async def listen(app: FastAPI, client: httpx.AsyncClient, request: Request) -> Answer:
    """The beginning of a stream; its listener then goes away."""
    built = client.build_request(request.operation.method, request.path, params=list(request.query))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": built.method,
        "scheme": "http",
        "path": built.url.path,
        "raw_path": built.url.raw_path,
        "query_string": built.url.query,
        "headers": [(name.lower(), value) for name, value in built.headers.raw],
        "server": ("leadflow", 80),
        "client": ("127.0.0.1", 1),
    }
    enough, chunks = asyncio.Event(), list[bytes]()
    statuses: list[int | None] = []

    async def receive() -> dict[str, Any]:
        await enough.wait()
        return {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None:
        statuses.append(message.get("status"))
        chunks.append(message.get("body", b""))
        if len(chunks) >= STREAM_CHUNKS or not message.get("more_body", True):
            enough.set()

    async def leave() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(STREAM_SECONDS):
                await enough.wait()
        enough.set()

    await asyncio.gather(app(scope, receive, send), leave())
    return Answer(request, int(statuses[0] or 0), b"".join(chunks).decode())


async def strangers_ask(leadflow: Whole, asked: Mapping[Operation, Sequence[Request]]) -> list[Answer]:
    """What comes of each operation for somebody of a workspace of its own, who has nothing from the one before."""
    answers = []
    for operation, requests in asked.items():
        comes = a_listener(leadflow) if operation.streams else leadflow.client(f"stranger-{uuid4().hex[:8]}")
        stranger = await comes
        answers += [await ask(leadflow.app, stranger, request) for request in requests]
    return answers


async def a_listener(leadflow: Whole) -> httpx.AsyncClient:
    """Who has been told something later than the owner, so that a stream with nothing of the owner's says so."""
    client = await leadflow.client(f"listener-{uuid4().hex[:8]}")
    await post(client, "/v1/models", {"document": a_model("listener")})
    await post(client, "/v1/events", {"id": "e", "type": "page_viewed", "lead": {"email": "bo@listener.example"}})

    async def has_heard() -> bool:
        return bool((await client.get("/v1/feed", params={"begin": "oldest"})).json()["messages"])

    await wait_until(has_heard, "the listener was told something")
    return client


def requests_about(app: FastAPI, owner: Owner, *, after: int = 0) -> dict[Operation, list[Request]]:
    """What a stranger can ask for that is the owner's. Raises AssertionError for what the owner has none of."""
    document = app.openapi()
    asked = [item for item in operations(document)[after:] if item.path.startswith(PUBLIC)]
    found = {operation: list(Requests(document, operation, owner.has).made()) for operation in asked}
    nothing = [operation.name for operation, requests in found.items() if not requests]
    assert nothing == [], "an_owner has nothing that these could name"
    return found


def leaks(owner: Owner, answers: Sequence[Answer]) -> dict[str, list[str]]:
    """Operations that let a stranger see something of the owner's, or do something with it."""
    found: dict[str, list[str]] = defaultdict(list)
    for answer in answers:
        operation = answer.request.operation
        found[operation.name] += told(owner, answer.request, answer.text)
        if operation.is_of_something_there and answer.status not in {404, 422, 400}:
            found[operation.name].append(f"{answer.status} for {answer.request.path}")
    return {name: sorted(set(said)) for name, said in found.items() if said}


def changes(before: Mapping[str, list[str]], after: Mapping[str, list[str]]) -> dict[str, list[str]]:
    different = (table for table in before if before[table] != after[table])
    return {table: sorted(set(before[table]) ^ set(after[table])) for table in different}


async def test_a_key_opens_nothing_of_another_workspace(leadflow: Whole, acme: Owner) -> None:
    before = await settled(leadflow, acme.workspace)
    asked = requests_about(leadflow.app, acme)

    answers = await strangers_ask(leadflow, asked)
    after = await settled(leadflow, acme.workspace)
    reached = await what_the_owner_reaches(leadflow.app, acme, asked)

    refused = {answer.request.operation.name for answer in answers if answer.status == 404}
    assert leaks(acme, answers) == {}
    assert changes(before, after) == {}
    assert [name for name, is_reached in reached.items() if not is_reached] == []
    assert set(reached) <= refused


async def what_the_owner_reaches(
    app: FastAPI, owner: Owner, asked: Mapping[Operation, Sequence[Request]]
) -> dict[str, bool]:
    """Of what names something by its path: whether one of the same requests succeeds for its owner.

    What it takes for one may be made by another, as a draft is published before it is gone: so again, while that
    helps, and what destroys comes last.
    """
    waiting = [operation for operation in asked if operation.has_key and operation.is_of_something_there]
    reached = {operation.name: False for operation in waiting}
    waiting.sort(key=lambda operation: operation.method == "delete")
    helped = True
    while waiting and helped:
        for operation in waiting:
            for request in asked[operation]:
                if 200 <= (await ask(app, owner.client, request)).status < 300:
                    reached[operation.name] = True
                    break
        helped = any(reached[operation.name] for operation in waiting)
        waiting = [operation for operation in waiting if not reached[operation.name]]
    return reached


async def test_a_name_that_another_workspace_gave_is_free(leadflow: Whole, acme: Owner) -> None:
    """What is named by its maker has no 404 in OpenAPI: such an operation makes one's own."""
    asked = requests_about(leadflow.app, acme)
    making = [item for item in asked if item.has_key and item.ids and not item.is_of_something_there]
    bolt = await leadflow.client("bolt")
    before = await settled(leadflow, acme.workspace)

    for operation in making:
        first = await ask(leadflow.app, bolt, asked[operation][0])
        own = await bolt.get(first.request.path)
        theirs = await acme.client.get(first.request.path)

        assert (first.status, own.status_code, theirs.status_code) == (200, 200, 200)
        assert own.json()["changed_at"] > theirs.json()["changed_at"]
    assert {operation.method for operation in making} == {"put"}
    assert changes(before, await settled(leadflow, acme.workspace)) == {}


async def test_a_webhook_is_its_sources_whoever_sends_it(leadflow: Whole, acme: Owner) -> None:
    """These take no key: who may send is told by the source that is named, with its own secret."""
    before = await settled(leadflow, acme.workspace)
    signed = segment({"type": "track", "event": "x", "messageId": "m", "userId": "u"}, secret="bolt's own secret")
    bolt = await leadflow.client("bolt")
    await post(bolt, "/v1/sources", {"id": "bolt-2", "kind": "segment", "secrets": [signed.secret]})
    keyless = [item for item in requests_about(leadflow.app, acme) if item.ids and not item.has_key]
    sources = [item["id"] for item in acme.has.members["/v1/sources"]]

    async def send(operation: Operation, source: str) -> tuple[int, bytes]:
        path = operation.path.format(source_id=source)
        answer = await bolt.request(operation.method, path, content=signed.body, headers=dict(signed.headers))
        return answer.status_code, answer.content

    answers = [await send(operation, source) for operation in keyless for source in sources]
    nobodys = [await send(operation, "nobodys") for operation in keyless for _ in sources]

    assert keyless
    assert answers == nobodys
    assert changes(before, await settled(leadflow, acme.workspace)) == {}


class Drafts(BaseModel):
    """The body of a planted route."""

    drafts: list[str]


def problem(status: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"description": "There is none."}}


def plant(leadflow: Whole, routes: Callable[[FastAPI, Database], None]) -> int:
    """Add routes that leak; returns how many operations there were before."""
    known = len(operations(leadflow.app.openapi()))
    routes(leadflow.app, leadflow.database)
    leadflow.app.openapi_schema = None
    return known


def leaking(app: FastAPI, database: Database) -> None:
    """Each has forgotten whose the thing is that it was asked for."""

    async def lead_of(lead_id: UUID) -> Any:
        async with database.transaction(ALL_WORKSPACES) as connection:
            query = text("SELECT workspace FROM scorer.lead WHERE id = :id")
            return await connection.scalar(query, {"id": lead_id})

    async def change(statement: str, **values: object) -> None:
        async with database.transaction(ALL_WORKSPACES) as connection:
            await connection.execute(text(statement), values)

    @app.get("/v1/leads/{lead_id}/planted", responses=problem(404))
    async def by_path(lead_id: UUID) -> dict[str, bool]:
        return {"is_there": await lead_of(lead_id) is not None}

    @app.get("/v1/planted")
    async def by_query(lead: UUID | None = None) -> dict[str, Any]:
        return {"workspace": lead and await lead_of(lead)}

    @app.get("/v1/planted/list")
    async def by_list() -> list[str]:
        async with database.transaction(ALL_WORKSPACES) as connection:
            return list(await connection.scalars(text("SELECT id FROM ingest.parked")))

    @app.post("/v1/planted/drafts")
    async def by_body(body: Drafts) -> None:
        await change("UPDATE scorer.draft SET changed_at = now() WHERE name = ANY(:names)", names=body.drafts)

    @app.delete("/v1/planted/subscriptions/{subscription_id}")
    async def by_effect(subscription_id: UUID) -> None:
        await change("DELETE FROM pipeline.subscription WHERE id = :id", id=subscription_id)


def without_its_thing(app: FastAPI, _database: Database) -> None:
    @app.get("/v1/campaigns/{campaign_id}", responses=problem(404))
    async def campaign(campaign_id: UUID) -> None:
        del campaign_id


async def test_a_route_that_leaks_is_found(leadflow: Whole, acme: Owner) -> None:
    known = plant(leadflow, leaking)
    before = await settled(leadflow, acme.workspace)

    found = {}
    for operation, requests in requests_about(leadflow.app, acme, after=known).items():
        answers = await strangers_ask(leadflow, {operation: requests})
        after = await rows_of(leadflow.database, acme.workspace)
        found[operation.name] = bool(leaks(acme, answers) or changes(before, after))
        before = after
    plant(leadflow, without_its_thing)

    assert len(found) == 5
    assert [name for name, is_found in found.items() if not is_found] == []
    with pytest.raises(AssertionError, match=r"get /v1/campaigns/\{campaign_id\}"):
        requests_about(leadflow.app, acme)


# What a query says that keeps to its workspace.
FILTER: Final = re.compile(r"(?:\w+\.)?\bworkspace = (\$\d+(?:::\w+)?)")


def forget_filters(database: Database) -> None:
    """Plant the mistake into every query that a request sends from now on: it looks into all workspaces."""

    def forgetful(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> tuple[str, Any]:
        if IS_ASKED.get():
            statement = FILTER.sub(r"CAST(\1 AS text) IS NOT NULL", statement)
        return statement, parameters

    event.listen(database.engine.sync_engine, "before_cursor_execute", forgetful, retval=True)


def careless(app: FastAPI, client: httpx.AsyncClient) -> httpx.AsyncClient:
    """The same caller, who takes a 500 for an answer: what finds rows of two workspaces may be unable to go on."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://leadflow", headers=client.headers)


def lift_row_security(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let requests work as the role that sees all."""
    monkeypatch.setattr(engine, "taken", lambda _: {"role": WORKER_ROLE, "workspace": ""})


async def test_nor_does_it_where_every_query_forgets_its_filter(
    leadflow: Whole, acme: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await settled(leadflow, acme.workspace)
    asked = requests_about(leadflow.app, acme)
    reading = [item for item in asked if item.method == "get" and not item.streams]
    unfiltered = await rows_of(leadflow.database, "bolt")
    forget_filters(leadflow.database)

    answers = await strangers_ask(leadflow, asked)
    after = await rows_of(leadflow.database, acme.workspace)
    lift_row_security(monkeypatch)
    async with careless(leadflow.app, await leadflow.client("bolt")) as bolt:
        bold = [await ask(leadflow.app, bolt, asked[operation][0]) for operation in reading]
    without_row_security = leaks(acme, [answer for answer in bold if answer.status < 500])

    assert leaks(acme, answers) == {}
    assert changes(before, after) == {}
    assert len(without_row_security) > 10, "the mistake that was planted is none"
    assert {table for table, rows in unfiltered.items() if rows} <= {"public.alembic_version"}
    assert len([table for table, rows in before.items() if rows]) > 20, "acme has too little to be found"


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
# They ask for a signature and not for a key.
SIGNED: Final = {(method, "/v1/webhooks/{source_id}") for method in ("get", "options", "post")}
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
