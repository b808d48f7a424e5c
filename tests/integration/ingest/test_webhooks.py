"""POST /v1/webhooks/{source}: what the platforms send, from the signature to the log."""

from datetime import timedelta

import httpx
import pytest

from services.ingest.kinds.kind import traits_of
from services.ingest.kinds.registry import KINDS
from shared.access import Scope
from tests.support.ingesting import NOON, Ingesting, problem_of
from tests.support.webhooks import Signed, calendly, examples, segment, standard

EXAMPLES = examples(NOON)
SIGNED_WITH_TIME = ("hubspot", "sendgrid", "calendly", "standardwebhooks", "klaviyo")
TYPES = {
    "hubspot": "contact_created",
    "sendgrid": "email_clicked",
    "segment": "page_viewed",
    "calendly": "meeting_booked",
    "typeform": "form_submitted",
    "standardwebhooks": "trial_started",
    "customerio": "email_clicked",
    "klaviyo": "email_clicked",
    "intercom": "unsubscribed",
    "activecampaign": "email_clicked",
    "brevo": "email_clicked",
    "marketo": "form_submitted",
    "cloudevents": "webinar_attended",
    "mailgun": "email_clicked",
    "mailchimp": "subscribed",
    "mandrill": "email_clicked",
    "postmark": "email_clicked",
    "mautic": "page_viewed",
}


async def set_up(ingest: Ingesting, signed: Signed) -> None:
    await ingest.add_source(signed.kind, [signed.secret], **signed.source_options())


async def send(ingest: Ingesting, signed: Signed, **changes: bytes) -> httpx.Response:
    body = changes.get("body", signed.body)
    return await ingest.client.post(signed.path, content=body, headers=dict(signed.headers))


@pytest.mark.parametrize("kind", EXAMPLES)
async def test_a_signed_webhook_becomes_an_event(ingest: Ingesting, kind: str) -> None:
    await set_up(ingest, EXAMPLES[kind])

    answer = await send(ingest, EXAMPLES[kind])

    assert answer.status_code == traits_of(KINDS[kind]).accepted_status
    assert answer.json()["accepted"] == 1
    [event] = await ingest.published(1)
    assert (event.source, event.type) == (kind, TYPES[kind])
    assert event.occurred_at == NOON
    if kind == "hubspot":
        assert event.lead.external_ids == {"hubspot:3:contact": "4711"}
    else:
        assert event.lead.email == "ann@example.com"


@pytest.mark.parametrize("kind", EXAMPLES)
async def test_a_redelivery_has_the_same_event_id(ingest: Ingesting, kind: str) -> None:
    await set_up(ingest, EXAMPLES[kind])

    await send(ingest, EXAMPLES[kind])
    ingest.clock.advance(timedelta(minutes=2))
    await send(ingest, EXAMPLES[kind])

    events = await ingest.published(2)
    assert len(events) == 2
    assert len({event.id for event in events}) == 1


@pytest.mark.parametrize("kind", [kind for kind, example in EXAMPLES.items() if example.covers_body])
async def test_a_flipped_byte_is_refused_and_nothing_is_published(ingest: Ingesting, kind: str) -> None:
    await set_up(ingest, EXAMPLES[kind])
    body = EXAMPLES[kind].body
    forged = body.replace(b"example", b"exbmple") if b"example" in body else body.replace(b"4711", b"4712")

    answer = await send(ingest, EXAMPLES[kind], body=forged)

    assert answer.status_code == 401
    assert problem_of(answer)["code"] == "unauthenticated"
    assert await ingest.published() == []


@pytest.mark.parametrize("kind", [kind for kind, example in EXAMPLES.items() if example.headers or example.query])
async def test_without_its_headers_or_its_query_it_is_refused(ingest: Ingesting, kind: str) -> None:
    await set_up(ingest, EXAMPLES[kind])

    answer = await ingest.client.post(f"/v1/webhooks/{kind}", content=EXAMPLES[kind].body)

    assert answer.status_code == 401


@pytest.mark.parametrize("kind", SIGNED_WITH_TIME)
@pytest.mark.parametrize("minutes", [-5.1, 5.1])
async def test_an_attempt_that_is_stale_or_from_the_future_is_refused(
    ingest: Ingesting, kind: str, minutes: float
) -> None:
    await set_up(ingest, EXAMPLES[kind])
    ingest.clock.advance(timedelta(minutes=minutes))

    answer = await send(ingest, EXAMPLES[kind])

    assert answer.status_code == 401


async def test_an_unknown_source_and_a_wrong_signature_look_the_same(ingest: Ingesting) -> None:
    await set_up(ingest, EXAMPLES["typeform"])

    unknown = await ingest.client.post("/v1/webhooks/nobody", content=b"{}")
    forged = await ingest.client.post("/v1/webhooks/typeform", content=b"{}")

    assert unknown.status_code == forged.status_code == 401
    assert unknown.content == forged.content
    assert unknown.headers.keys() == forged.headers.keys()


async def test_two_secrets_live_while_one_is_exchanged(ingest: Ingesting) -> None:
    old = calendly({"event": "x"}, NOON, secret="the old secret")
    await ingest.add_source("calendly", [old.secret])
    await ingest.allow(Scope.SOURCES_WRITE)

    exchanged = await ingest.client.post(
        "/v1/sources/calendly/secrets", json={"secret": "the new secret", "keep_old_seconds": 60}
    )

    assert exchanged.status_code == 201
    assert [secret["expires_at"] is None for secret in exchanged.json()["secrets"]] == [False, True]
    assert [(await send(ingest, one)).status_code for one in (old, signed_with_the_new_secret())] == [202, 202]
    ingest.clock.advance(timedelta(seconds=60))
    assert [(await send(ingest, one)).status_code for one in (old, signed_with_the_new_secret())] == [401, 202]


def signed_with_the_new_secret() -> Signed:
    return calendly({"event": "x"}, NOON, secret="the new secret")


async def test_the_secret_of_another_workspaces_source_cannot_be_exchanged(ingest: Ingesting) -> None:
    await ingest.add_source("calendly", ["the old secret"])
    await ingest.allow(Scope.SOURCES_WRITE, workspace="acme")

    answers = [
        await ingest.client.post(f"/v1/sources/{source}/secrets", json={"secret": "the new secret"})
        for source in ("calendly", "nobody", "a%00b")
    ]

    assert [answer.status_code for answer in answers] == [404, 404, 404]


async def test_of_a_segment_batch_each_call_ends_in_its_own_way(ingest: Ingesting) -> None:
    calls = [
        {"type": "track", "event": "Watched a Demo", "messageId": "1", "anonymousId": "v1"},
        {"type": "track", "event": "Something Else", "messageId": "2", "anonymousId": "v1"},
        {"type": "identify", "messageId": "3", "userId": "u", "anonymousId": "v1", "traits": {"email": "a@b.de"}},
        {"type": "page", "messageId": "4"},
        {"type": "page", "messageId": "5", "anonymousId": "v1", "properties": {"p": "\x00"}},
    ]
    signed = segment(calls)
    await ingest.add_source("segment", [signed.secret], event_names={"Watched a Demo": "demo_watched"})

    answer = await send(ingest, signed)

    result = answer.json()
    statuses = [item["status"] for item in result["items"]]
    assert statuses == ["accepted", "parked", "ignored", "parked", "refused"]
    assert (result["accepted"], result["ignored"], result["parked"], result["refused"]) == (1, 1, 2, 1)
    assert result["items"][3]["error"]["code"] == "no_identity"
    assert sorted(event.type for event in await ingest.published(2)) == ["contact_updated", "demo_watched"]


async def test_a_verified_body_that_is_no_json_is_a_bad_request(ingest: Ingesting) -> None:
    signed = standard("not what it should be", NOON)
    await set_up(ingest, signed)

    answer = await send(ingest, signed)

    assert answer.status_code == 400


async def test_no_parser_runs_on_what_is_not_verified(ingest: Ingesting, monkeypatch: pytest.MonkeyPatch) -> None:
    await set_up(ingest, EXAMPLES["segment"])
    parsed: list[bytes] = []
    monkeypatch.setattr("services.ingest.api.webhooks.parse", parsed.append)
    monkeypatch.setattr("services.ingest.api.webhooks.parse_elements", parsed.append)

    answer = await ingest.client.post("/v1/webhooks/segment", content=b"[" * 1000, headers={"X-Signature": "00"})

    assert answer.status_code == 401
    assert parsed == []


async def test_platforms_that_look_before_they_save_find_somebody(ingest: Ingesting) -> None:
    answers = [await ingest.client.request(method, "/v1/webhooks/any") for method in ("GET", "HEAD")]

    assert [answer.status_code for answer in answers] == [200, 200]
