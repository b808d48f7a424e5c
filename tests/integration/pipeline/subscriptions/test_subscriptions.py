"""Subscriptions as their owners manage them, over HTTP."""

from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from pydantic_core import from_json, to_json
from standardwebhooks import Webhook

from services.pipeline.delivery.signature import signed_headers
from services.pipeline.feed import entries as feed
from services.pipeline.subscriptions import managing
from shared.access import Scope
from shared.db.reach import ALL_WORKSPACES
from shared.events.json import Json
from tests.integration.pipeline.conftest import PipelineHarness
from tests.support.outgoing import OPEN, STAGES, dispatching
from tests.support.pipeline import LEAD, OTHER, a_position, a_recorded_event, a_score_change, recorded
from tests.support.receiver import ReceivedRequest, Receiver, receiving
from tests.support.waiting import wait_until

pytestmark = pytest.mark.postgres

LEADS = [str(UUID(int=number, version=4)) for number in range(1, 31)]


@dataclass
class Owned:
    """A subscription with its owner, its receiver and its secret."""

    owner: httpx.AsyncClient
    receiver: Receiver
    url: str
    secret: str

    async def get(self, path: str = "", **query: str) -> Any:
        answer = await self.owner.get(self.url + path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: dict[str, Json] | None = None) -> Any:
        answer = await self.owner.post(self.url + path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def attempts(self, number: int) -> None:
        """Wait until so many attempts are written down: before that, a clock moved on would end their lease."""

        async def are_written_down() -> bool:
            return len((await self.get("/attempts"))["attempts"]) == number

        await wait_until(are_written_down, f"{number} attempts")

    def verify(self, request: ReceivedRequest, secret: str | None = None) -> Any:
        return Webhook(secret or self.secret).verify(request.body, request.headers)


@pytest.fixture
async def owned(hooked: PipelineHarness) -> AsyncIterator[Owned]:
    """Stage changes go to a receiver that takes them."""
    hooked.guard = OPEN
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(receiving())
        owner = await hooked.client(Scope.SUBSCRIPTIONS_WRITE)
        body: dict[str, Json] = {"url": receiver.url, "event_types": list(STAGES)}
        created = (await owner.post("/v1/subscriptions", json=body)).json()
        await stack.enter_async_context(dispatching(hooked))
        yield Owned(owner, receiver, f"/v1/subscriptions/{created['id']}", created["secret"])


async def tell(pipeline: PipelineHarness, *leads: str) -> None:
    """Something about each lead: the stage that it begins in."""
    await pipeline.take_in(*(recorded(1, a_recorded_event("page_viewed"), lead=lead) for lead in leads))


def leads_of(receiver: Receiver) -> list[str]:
    return [from_json(request.body)["subject"] for request in receiver.requests]


async def test_an_owner_creates_watches_and_ends_a_subscription(hooked: PipelineHarness, owned: Owned) -> None:
    await tell(hooked, LEAD)
    await wait_until(lambda: bool(owned.receiver.requests), "the message")
    listed = (await owned.owner.get("/v1/subscriptions")).json()

    assert owned.verify(owned.receiver.requests[0])["subject"] == LEAD
    assert listed == [await owned.get()]
    assert "secret" not in listed[0]
    assert len((await owned.get("/deliveries"))["deliveries"]) == 1
    assert (await owned.owner.delete(owned.url)).status_code == 204
    assert (await owned.owner.get("/v1/subscriptions")).json() == []
    assert (await owned.owner.get(owned.url)).status_code == 404


async def test_a_test_is_sent_at_once_and_answers_with_what_came_back(owned: Owned) -> None:
    result = await owned.post("/test")

    (request,) = owned.receiver.requests
    message = owned.verify(request)
    assert (message["type"], message["id"]) == ("subscription.tested", result["message_id"])
    assert request.headers["webhook-id"] == result["message_id"]
    assert (result["delivered"], result["status"], result["error"]) == (True, 200, None)
    assert (await owned.get("/deliveries"))["deliveries"] == []


async def test_a_test_shows_what_a_failing_receiver_says_without_what_is_nobodys_business(owned: Owned) -> None:
    words = b"<b>no such user ada@example.com, secret whsec_AAAA, \x00\xff" + b"x" * 5_000
    async with receiving(403) as receiver:
        receiver.body = words
        await owned.owner.patch(owned.url, json={"url": receiver.url})
        result = await owned.post("/test")

    assert (result["delivered"], result["status"]) == (False, 403)
    assert result["response"].startswith("<b>no such user [address] secret [secret], ")
    assert len(result["response"]) == 500
    assert "\x00" not in result["response"]


async def test_a_disabled_subscription_can_be_tested_before_it_is_enabled(owned: Owned) -> None:
    disabled = await owned.post("/disable")
    result = await owned.post("/test")
    enabled = await owned.post("/enable")

    assert (disabled["state"], disabled["disabled_reason"]) == ("disabled", "its owner disabled it")
    assert result["delivered"]
    assert (enabled["state"], enabled["disabled_reason"], enabled["disabled_at"]) == ("enabled", None, None)


async def test_a_change_touches_only_what_it_names(hooked: PipelineHarness, owned: Owned) -> None:
    before = await owned.get()
    answer = await owned.owner.patch(owned.url, json={"filter": {"data.to_stage": "won"}, "description": "CRM"})
    await tell(hooked, LEAD)
    everything = await owned.owner.patch(owned.url, json={"filter": {}, "event_types": []})
    await tell(hooked, OTHER)
    await wait_until(lambda: bool(owned.receiver.requests), "what passes now")

    assert answer.json() == {**before, "filter": {"data.to_stage": ["won"]}, "description": "CRM"}
    assert (everything.json()["filter"], everything.json()["event_types"]) == ({}, [])
    assert leads_of(owned.receiver) == [OTHER]


IMPOSSIBLE_CHANGES: list[dict[str, Json]] = [
    {"url": "https://169.254.169.254/latest", "filter": {}},
    {"url": ""},
    {"event_types": ["lead.unheard_of"]},
    {"filter": {"data..x": 1}},
    {"event_types": ["lead.stalled"]},
    {"state": "enabled"},
    {"secret": "whsec_mine"},
]


async def test_a_change_that_cannot_be_is_refused(pipeline: PipelineHarness) -> None:
    owner = await pipeline.client(Scope.SUBSCRIPTIONS_WRITE)
    wish = {"url": "https://example.com/", "filter": {"data.to_stage": "mql"}}
    created = (await owner.post("/v1/subscriptions", json=wish)).json()
    url = f"/v1/subscriptions/{created['id']}"

    for body in IMPOSSIBLE_CHANGES:
        assert (await owner.patch(url, json=body)).status_code == 422, body
    assert (await owner.get(url)).json()["url"] == "https://example.com/"


async def test_messages_about_webhooks_may_be_filtered_by_anything(pipeline: PipelineHarness) -> None:
    owner = await pipeline.client(Scope.SUBSCRIPTIONS_WRITE)
    wish = {
        "url": "https://example.com/",
        "event_types": ["subscription.disabled"],
        "filter": {"data.subscription": "x"},
    }

    assert (await owner.post("/v1/subscriptions", json=wish)).status_code == 201


async def test_after_a_rotation_both_secrets_sign_until_the_old_one_ends(
    hooked: PipelineHarness, owned: Owned
) -> None:
    rotated = await owned.post("/secret/rotate", {"keep_old_hours": 1})
    await tell(hooked, LEAD)
    await owned.attempts(1)
    hooked.clock.advance(timedelta(hours=1))
    await tell(hooked, OTHER)
    await wait_until(lambda: len(owned.receiver.requests) == 2, "a message of the new time")

    both, new = owned.receiver.requests
    assert rotated["secret"] != owned.secret
    assert len(both.headers["webhook-signature"].split(" ")) == 2
    assert owned.verify(both) == owned.verify(both, rotated["secret"])
    signed_by_the_new_one = signed_headers(
        new.headers["webhook-id"], new.body, at=hooked.clock.now(), secrets=[rotated["secret"]]
    )
    assert new.headers["webhook-signature"] == signed_by_the_new_one["webhook-signature"]
    assert "secret" not in await owned.get()


async def test_every_attempt_is_in_the_log_the_newest_first(hooked: PipelineHarness, owned: Owned) -> None:
    async with receiving(500) as receiver:
        receiver.body = b"out of order"
        await owned.owner.patch(owned.url, json={"url": receiver.url})
        await tell(hooked, *LEADS[:7])
        await wait_until(lambda: len(receiver.requests) == 7, "the attempts")

        async def all_written() -> bool:
            return len((await owned.get("/attempts"))["attempts"]) == 7

        await wait_until(all_written, "the log")

    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await owned.get("/attempts", limit="3", **({"cursor": cursor} if cursor else {}))
        found += page["attempts"]
        cursor = page["next_cursor"]

    assert {item["lead_id"] for item in found} == set(LEADS[:7])
    assert [item["at"] for item in found] == sorted((item["at"] for item in found), reverse=True)
    for item in found:
        assert (item["outcome"], item["status"], item["error"], item["number"]) == ("failed", 500, None, 1)
        assert item["response"] == "out of order"
        assert item["duration_seconds"] > 0


async def test_what_was_told_while_disabled_is_replayed_in_order_with_the_same_ids_and_bytes(
    hooked: PipelineHarness, owned: Owned
) -> None:
    since = hooked.clock.now()
    await tell(hooked, LEAD)
    await owned.attempts(1)
    hooked.clock.advance(timedelta(minutes=1))
    disabled_at = (await owned.post("/disable"))["disabled_at"]
    await hooked.take_in(a_score_change(2, thresholds={"mql": a_position("reached")}))
    await tell(hooked, OTHER)
    told = [message for message in await hooked.emitted() if message.type == STAGES[0]]

    replayed = await owned.post("/replay", {"since": disabled_at})
    again = await owned.post("/replay", {"since": disabled_at})
    await owned.post("/enable")
    await wait_until(lambda: len(owned.receiver.requests) == len(told), "what came after")
    everything = await owned.post("/replay", {"since": since.isoformat()})
    await wait_until(lambda: len(owned.receiver.requests) == 2 * len(told), "all of it once more")

    assert (replayed, again["queued"]) == ({"queued": len(told) - 1, "next_cursor": None}, 0)
    assert everything["queued"] == len(told)
    first, second = owned.receiver.requests[: len(told)], owned.receiver.requests[len(told) :]
    assert {request.headers["webhook-id"]: request.body for request in first} == {
        message.id: message.model_dump_json().encode() for message in told
    }
    for requests in (first, second):
        stages = [from_json(request.body) for request in requests]
        assert [stage["data"]["to_stage"] for stage in stages if stage["subject"] == LEAD] == ["new", "mql"]
        assert all(owned.verify(request) for request in requests)


async def test_a_replay_keeps_to_the_subscriptions_filter_and_to_its_range(
    hooked: PipelineHarness, owned: Owned
) -> None:
    await owned.post("/disable")
    await tell(hooked, LEADS[0])
    hooked.clock.advance(timedelta(minutes=1))
    since = hooked.clock.now()
    await tell(hooked, LEADS[1], LEADS[2])
    hooked.clock.advance(timedelta(minutes=1))
    until = hooked.clock.now()
    await tell(hooked, LEADS[3])
    await owned.owner.patch(owned.url, json={"filter": {"subject": [LEADS[0], LEADS[2], LEADS[3]]}})

    replayed = await owned.post("/replay", {"since": since.isoformat(), "until": until.isoformat()})
    await owned.post("/enable")
    await wait_until(lambda: bool(owned.receiver.requests), "the one that is wanted")

    assert replayed == {"queued": 1, "next_cursor": None}
    assert leads_of(owned.receiver) == [LEADS[2]]


async def test_a_long_range_is_replayed_in_pages(
    hooked: PipelineHarness, owned: Owned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(managing, "REPLAY_PAGE", 4)
    since = hooked.clock.now().isoformat()
    await owned.post("/disable")
    await tell(hooked, *LEADS[:10])

    page = await owned.post("/replay", {"since": since})
    # What is told after a replay has begun is no part of it.
    hooked.clock.advance(timedelta(minutes=1))
    await tell(hooked, LEADS[10])
    counts = [page["queued"]]
    while page["next_cursor"] is not None:
        page = await owned.post("/replay", {"cursor": page["next_cursor"]})
        counts.append(page["queued"])

    assert counts == [4, 4, 2]


async def test_single_messages_are_replayed_whatever_the_filter(hooked: PipelineHarness, owned: Owned) -> None:
    await hooked.take_in(a_score_change(1, thresholds={"mql": a_position("reached")}))
    crossed = next(message for message in await hooked.emitted() if message.type == "lead.threshold_entered")
    await wait_until(lambda: len(owned.receiver.requests) == 2, "the stages")

    replayed = await owned.post("/replay", {"message_ids": [crossed.id]})
    unknown = await owned.owner.post(f"{owned.url}/replay", json={"message_ids": [crossed.id, str(uuid4())]})
    await wait_until(lambda: len(owned.receiver.requests) == 3, "the message")

    assert replayed["queued"] == 1
    assert owned.receiver.ids()[-1] == crossed.id
    assert (unknown.status_code, unknown.json()["field"]) == (404, "message_ids")


async def test_what_the_feed_has_let_go_of_cannot_be_replayed(hooked: PipelineHarness, owned: Owned) -> None:
    since = hooked.clock.now().isoformat()
    await owned.post("/disable")
    await tell(hooked, LEAD)
    async with hooked.database.transaction(ALL_WORKSPACES) as connection:
        await feed.forget(connection, hooked.clock.now() + timedelta(seconds=1), 100)

    assert (await owned.post("/replay", {"since": since}))["queued"] == 0


async def test_a_replayed_message_begins_its_schedule_anew(hooked: PipelineHarness, owned: Owned) -> None:
    statuses = iter([500, 200, 500])
    async with receiving(lambda _: next(statuses, 200)) as receiver:
        await owned.owner.patch(owned.url, json={"url": receiver.url})
        since = hooked.clock.now().isoformat()
        await tell(hooked, LEAD)
        await owned.attempts(1)
        hooked.clock.advance(timedelta(seconds=7))
        await owned.attempts(2)
        await owned.post("/replay", {"since": since})
        await owned.attempts(3)
        (delivery,) = (await owned.get("/deliveries"))["deliveries"]
        hooked.clock.advance(timedelta(seconds=7))
        await owned.attempts(4)

    assert delivery["attempts"] == 3
    assert len(set(receiver.ids())) == 1
    assert [item["number"] for item in (await owned.get("/attempts"))["attempts"]] == [4, 3, 2, 1]


def forged(**place: Json) -> str:
    """A cursor that leadflow never gave."""
    return urlsafe_b64encode(to_json(place)).decode().rstrip("=")


IMPOSSIBLE_REPLAYS: list[dict[str, Json]] = [
    {},
    {"until": "2026-03-02T12:00:00Z"},
    {"since": "2026-03-02T12:00:00Z", "message_ids": ["x"]},
    {"since": "2026-03-02T12:00:00"},
    {"since": "0001-01-01T00:00:00+14:00"},
    {"since": "9999-12-31T23:59:59-14:00"},
    {"cursor": "nonsense"},
    {"cursor": "e30"},
    {"cursor": forged(since="2026-03-02T12:00:00", until=None, after=0, end=9)},
    {"cursor": forged(since="0001-01-01T00:00:00+14:00", until=None, after=0, end=9)},
    {"cursor": forged(since="2026-03-02T12:00:00Z", until=None, after=-1, end=9)},
    {"cursor": forged(since="2026-03-02T12:00:00Z", until=None, after=0, end=2**63)},
    {"message_ids": ["\x00"]},
    {"message_ids": ["x"] * 1_001},
]


async def test_a_replay_that_makes_no_sense_is_refused(pipeline: PipelineHarness) -> None:
    owner = await pipeline.client(Scope.SUBSCRIPTIONS_WRITE)
    created = (await owner.post("/v1/subscriptions", json={"url": "https://example.com/"})).json()

    for body in IMPOSSIBLE_REPLAYS:
        answer = await owner.post(f"/v1/subscriptions/{created['id']}/replay", json=body)
        assert answer.status_code == 422, body


async def test_a_forged_place_in_the_attempt_log_is_refused(pipeline: PipelineHarness) -> None:
    owner = await pipeline.client(Scope.SUBSCRIPTIONS_WRITE)
    created = (await owner.post("/v1/subscriptions", json={"url": "https://example.com/"})).json()
    url = f"/v1/subscriptions/{created['id']}/attempts"
    places: list[tuple[str, int, int]] = [
        ("2026-03-02T12:00:00Z", 1, 2**31),
        ("2026-03-02T12:00:00Z", 2**63, 1),
        ("2026-03-02T12:00:00", 1, 1),
        ("9999-12-31T23:59:59-14:00", 1, 1),
    ]

    for at, delivery_id, number in places:
        cursor = forged(at=at, delivery_id=delivery_id, number=number)
        assert (await owner.get(url, params={"cursor": cursor})).status_code == 422, at
    good = forged(at="2026-03-02T12:00:00Z", delivery_id=1, number=1)
    assert (await owner.get(url, params={"cursor": good})).status_code == 200


ROUTES: list[tuple[str, str, dict[str, Json] | None]] = [
    ("GET", "", None),
    ("PATCH", "", {"description": "mine"}),
    ("DELETE", "", None),
    ("POST", "/enable", None),
    ("POST", "/disable", None),
    ("POST", "/secret/rotate", {}),
    ("GET", "/deliveries", None),
    ("GET", "/attempts", None),
    ("POST", "/replay", {"since": "2026-03-02T12:00:00Z"}),
    ("POST", "/replay", {"message_ids": ["x"]}),
    ("POST", "/test", None),
]


async def test_a_subscription_is_its_workspaces_and_its_scopes(pipeline: PipelineHarness) -> None:
    owner = await pipeline.client(Scope.SUBSCRIPTIONS_WRITE)
    stranger = await pipeline.client(Scope.ADMIN, workspace="elsewhere")
    reader = await pipeline.client(Scope.LEADS_READ)
    created = (await owner.post("/v1/subscriptions", json={"url": "https://example.com/"})).json()
    base = f"/v1/subscriptions/{created['id']}"

    for method, path, body in ROUTES:
        assert (await stranger.request(method, base + path, json=body)).status_code == 404, path
        assert (await reader.request(method, base + path, json=body)).status_code == 403, path
    assert (await owner.get(base)).json()["state"] == "enabled"


async def test_another_workspaces_messages_cannot_be_replayed(hooked: PipelineHarness, owned: Owned) -> None:
    stranger = await hooked.client(Scope.ADMIN, workspace="elsewhere")
    theirs = (await stranger.post("/v1/subscriptions", json={"url": owned.receiver.url})).json()
    since = hooked.clock.now().isoformat()
    await tell(hooked, LEAD)
    (message,) = await hooked.emitted()
    url = f"/v1/subscriptions/{theirs['id']}/replay"

    assert (await stranger.post(url, json={"since": since})).json()["queued"] == 0
    assert (await stranger.post(url, json={"message_ids": [message.id]})).status_code == 404
