"""POST /v1/events, from the request to the log."""

import json
from collections.abc import AsyncIterator

import pytest

from shared.events.engagement import identity_digest
from tests.support.ingesting import NOON, Ingesting, an_item, problem_of


async def test_one_event_is_on_the_log_when_it_is_accepted(ingest: Ingesting) -> None:
    answer = await ingest.client.post("/v1/events", json=an_item(lead={"email": " Ann <Ann@Example.COM> "}))

    assert answer.status_code == 202
    assert answer.json() == {
        "accepted": 1,
        "refused": 0,
        "items": [{"index": 0, "id": "e-1", "status": "accepted", "error": None}],
    }
    [event] = await ingest.published(1)
    assert (event.id, event.source, event.type) == ("e-1", "api", "page_viewed")
    assert event.lead.email == "ann@example.com"
    assert event.attributes == {"email_domain": "example.com"}
    assert event.received_at == NOON


async def test_the_record_is_a_cloudevent_keyed_by_a_digest_of_the_lead(ingest: Ingesting) -> None:
    await ingest.client.post("/v1/events", json=an_item())

    [record] = await ingest.records(1)
    message = json.loads(record.value)  # noqa: TID251
    trace = record.headers["traceparent"]
    assert record.headers == {
        "content-type": b"application/cloudevents+json",
        "workspace": b"default",
        "traceparent": trace,
    }
    assert (message["id"], message["source"], message["time"]) == ("e-1", "api", "2026-03-02T11:00:00Z")
    assert message["subject"].encode() == record.key
    assert b"ann" not in record.key
    [event] = await ingest.published(1)
    assert message["subject"] == identity_digest("default", event.lead)


async def test_a_bad_item_of_an_array_leaves_the_others_alone(ingest: Ingesting) -> None:
    items = [an_item(id="a"), an_item(id="b", lead={}), an_item(id="c", type="Not Snake")]

    answer = await ingest.client.post("/v1/events", json=items)

    assert answer.status_code == 202
    result = answer.json()
    assert (result["accepted"], result["refused"]) == (1, 2)
    assert [item["status"] for item in result["items"]] == ["accepted", "refused", "refused"]
    assert result["items"][1]["error"]["field"] == "lead"
    assert result["items"][2]["error"]["field"] == "type"
    assert [event.id for event in await ingest.published(1)] == ["a"]


async def test_when_no_item_is_accepted_the_status_says_so(ingest: Ingesting) -> None:
    answer = await ingest.client.post("/v1/events", json=[an_item(lead={}), an_item(type=7)])

    assert answer.status_code == 422
    assert answer.json()["refused"] == 2
    assert await ingest.published() == []


async def test_a_bad_line_never_fails_the_others(ingest: Ingesting) -> None:
    lines = [json.dumps(an_item(id="a")), '{"id": "b", ', "", json.dumps(an_item(id="c"))]

    answer = await ingest.client.post(
        "/v1/events", content="\n".join(lines), headers={"Content-Type": "application/x-ndjson"}
    )

    assert answer.status_code == 202
    assert [item["status"] for item in answer.json()["items"]] == ["accepted", "refused", "accepted"]
    assert answer.json()["items"][1]["error"]["code"] == "not_json"
    assert sorted(event.id for event in await ingest.published(2)) == ["a", "c"]


async def test_a_time_in_the_future_is_taken_as_the_time_of_receipt(ingest: Ingesting) -> None:
    await ingest.client.post("/v1/events", json=an_item(occurred_at="2026-03-03T00:00:00+01:00"))

    [event] = await ingest.published(1)
    assert event.occurred_at == NOON


async def test_a_thousand_events_are_taken_and_one_more_is_too_many(ingest: Ingesting) -> None:
    items = [an_item(id=str(number)) for number in range(1001)]

    too_many = await ingest.client.post("/v1/events", json=items)
    just_enough = await ingest.client.post("/v1/events", json=items[:1000])

    assert too_many.status_code == 413
    assert problem_of(too_many)["code"] == "too_many_items"
    assert just_enough.json()["accepted"] == 1000
    assert len(await ingest.published(1000)) == 1000


async def test_a_body_of_six_mebibytes_is_too_large_even_without_a_length(ingest: Ingesting) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(6 * 16):
            yield b" " * 65536

    announced = await ingest.client.post("/v1/events", content=b" " * 6 * 1024 * 1024)
    chunked = await ingest.client.post("/v1/events", content=chunks())

    assert (announced.status_code, chunked.status_code) == (413, 413)


BAD_VALUES = {
    "a NUL character": (b'{"id":"e","type":"x","lead":{"email":"a@b.de"},"properties":{"p":"\\u0000"}}', 422),
    "a number that is not finite": (b'{"id":"e","type":"x","lead":{"email":"a@b.de"},"properties":{"p":1e400}}', 422),
    "an integer of 30 digits": (
        b'{"id":"e","type":"x","lead":{"email":"a@b.de"},"properties":{"p":' + b"9" * 30 + b"}}",
        422,
    ),
    "a lone surrogate": (b'{"id":"e","type":"x","lead":{"email":"a@b.de"},"properties":{"p":"\\ud800"}}', 400),
    "NaN": (b'{"id":"e","type":"x","lead":{"email":"a@b.de"},"properties":{"p":NaN}}', 400),
    "bytes that are not UTF-8": (b'{"id":"e","type":"x","lead":{"email":"a@b.de"},"properties":{"p":"\xff"}}', 400),
    "nesting 10,000 deep": (
        b'{"id":"e","type":"x","lead":{"email":"a@b.de"},"properties":{"p":' + b"[" * 10000 + b"]" * 10000 + b"}}",
        400,
    ),
    "nesting 40 deep": (
        b'{"id":"e","type":"x","lead":{"email":"a@b.de"},"properties":{"p":' + b"[" * 40 + b"]" * 40 + b"}}",
        422,
    ),
}


@pytest.mark.parametrize(("body", "status"), BAD_VALUES.values(), ids=BAD_VALUES.keys())
async def test_what_could_not_be_stored_is_refused_naming_the_field(
    ingest: Ingesting, body: bytes, status: int
) -> None:
    answer = await ingest.client.post("/v1/events", content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == status
    error = answer.json() if status == 400 else answer.json()["items"][0]["error"]
    assert str(error["field"]).startswith("properties.p")
    assert await ingest.published() == []


@pytest.mark.parametrize(("body", "status"), BAD_VALUES.values(), ids=BAD_VALUES.keys())
async def test_in_an_array_it_is_refused_naming_item_and_field_and_its_neighbour_is_taken(
    ingest: Ingesting, body: bytes, status: int
) -> None:
    good = json.dumps(an_item(id="good")).encode()

    answer = await ingest.client.post(
        "/v1/events", content=b"[" + good + b", " + body + b"]", headers={"Content-Type": "application/json"}
    )

    assert answer.status_code == 202
    second = answer.json()["items"][1]
    assert (second["index"], second["status"]) == (1, "refused")
    assert second["error"]["field"].startswith("properties.p")
    assert [event.id for event in await ingest.published(1)] == ["good"]


UNREADABLE = {
    "nothing": b"",
    "half an object": b'{"id": "a"',
    "half an array": b'[{"id": "a"}',
    "a text": b'"hello"',
    "two objects": b"{} {}",
    "a comma too many": b"[{},]",
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_a_body_that_is_no_json_document_of_items_is_refused(ingest: Ingesting, body: bytes) -> None:
    answer = await ingest.client.post("/v1/events", content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code in {400, 422}
    assert await ingest.published() == []


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
        ({"Content-Type": "application/json; charset=utf-16"}, 415, "unsupported_media_type"),
        ({"Content-Type": "application/json", "Content-Encoding": "zstd"}, 415, "unsupported_encoding"),
    ],
)
async def test_forms_that_are_not_understood_are_refused(
    ingest: Ingesting, headers: dict[str, str], status: int, code: str
) -> None:
    answer = await ingest.client.post("/v1/events", content=b"{}", headers=headers)

    assert answer.status_code == status
    assert problem_of(answer)["code"] == code


async def test_an_event_larger_than_the_log_takes_is_refused_alone(ingest: Ingesting) -> None:
    huge = {f"k{number}": "x" * 8000 for number in range(100)}

    answer = await ingest.client.post("/v1/events", json=[an_item(id="huge", properties=huge), an_item(id="b")])

    assert [item["status"] for item in answer.json()["items"]] == ["refused", "accepted"]
    assert answer.json()["items"][0]["error"]["code"] == "event_too_large"


async def test_cloudevents_come_structured_batched_and_in_headers(ingest: Ingesting) -> None:
    event = {
        "specversion": "1.0",
        "id": "c-1",
        "source": "/webinars",
        "type": "webinar_attended",
        "time": "2026-03-02T10:00:00Z",
        "data": {"lead": {"email": "ann@example.com"}, "properties": {"webinar_id": "w"}},
    }
    headers = {
        "ce-specversion": "1.0",
        "ce-id": "c-3",
        "ce-source": "/webinars",
        "ce-type": "webinar_attended",
        "ce-subject": "J%C3%BCrgen@example.com",
        "Content-Type": "application/json",
    }

    structured = await ingest.client.post(
        "/v1/events", content=json.dumps(event), headers={"Content-Type": "application/cloudevents+json"}
    )
    batched = await ingest.client.post(
        "/v1/events",
        content=json.dumps([event | {"id": "c-2"}]),
        headers={"Content-Type": "application/cloudevents-batch+json"},
    )
    binary = await ingest.client.post("/v1/events", content=b'{"webinar_id": "w"}', headers=headers)

    assert [answer.status_code for answer in (structured, batched, binary)] == [202, 202, 202]
    events = sorted(await ingest.published(3), key=lambda event: event.id)
    assert [event.id for event in events] == ["c-1", "c-2", "c-3"]
    assert {event.source for event in events} == {"/webinars"}
    told, not_told = {"webinar_id": "w"}, {"webinar_id": "w", "occurred_at_assumed": True}
    assert [event.properties for event in events] == [told, told, not_told]
    assert events[2].lead.email == "jürgen@example.com"
    assert events[2].occurred_at == NOON


async def test_a_cloudevent_type_is_mapped_by_the_source_of_its_name(ingest: Ingesting) -> None:
    await ingest.add_source(
        "typeform", ["irrelevant"], id="mailer", event_names={"com.mailer.click": "email_clicked"}
    )
    event = {"specversion": "1.0", "source": "mailer", "data": {"email": "a@example.com"}}

    answer = await ingest.client.post(
        "/v1/events",
        content=json.dumps(
            [event | {"id": "1", "type": "com.mailer.click"}, event | {"id": "2", "type": "com.other"}]
        ),
        headers={"Content-Type": "application/cloudevents-batch+json"},
    )

    assert [item["status"] for item in answer.json()["items"]] == ["accepted", "refused"]
    assert answer.json()["items"][1]["error"]["code"] == "unknown_type"
    [event_published] = await ingest.published(1)
    assert (event_published.type, event_published.native_type) == ("email_clicked", "com.mailer.click")
