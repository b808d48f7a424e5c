"""Subscribers of a real leadflow, on both logs: healthy, hanging, failing and gone ones, and kill -9 in between."""

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx
import pytest
from pydantic_core import from_json
from standardwebhooks import Webhook

from tests.support.leadflow_process import Installation, Running, gather_limited
from tests.support.receiver import HANG, ReceivedRequest, Receiver, receiving
from tests.support.waiting import wait_until

MODEL = {
    "model": "e2e",
    "scores": {"total": {"rules": [{"id": "page", "on": "page_viewed", "points": 2}]}},
    "thresholds": {
        "warm": {"score": "total", "enter": 6, "exit": 2},
        "hot": {"score": "total", "enter": 10, "exit": 4},
    },
}
PIPELINE = {
    "pipeline": "e2e",
    "stages": [
        {"id": "new", "initial": True},
        {"id": "engaged", "enter_when": {"threshold": "warm"}},
        {"id": "mql", "enter_when": {"threshold": "hot"}},
    ],
}
LEADS, EVENTS_PER_LEAD = 20, 8
FINAL_SCORE = 2 * EVENTS_PER_LEAD
OUTGOING = {
    "LEADFLOW_PIPELINE_WEBHOOK_ALLOW_HTTP": "true",
    "LEADFLOW_PIPELINE_WEBHOOK_ALLOW_PRIVATE_ADDRESSES": "true",
}


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def installation(request: pytest.FixtureRequest, tmp_path: Path) -> Installation:
    if request.param == "embedded":
        return Installation(tmp_path, OUTGOING)
    if request.param == "embedded log on a server that is there":
        return Installation(tmp_path, {**OUTGOING, "LEADFLOW_DATABASE_URL": request.getfixturevalue("database_url")})
    kafka = {
        "LEADFLOW_KAFKA_BOOTSTRAP_SERVERS": request.getfixturevalue("kafka_bootstrap"),
        "LEADFLOW_KAFKA_PREFIX": f"hooks-{random.SystemRandom().randrange(10**9)}-",
        "LEADFLOW_LOG_SESSION_TIMEOUT_SECONDS": "6",
    }
    return Installation(tmp_path, {**OUTGOING, **kafka})


class Story:
    """A workspace whose leads view pages, and what its subscribers should hear of it."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.accepted_at: dict[str, float] = {}

    async def publish(self) -> None:
        for path, document in (("/v1/models", MODEL), ("/v1/pipelines", PIPELINE)):
            answer = await self.client.post(path, json={"document": document})
            assert answer.status_code == 201, answer.text

    async def subscribe(self, receiver: Receiver) -> dict[str, Any]:
        answer = await self.client.post("/v1/subscriptions", json={"url": receiver.url})
        assert answer.status_code == 201, answer.text
        created: dict[str, Any] = answer.json()
        return created

    async def tell(self) -> None:
        """Post every event until it is accepted, each lead's in order."""

        async def of_lead(lead: int) -> None:
            for number in range(EVENTS_PER_LEAD):
                await self._post({
                    "id": f"{lead}/{number}",
                    "type": "page_viewed",
                    "lead": {"email": f"p{lead}@acme.example"},
                })  # fmt: skip

        await gather_limited(2, [of_lead(lead) for lead in range(LEADS)])

    async def _post(self, event: dict[str, Any]) -> None:
        async def is_accepted() -> bool:
            try:
                return (await self.client.post("/v1/events", json=event)).status_code == 202
            except httpx.TransportError:
                return False

        await wait_until(is_accepted, "the event is accepted", timeout_seconds=90, every_seconds=0.1)
        self.accepted_at[event["id"]] = time.monotonic()

    async def all_scored(self) -> bool:
        answer = await self.client.get("/v1/leads", params={"limit": "100"})
        leads = answer.json()["leads"] if answer.status_code == 200 else []
        return len(leads) == LEADS and all(
            lead["scores"]["total"] == FINAL_SCORE and (lead["stage"] or {}).get("stage") == "mql" for lead in leads
        )

    async def told(self) -> list[dict[str, Any]]:
        """Everything that went out, in order: what the feed has."""
        found: list[dict[str, Any]] = []
        query: dict[str, str] = {"limit": "1000"}
        while True:
            page = (await self.client.get("/v1/feed", params=query)).json()
            found += page["messages"]
            query["cursor"] = page["next_cursor"]
            if not page["more"]:
                return found


@pytest.fixture
async def up(installation: Installation, request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    async with installation.running(**getattr(request, "param", {})) as running:
        yield running


@pytest.fixture
async def story(installation: Installation, up: Running) -> AsyncIterator[Story]:
    key = installation.run("keys", "create", "--scope", "admin")
    async with up.client(key) as client:

        async def is_let_in() -> bool:
            return (await client.get("/v1/leads")).status_code == 200

        await wait_until(is_let_in, "the key is known")
        story = Story(client)
        await story.publish()
        yield story


def has_all(receiver: Receiver, story: Story) -> Callable[[], Any]:
    """The condition that everything is scored, told, and at the receiver."""

    async def condition() -> bool:
        if not await story.all_scored():
            return False
        told: set[str] = {message["id"] for message in await story.told()}
        return told <= set(receiver.ids())

    return condition


def per_lead(messages: list[dict[str, Any]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for message in messages:
        found[message["subject"]].append(message["id"])
    return found


def seconds_to_the_subscriber(story: Story, requests: list[tuple[float, ReceivedRequest]]) -> list[float]:
    """Per event, from its 202 to the first message that names it."""
    heard: dict[str, float] = {}
    for at, request in requests:
        for event in from_json(request.body)["data"].get("events", ()):
            heard.setdefault(event["id"], at)
    return sorted(max(0.0, heard[event] - at) for event, at in story.accepted_at.items() if event in heard)


async def test_the_healthy_subscriber_gets_everything_in_order_while_others_hang_fail_and_are_gone(
    story: Story, request: pytest.FixtureRequest, record_testsuite_property: Callable[[str, object], None]
) -> None:
    stamped: list[tuple[float, ReceivedRequest]] = []

    def stamp(request: ReceivedRequest) -> int:
        stamped.append((time.monotonic(), request))
        return 204

    async with (
        receiving(stamp) as healthy,
        receiving(HANG) as hanging,
        receiving(500) as broken,
        receiving(410) as gone,
    ):
        subscribed = {
            name: await story.subscribe(receiver)
            for name, receiver in {"hanging": hanging, "broken": broken, "gone": gone, "healthy": healthy}.items()
        }
        await story.tell()
        await wait_until(has_all(healthy, story), "everything is at the healthy one", timeout_seconds=60)

        async def state_of(name: str, path: str = "") -> Any:
            return (await story.client.get(f"/v1/subscriptions/{subscribed[name]['id']}{path}")).json()

        async def failures_are_written_down() -> bool:
            broken_now, gone_now = await state_of("broken"), await state_of("gone")
            return bool(broken_now["failures"]) and gone_now["state"] == "disabled"

        await wait_until(failures_are_written_down, "what became of the others")
        told = await story.told()
        states = {name: await state_of(name) for name in subscribed}
        attempts = {name: (await state_of(name, "/attempts"))["attempts"] for name in subscribed}
        metrics = (await story.client.get("/metrics")).text

    # The healthy one: everything once, signed, and each lead's messages in their order.
    assert Counter(healthy.ids()) == Counter(message["id"] for message in told)
    received = [Webhook(subscribed["healthy"]["secret"]).verify(item.body, item.headers) for item in healthy.requests]
    assert per_lead(received) == per_lead(told)
    assert states["healthy"]["failing_since"] is None

    # The hanging one: no more of it in the air than it may hold up, or a pause once an attempt has timed out.
    assert 1 <= len(hanging.requests) <= 16
    assert states["hanging"]["state"] == "enabled"

    # The failing one: tried again by the schedule, left alone after ten in a row, and not given up.
    assert {item["outcome"] for item in attempts["broken"]} == {"failed"}
    assert {item["status"] for item in attempts["broken"]} == {500}
    assert (states["broken"]["state"], states["broken"]["failing_since"] is None) == ("enabled", False)

    # The one that is gone: nothing more after those that were in the air when it said so.
    assert (states["gone"]["state"], states["gone"]["disabled_reason"]) == (
        "disabled",
        "the receiver answered 410 Gone",
    )
    assert 1 <= len(gone.requests) <= 8
    assert 'leadflow_webhook_endpoints_disabled_total{reason="gone"} 1.0' in metrics

    seconds = seconds_to_the_subscriber(story, stamped)
    assert len(seconds) == LEADS * EVENTS_PER_LEAD
    percentiles = quantiles(seconds, n=100)
    record_testsuite_property(f"{request.node.name}: seconds from 202, median", round(percentiles[49], 3))
    record_testsuite_property(f"{request.node.name}: seconds from 202, p99", round(percentiles[98], 3))


@pytest.mark.timeout(420)
@pytest.mark.parametrize("installation", ["embedded log on a server that is there"], indirect=True)
@pytest.mark.parametrize(
    "up",
    # Short, so that what a killed process held is soon sent again; but a receiver that is merely slow on a loaded
    # machine must not time out, for then it would be left alone for minutes.
    [{"LEADFLOW_PIPELINE_WEBHOOK_TIMEOUT_SECONDS": "8", "LEADFLOW_PIPELINE_WEBHOOK_LEASE_SECONDS": "9"}],
    indirect=True,
    ids=["short leases"],
)
async def test_after_kill_minus_nine_each_message_arrives_with_the_same_id_and_bytes(
    story: Story, up: Running
) -> None:
    """Killed while a request is in the subscriber's hands, so that its answer is lost, and while events come in."""
    dice = random.Random(6)
    fatal_requests = sorted(dice.sample(range(3, 100), 3))
    fatal_event = dice.randrange(10, LEADS * EVENTS_PER_LEAD // 2)
    unanswered: list[str] = []
    dead = asyncio.Event()

    def answer(request: ReceivedRequest) -> int:
        if fatal_requests and len(receiver.requests) >= fatal_requests[0] and not dead.is_set():
            fatal_requests.pop(0)
            up.kill()
            unanswered.append(request.headers["webhook-id"])
            dead.set()
        return 204

    async def bring_back() -> None:
        # It sends before it answers that it is ready: waiting for that, the next fatal request could be missed.
        while True:
            await dead.wait()
            dead.clear()
            up.start()

    async def kill_while_events_come_in() -> None:
        await wait_until(lambda: len(story.accepted_at) >= fatal_event, "events", timeout_seconds=90)
        await wait_until(lambda: not dead.is_set(), "it lives", timeout_seconds=90)
        up.kill()
        dead.set()

    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(receiving(answer))
        secret = (await story.subscribe(receiver))["secret"]
        restarting = asyncio.create_task(bring_back())
        killing = asyncio.create_task(kill_while_events_come_in())

        def kills_are_over() -> bool:
            if restarting.done():
                restarting.result()
            return killing.done() and not fatal_requests and not dead.is_set()

        try:
            await story.tell()
            await wait_until(kills_are_over, "the kills", timeout_seconds=180)
            await wait_until(
                lambda: _calmly(has_all(receiver, story)),
                "everything has arrived",
                timeout_seconds=90,
                every_seconds=0.2,
            )
            await wait_until(
                lambda: all(count > 1 for name, count in Counter(receiver.ids()).items() if name in unanswered),
                "what nobody heard the answer of comes again",
                timeout_seconds=60,
            )
            told = await story.told()
        finally:
            restarting.cancel()
            await asyncio.gather(restarting, killing, return_exceptions=True)

    assert len(unanswered) == 3
    bodies: dict[str, set[bytes]] = defaultdict(set)
    for request in receiver.requests:
        bodies[request.headers["webhook-id"]].add(request.body)
        Webhook(secret).verify(request.body, request.headers)
    assert set(bodies) == {message["id"] for message in told}
    assert {len(found) for found in bodies.values()} == {1}
    first_seen = list(dict.fromkeys(receiver.ids()))
    by_id = {message["id"]: message for message in told}
    assert per_lead([by_id[name] for name in first_seen]) == per_lead(told)


async def _calmly(condition: Callable[[], Any]) -> bool:
    """`condition`, taken as false while leadflow is away."""
    try:
        return bool(await condition())
    except (httpx.TransportError, KeyError):
        return False
