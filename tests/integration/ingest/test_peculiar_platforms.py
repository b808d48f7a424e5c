"""What single platforms do at the door that no other does."""

import httpx
import pytest

from shared.events.json import Json
from tests.support import webhooks
from tests.support.ingesting import NOON, Ingesting
from tests.support.webhooks import Signed, as_json


async def set_up(ingest: Ingesting, signed: Signed) -> None:
    await ingest.add_source(signed.kind, [signed.secret], **signed.source_options())


async def send(ingest: Ingesting, signed: Signed, body: bytes | None = None) -> httpx.Response:
    return await ingest.client.post(signed.path, content=body or signed.body, headers=dict(signed.headers))


async def test_mandrill_is_welcomed_before_anybody_has_its_key(ingest: Ingesting) -> None:
    await set_up(ingest, webhooks.mandrill([], secret="to be replaced by the key"))

    look = await ingest.client.head("/v1/webhooks/mandrill")
    test = await send(ingest, webhooks.mandrill([], secret="test-webhook"))

    assert (look.status_code, test.status_code) == (200, 200)
    assert test.json()["items"] == []


async def test_of_a_mandrill_batch_an_unreadable_event_is_refused_alone(ingest: Ingesting) -> None:
    good = {"event": "open", "_id": "d1", "ts": 1, "msg": {"email": "ann@example.com"}}
    events = b"[" + as_json(good) + rb',{"event":"open","msg":{"subject":"\ud83d"}}]'
    signed = webhooks.mandrill_text(events.decode())
    await set_up(ingest, signed)

    answer = await send(ingest, signed)

    assert [item["status"] for item in answer.json()["items"]] == ["accepted", "refused"]


async def test_mailgun_never_hears_the_status_after_which_it_gives_up(ingest: Ingesting) -> None:
    signed = webhooks.mailgun({"id": "once", "event": "opened", "recipient": "ann@example.com"}, NOON)
    await set_up(ingest, signed)

    taken = await send(ingest, signed)
    replayed = await send(ingest, signed, signed.body.replace(b'"once"', b'"twice"'))
    unsigned = await send(ingest, signed, b"{}")
    again = await send(ingest, signed)

    assert [answer.status_code for answer in (taken, replayed, unsigned, again)] == [200, 401, 401, 200]
    assert {event.id for event in await ingest.published(2)} == {"once"}


async def test_mailchimp_looks_at_the_url_with_its_secret_before_it_saves_it(ingest: Ingesting) -> None:
    signed = webhooks.mailchimp({"type": "subscribe"})
    await set_up(ingest, signed)

    answer = await ingest.client.get(signed.path)

    assert answer.status_code == 200
    assert await ingest.published() == []


async def test_a_complaint_to_mailchimp_is_two_events_of_one_call(ingest: Ingesting) -> None:
    data: Json = {"reason": "abuse", "email": "ann@example.com", "list_id": "l1", "id": "m1"}
    signed = webhooks.mailchimp({"type": "unsubscribe", "fired_at": "2026-03-02 11:00:00", "data": data})
    await set_up(ingest, signed)

    answer = await send(ingest, signed)

    assert [item["status"] for item in answer.json()["items"]] == ["accepted", "accepted"]
    assert {item["index"] for item in answer.json()["items"]} == {0}
    assert {event.type for event in await ingest.published(2)} == {"spam_complaint", "unsubscribed"}


@pytest.mark.parametrize("record", ["Bounce", "SpamComplaint", "Open", "Click", "Delivery", "SubscriptionChange"])
async def test_a_test_call_of_postmark_is_answered_with_200(ingest: Ingesting, record: str) -> None:
    signed = webhooks.postmark({"RecordType": record, "Email": "john@example.com", "Recipient": "john@example.com"})
    await set_up(ingest, signed)

    assert (await send(ingest, signed)).status_code == 200


async def test_an_empty_batch_of_mautic_is_taken(ingest: Ingesting) -> None:
    signed = webhooks.mautic({})
    await set_up(ingest, signed)

    assert (await send(ingest, signed)).status_code == 200
