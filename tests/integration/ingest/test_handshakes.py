"""What platforms send that is no event: pings, questions before the first delivery, and deliveries by GET."""

import pytest

from tests.support.ingesting import NOON, Ingesting, problem_of
from tests.support.webhooks import TEXT_SECRET, as_json, examples, intercom

EXAMPLES = examples(NOON)
BEARER = {"Authorization": f"Bearer {TEXT_SECRET}"}


@pytest.mark.parametrize("name", ["cloudevents", "nobody"])
async def test_a_cloudevents_sender_that_asks_is_allowed_under_every_name(ingest: Ingesting, name: str) -> None:
    await ingest.add_source("cloudevents", [TEXT_SECRET])

    answer = await ingest.client.options(
        f"/v1/webhooks/{name}",
        headers={"WebHook-Request-Origin": "eventemitter.example.com", "WebHook-Request-Rate": "120"},
    )

    assert answer.status_code == 200
    assert answer.headers["WebHook-Allowed-Origin"] == "eventemitter.example.com"
    assert answer.headers["WebHook-Allowed-Rate"] == "120"
    assert "POST" in answer.headers["Allow"]


async def test_whoever_does_not_say_who_it_is_gets_no_consent(ingest: Ingesting) -> None:
    answer = await ingest.client.options("/v1/webhooks/any")

    assert answer.status_code == 200
    assert "WebHook-Allowed-Origin" not in answer.headers


async def test_a_ping_of_intercoms_is_taken_and_gives_nothing(ingest: Ingesting) -> None:
    ping = intercom({"type": "notification_event", "topic": "ping", "id": None, "data": {"item": {"type": "ping"}}})
    await ingest.add_source("intercom", [ping.secret])

    answer = await ingest.client.post(ping.path, content=ping.body, headers=dict(ping.headers))

    assert answer.status_code == 202
    assert answer.json()["items"] == []


async def test_the_three_modes_of_a_cloudevent_are_one_event(ingest: Ingesting) -> None:
    await ingest.add_source("cloudevents", [TEXT_SECRET])
    event = {
        "specversion": "1.0",
        "id": "1",
        "source": "/s",
        "type": "page_viewed",
        "data": {"email": "ann@example.com"},
    }
    binary = {f"ce-{name}": str(event[name]) for name in ("specversion", "id", "source", "type")}

    for body, headers in (
        (as_json(event), {"Content-Type": "application/cloudevents+json"}),
        (as_json([event]), {"Content-Type": "application/cloudevents-batch+json"}),
        (as_json(event["data"]), {"Content-Type": "application/json", **binary}),
    ):
        answer = await ingest.client.post("/v1/webhooks/cloudevents", content=body, headers={**BEARER, **headers})
        assert answer.json()["accepted"] == 1, answer.text

    events = await ingest.published(3)
    assert {event.id for event in events} == {"/s#1"}
    assert {event.lead.email for event in events} == {"ann@example.com"}


async def test_of_a_batch_of_cloudevents_one_that_is_broken_fails_alone(ingest: Ingesting) -> None:
    await ingest.add_source("cloudevents", [TEXT_SECRET])
    good = EXAMPLES["cloudevents"].body
    headers = {**BEARER, "Content-Type": "application/cloudevents-batch+json"}

    mixed = await ingest.client.post(
        "/v1/webhooks/cloudevents", content=b"[" + good + b',{"id":NaN}]', headers=headers
    )
    empty = await ingest.client.post("/v1/webhooks/cloudevents", content=b"[]", headers=headers)

    assert [item["status"] for item in mixed.json()["items"]] == ["accepted", "refused"]
    assert (empty.status_code, empty.json()["items"]) == (202, [])


@pytest.mark.parametrize(
    ("kind", "media_type", "body"),
    [("cloudevents", "application/cloudevents+xml", b"<event/>"), ("marketo", "text/xml", b"<lead/>")],
)
async def test_xml_is_an_unsupported_format(ingest: Ingesting, kind: str, media_type: str, body: bytes) -> None:
    await ingest.add_source(kind, [TEXT_SECRET])

    answer = await ingest.client.post(
        f"/v1/webhooks/{kind}", content=body, headers={**BEARER, "Content-Type": media_type}
    )

    assert answer.status_code == 415
    assert problem_of(answer)["code"] == "unsupported_media_type"


async def test_marketo_may_deliver_by_get(ingest: Ingesting) -> None:
    await ingest.add_source("marketo", [TEXT_SECRET], event_names={"Got Guide": "content_downloaded"})
    fields = {"event": "Got Guide", "email": "ann@example.com", "guide": "a & b"}

    taken = await ingest.client.get("/v1/webhooks/marketo", params={"token": TEXT_SECRET, **fields})
    forged = await ingest.client.get("/v1/webhooks/marketo", params={"token": "another", **fields})
    look = await ingest.client.get("/v1/webhooks/marketo")

    assert (taken.status_code, taken.json()["accepted"]) == (202, 1)
    assert forged.status_code == 401
    assert (look.status_code, look.content) == (200, b"")
    [event] = await ingest.published(1)
    assert (event.type, event.lead.email) == ("content_downloaded", "ann@example.com")
    assert event.properties == {"guide": "a & b", "occurred_at_assumed": True}


async def test_forms_are_read_for_marketo_as_for_activecampaign(ingest: Ingesting) -> None:
    await ingest.add_source("marketo", [TEXT_SECRET])
    form = {"event": "Fills Out Form", "email": "ann@example.com", "attributes[job_title]": "Head of R&D"}

    answer = await ingest.client.post("/v1/webhooks/marketo", data=form, headers=BEARER)

    assert answer.json()["accepted"] == 1
    [event] = await ingest.published(1)
    assert event.attributes["job_title"] == "Head of R&D"


async def test_looks_of_other_kinds_stay_looks_with_parameters(ingest: Ingesting) -> None:
    await ingest.add_source("brevo", [TEXT_SECRET])

    answers = [
        await ingest.client.get(f"/v1/webhooks/{name}", params={"token": "x", "event": "click"})
        for name in ("brevo", "nobody")
    ]

    assert [(answer.status_code, answer.content) for answer in answers] == [(200, b""), (200, b"")]
