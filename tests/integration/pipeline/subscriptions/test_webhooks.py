"""Webhooks to real HTTP servers, verified by an independent implementation of Standard Webhooks."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from pydantic_core import from_json, to_json
from sqlalchemy import text
from standardwebhooks import Webhook

from services.pipeline.delivery.address import AddressGuard
from services.pipeline.delivery.schedule import RetrySchedule
from services.pipeline.delivery.signature import secret_text
from services.pipeline.settings import PipelineSettings
from services.pipeline.subscriptions import deliveries as delivery_repository
from services.pipeline.subscriptions import managing
from services.pipeline.subscriptions.deliveries import Lease, Room
from shared.access import Scope
from shared.db.reach import ALL_WORKSPACES
from shared.events.codec import encode
from shared.events.json import Json
from tests.integration.pipeline.conftest import PipelineHarness
from tests.support.outgoing import STAGES, deliveries, dispatching, settled, subscribe
from tests.support.pipeline import LEAD, OTHER, a_position, a_recorded_event, a_score_change, recorded
from tests.support.receiver import HANG, ReceivedRequest, receiving
from tests.support.waiting import wait_until

pytestmark = pytest.mark.postgres


async def test_a_subscriber_gets_the_bytes_of_the_log_signed(hooked: PipelineHarness) -> None:
    async with receiving() as receiver, dispatching(hooked):
        subscription = await subscribe(hooked, receiver.url)
        await hooked.take_in(a_score_change(1, thresholds={"mql": a_position("reached")}))
        await wait_until(lambda: len(receiver.requests) == 2, "both stage changes")

    expected = [encode(message) for message in await hooked.emitted() if message.type == STAGES[0]]
    assert [request.body for request in receiver.requests] == expected
    for request in receiver.requests:
        verified = Webhook(subscription.secrets[0].text).verify(request.body, request.headers)
        assert verified["id"] == request.headers["webhook-id"]
        assert request.headers["content-type"] == "application/cloudevents+json"


async def test_what_the_scorer_says_is_delivered_byte_for_byte(hooked: PipelineHarness) -> None:
    body = encode(a_score_change(1)).replace(b'"specversion"', b' "specversion"')
    async with receiving() as receiver, dispatching(hooked):
        await subscribe(hooked, receiver.url, ["lead.score_changed"])
        await hooked.take_in_bytes([body, body])
        await wait_until(lambda: bool(receiver.requests), "the score")

    assert [request.body for request in receiver.requests] == [body]


async def test_what_another_model_recomputed_is_no_news_but_the_threshold_it_crosses_is(
    hooked: PipelineHarness,
) -> None:
    async with receiving() as receiver, dispatching(hooked):
        await subscribe(hooked, receiver.url, ["lead.score_changed", "lead.threshold_entered"])
        await hooked.take_in(a_score_change(1, cause="model", thresholds={"mql": a_position("reached")}))
        await wait_until(lambda: bool(receiver.requests), "the threshold")
        await hooked.take_in(a_score_change(2))
        await wait_until(lambda: len(receiver.requests) > 1, "the next score")

    types = [from_json(request.body)["type"] for request in receiver.requests]
    assert types == ["lead.threshold_entered", "lead.score_changed"]


async def test_a_filter_lets_only_what_is_wanted_through(hooked: PipelineHarness) -> None:
    async with receiving() as receiver, dispatching(hooked):
        conditions: dict[str, Json] = {
            "data.to_stage": ["mql", "won"],
            "type": STAGES[0],
            "data.sequence": {"gte": 2},
        }
        await subscribe(hooked, receiver.url, (), conditions)
        await hooked.take_in(a_score_change(1, thresholds={"mql": a_position("reached")}))
        await wait_until(lambda: bool(receiver.requests), "a stage change")

    assert [b'"to_stage":"mql"' in request.body for request in receiver.requests] == [True]


async def test_a_failed_delivery_comes_again_with_the_same_id_and_bytes(hooked: PipelineHarness) -> None:
    statuses = iter([500, 302, 200])
    async with receiving(lambda _: next(statuses), location="http://127.0.0.1:1/") as receiver, dispatching(hooked):
        subscription = await subscribe(hooked, receiver.url)
        await hooked.take_in(recorded(1, a_recorded_event("page_viewed")))
        await wait_until(settled(hooked, subscription, 1), "the first attempt")
        first = (await deliveries(hooked, subscription))[0]
        hooked.clock.move_to(first.next_at)
        await wait_until(settled(hooked, subscription, 2), "the second attempt")
        second = (await deliveries(hooked, subscription))[0]
        hooked.clock.move_to(second.next_at)
        await wait_until(settled(hooked, subscription, 3), "the third attempt")

    assert timedelta(seconds=4) <= first.next_at - first.created_at <= timedelta(seconds=6)
    assert timedelta(seconds=240) <= second.next_at - first.next_at <= timedelta(seconds=360)
    assert len(set(receiver.ids())) == 1
    assert len({request.body for request in receiver.requests}) == 1
    assert len({request.headers["webhook-timestamp"] for request in receiver.requests}) == 3
    assert (await deliveries(hooked, subscription))[0].state == "delivered"


async def test_retry_after_is_honoured(hooked: PipelineHarness) -> None:
    async with receiving(503, retry_after="600") as receiver, dispatching(hooked):
        subscription = await subscribe(hooked, receiver.url)
        await hooked.take_in(recorded(1, a_recorded_event("page_viewed")))
        await wait_until(settled(hooked, subscription, 1), "the first attempt")

    only = (await deliveries(hooked, subscription))[0]
    assert only.next_at - only.created_at == timedelta(seconds=600)


async def test_a_receiver_that_is_gone_is_disabled(hooked: PipelineHarness) -> None:
    async with receiving(410) as receiver, dispatching(hooked):
        subscription = await subscribe(hooked, receiver.url)
        await hooked.take_in(recorded(1, a_recorded_event("page_viewed")))
        await wait_until(settled(hooked, subscription, 1), "the only attempt")
        await hooked.take_in(recorded(2, a_recorded_event("demo_requested")))

    (after,) = await managing.all_of(hooked.database, "default")
    assert (after.state, after.disabled_reason) == ("disabled", "the receiver answered 410 Gone")
    assert [item.state for item in await deliveries(hooked, subscription)] == ["failed"]


async def test_a_delivery_is_given_up_at_the_end_of_the_schedule(hooked: PipelineHarness) -> None:
    schedule = RetrySchedule(delays=(timedelta(0), timedelta(0)))
    async with receiving(500) as receiver, dispatching(hooked, schedule=schedule):
        subscription = await subscribe(hooked, receiver.url)
        await hooked.take_in(recorded(1, a_recorded_event("page_viewed")))
        await wait_until(settled(hooked, subscription, 3), "the last attempt")

    only = (await deliveries(hooked, subscription))[0]
    assert (only.state, only.attempts, only.last_status) == ("failed", 3, 500)


async def test_a_receiver_that_hangs_delays_no_other(hooked: PipelineHarness) -> None:
    leads = [str(UUID(int=number, version=4)) for number in range(1, 31)]
    settings = PipelineSettings(
        webhook_poll_seconds=0.02, webhook_concurrency=12, webhook_timeout_seconds=200, webhook_lease_seconds=300
    )
    async with (
        dispatching(hooked, settings=settings),
        receiving() as healthy,
        receiving(HANG) as hanging,
        receiving(500) as broken,
    ):
        for receiver in (hanging, healthy, broken):
            await subscribe(hooked, receiver.url)
        await hooked.take_in(*(recorded(1, a_recorded_event("page_viewed"), lead=lead) for lead in leads))
        await wait_until(lambda: len(healthy.requests) == 30, "everything at the healthy one")

    assert 1 <= len(hanging.requests) <= settings.webhook_concurrency_per_subscription


async def test_messages_about_a_lead_arrive_in_order_whatever_fails(hooked: PipelineHarness) -> None:
    failures = iter([500])

    def answer(request: ReceivedRequest) -> int:
        return next(failures, 200) if LEAD.encode() in request.body else 200

    async with receiving(answer) as receiver, dispatching(hooked):
        subscription = await subscribe(hooked, receiver.url)
        await hooked.take_in(a_score_change(1, thresholds={"mql": a_position("reached")}))
        await hooked.take_in(recorded(1, a_recorded_event("page_viewed"), lead=OTHER))
        await wait_until(lambda: len(receiver.requests) == 2, "the other lead's message meanwhile")
        await wait_until(settled(hooked, subscription, 1), "the failed attempt")
        hooked.clock.advance(timedelta(seconds=7))
        await wait_until(lambda: len(receiver.requests) == 4, "the rest")

    stages = [
        request.body.split(b'"to_stage":"')[1][:3] for request in receiver.requests if LEAD.encode() in request.body
    ]
    assert stages == [b"new", b"new", b"mql"]


async def test_two_processes_never_send_the_same_at_once(hooked: PipelineHarness) -> None:
    leads = [str(UUID(int=number, version=4)) for number in range(1, 61)]
    async with receiving() as receiver, dispatching(hooked), dispatching(hooked):
        await subscribe(hooked, receiver.url)
        await hooked.take_in(*(recorded(1, a_recorded_event("page_viewed"), lead=lead) for lead in leads))
        await wait_until(lambda: len(receiver.requests) >= 60, "all of them")

    assert len(receiver.ids()) == len(set(receiver.ids())) == 60


async def test_what_a_killed_process_held_is_sent_when_its_lease_ends(hooked: PipelineHarness) -> None:
    async with receiving() as receiver:
        await subscribe(hooked, receiver.url)
        await hooked.take_in(recorded(1, a_recorded_event("page_viewed")))
        now = hooked.clock.now()
        async with hooked.database.transaction(ALL_WORKSPACES) as connection:
            held = await delivery_repository.claim(
                connection,
                Lease(uuid4(), now, now + timedelta(seconds=60)),
                Room(total=8, failing=8, per_subscription=8, busy={}),
            )
        async with dispatching(hooked) as survivor:
            survivor.wake()
            assert receiver.requests == []
            hooked.clock.advance(timedelta(seconds=61))
            await wait_until(lambda: bool(receiver.requests), "the message of the killed process")

    assert receiver.ids() == [held[0].message_id]
    assert receiver.requests[0].body == held[0].body


async def test_while_secrets_rotate_both_sign(hooked: PipelineHarness) -> None:
    old, new = secret_text(b"o" * 32), secret_text(b"n" * 32)
    now = hooked.clock.now()
    async with receiving() as receiver, dispatching(hooked):
        subscription = await subscribe(hooked, receiver.url)
        secrets = [
            {"text": new, "created_at": now, "expires_at": None},
            {"text": old, "created_at": now, "expires_at": now + timedelta(days=1)},
            {"text": secret_text(b"x" * 32), "created_at": now, "expires_at": now - timedelta(days=1)},
        ]
        async with hooked.database.transaction(ALL_WORKSPACES) as connection:
            await connection.execute(
                text("UPDATE pipeline.subscription SET secrets = CAST(:secrets AS json) WHERE id = :id"),
                {"secrets": to_json(secrets).decode(), "id": subscription.id},
            )
        await hooked.take_in(recorded(1, a_recorded_event("page_viewed")))
        await wait_until(lambda: bool(receiver.requests), "the message")

    (request,) = receiver.requests
    for secret in (old, new):
        assert Webhook(secret).verify(request.body, request.headers)
    assert len(request.headers["webhook-signature"].split()) == 2


async def test_an_endless_answer_is_left_unread(hooked: PipelineHarness) -> None:
    async with receiving() as receiver, dispatching(hooked):
        receiver.endless = True
        subscription = await subscribe(hooked, receiver.url)
        await hooked.take_in(recorded(1, a_recorded_event("page_viewed")))
        await wait_until(settled(hooked, subscription, 1), "the attempt")

    assert (await deliveries(hooked, subscription))[0].state == "delivered"


async def test_a_name_that_leads_home_later_is_refused_at_the_connection(hooked: PipelineHarness) -> None:
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["93.184.216.34", "127.0.0.1"]

    guard = AddressGuard(allow_http=True, resolve=rebinding)
    async with dispatching(hooked, guard):
        subscription = await subscribe(hooked, "http://rebinding.example.com/hook")
        await hooked.take_in(recorded(1, a_recorded_event("page_viewed")))
        await wait_until(settled(hooked, subscription, 1), "the attempt")

    only = (await deliveries(hooked, subscription))[0]
    assert (only.last_status, only.last_error) == (None, "address_refused")
    assert asked == ["rebinding.example.com"]


async def test_the_connection_goes_to_the_checked_address_under_the_original_name(hooked: PipelineHarness) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    guard = AddressGuard(allow_http=True, allow_private=True, resolve=resolve)
    async with receiving() as receiver, dispatching(hooked, guard):
        await subscribe(hooked, f"http://crm.example.com:{receiver.port}/hook")
        await hooked.take_in(recorded(1, a_recorded_event("page_viewed")))
        await wait_until(lambda: bool(receiver.requests), "the message")

    assert receiver.requests[0].headers["host"] == f"crm.example.com:{receiver.port}"


async def test_a_proxy_of_the_environment_is_not_used(
    hooked: PipelineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with receiving() as receiver, dispatching(hooked):
        await subscribe(hooked, receiver.url)
        await hooked.take_in(recorded(1, a_recorded_event("page_viewed")))
        await wait_until(lambda: bool(receiver.requests), "the message")


@pytest.mark.parametrize(
    "body",
    [
        {"url": "https://169.254.169.254/latest"},
        {"url": "http://example.com/"},
        {"url": "https://example.com/", "event_types": ["lead.unheard_of"]},
        {"url": "https://example.com/", "filter": {"data..x": 1}},
        {"url": "https://example.com/", "filter": {"data.sequence": {"above": 1}}},
        {"url": "https://example.com/", "filter": {"data.to_stge": "mql"}},
        {"url": "https://example.com/", "filter": {"data.to_stage": "mql"}, "event_types": ["lead.stalled"]},
        {"url": "https://example.com/", "surprise": 1},
    ],
)
async def test_a_subscription_that_cannot_be_is_refused(pipeline: PipelineHarness, body: dict[str, Json]) -> None:
    client = await pipeline.client(Scope.SUBSCRIPTIONS_WRITE)

    answer = await client.post("/v1/subscriptions", json=body)

    assert answer.status_code == 422
