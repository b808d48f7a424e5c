"""CloudEvents as webhooks: three modes, one event."""

from dataclasses import replace

import pytest

from services.ingest.kinds import cloudevents
from services.ingest.kinds.kind import Delivery, NotVerified, Translated
from shared.errors import InvalidInput
from shared.events.json import Json, parse_json
from tests.support.deliveries import NOON, a_delivery, a_source
from tests.support.translations import Meaning, Payload, draft_of, meaning_of

EVENT: Payload = {
    "specversion": "1.0",
    "id": "1",
    "source": "/webinars",
    "type": "com.example.attended",
    "time": "2026-03-02T12:00:00Z",
    "data": {"email": "ann@example.com", "webinar": "w"},
}
NAMES = {"com.example.attended": "webinar_attended"}
BINARY = {
    "ce-specversion": "1.0",
    "ce-id": "1",
    "ce-source": "/webinars",
    "ce-type": "com.example.attended",
    "ce-time": "2026-03-02T12:00:00Z",
    "content-type": "application/json",
}
DATA = b'{"email":"ann@example.com","webinar":"w"}'


def sent(headers: dict[str, str], body: bytes) -> Delivery:
    return replace(a_delivery(), headers=headers, body=body)


@pytest.mark.parametrize(
    ("change", "meaning"),
    [
        ({}, ("accepted", "webinar_attended")),
        ({"type": "page_viewed"}, ("accepted", "page_viewed")),
        ({"type": "com.example.other"}, ("parked", "unknown_type")),
        ({"type": "com.example.other", "data_base64": "AAEC", "data": None}, ("parked", "unknown_type")),
    ],
)
def test_cloudevents(change: Payload, meaning: Meaning) -> None:
    assert meaning_of("cloudevents", EVENT | change, NAMES) == meaning


def test_the_binary_mode_says_the_same_as_the_structured_one() -> None:
    source = a_source("cloudevents", event_names=NAMES)

    binary = cloudevents.read_body(sent(BINARY, DATA))

    assert binary == EVENT
    assert draft_of("cloudevents", EVENT, source).occurred_at == NOON


def test_headers_are_percent_decoded_once() -> None:
    read = cloudevents.read_body(sent({**BINARY, "ce-subject": "Euro%20%E2%82%AC%2520"}, DATA))

    assert isinstance(read, dict)
    assert read["subject"] == "Euro €%20"


def test_an_event_is_known_by_source_and_id_together() -> None:
    def id_of(source: str, own: str) -> str:
        return draft_of("cloudevents", EVENT | {"source": source, "id": own, "type": "x"}).id

    assert id_of("/a", "1") == "/a#1"
    assert len({id_of("/a", "1"), id_of("/b", "1"), id_of("/a", "2"), id_of("/a#1", "1"), id_of("/a", "1#1")}) == 5
    assert len(id_of("/a" * 400, "1")) <= 512


@pytest.mark.parametrize(
    "media_type",
    [
        "application/cloudevents+json",
        "application/cloudevents+json; charset=utf-8",
        "application/cloudevents-batch+json",
        "application/json",
        "",
    ],
)
def test_structured_and_batched_bodies_are_left_to_be_taken_apart(media_type: str) -> None:
    assert cloudevents.read_body(sent({"content-type": media_type}, b"[]")) == b"[]"
    assert list(cloudevents.elements(parse_json(b"[]"))) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/cloudevents+xml"},
        {"content-type": "application/cloudevents+json; charset=utf-16"},
        {"content-type": "text/plain"},
        BINARY | {"content-type": "image/png"},
    ],
)
def test_other_formats_are_unsupported(headers: dict[str, str]) -> None:
    with pytest.raises(InvalidInput) as refusal:
        cloudevents.read_body(sent(headers, b"x"))

    assert refusal.value.code == "unsupported_media_type"


@pytest.mark.parametrize(
    "change", [{"specversion": "0.3"}, {"id": ""}, {"source": None}, {"time": "soon"}, {"data": [1]}]
)
def test_what_is_no_cloudevent_is_refused(change: Payload) -> None:
    with pytest.raises(InvalidInput):
        draft_of("cloudevents", EVENT | change, a_source("cloudevents", event_names=NAMES))


@pytest.mark.parametrize(
    ("change", "properties"),
    [
        ({"datacontenttype": "application/json", "data_base64": "eyJhIjoxfQ=="}, {"a": 1}),
        ({"datacontenttype": "application/json", "data_base64": "AAEC"}, None),
        ({"data_base64": "eyJhIjoxfQ=="}, None),
        ({"datacontenttype": "image/png", "data_base64": "AAEC"}, None),
    ],
)
def test_bytes_are_data_where_they_say_that_they_are_json(change: Payload, properties: Json) -> None:
    event = {name: value for name, value in EVENT.items() if name != "data"} | {"type": "x"} | change

    if properties is None:
        with pytest.raises(InvalidInput):
            draft_of("cloudevents", event)
    else:
        assert draft_of("cloudevents", event).properties == properties


@pytest.mark.parametrize(
    ("headers", "query", "taken"),
    [
        ({"authorization": "Bearer a secret"}, "", True),
        ({}, "access_token=a%20secret", True),
        ({"authorization": "Bearer another"}, "", False),
        ({}, "access_token=", False),
        ({}, "", False),
    ],
)
def test_the_token_comes_in_the_header_or_in_the_url(headers: dict[str, str], query: str, taken: bool) -> None:
    delivery = replace(a_delivery(), headers=headers, query=query)

    if taken:
        cloudevents.verify(delivery, a_source("cloudevents", "a secret"))
    else:
        with pytest.raises(NotVerified):
            cloudevents.verify(delivery, a_source("cloudevents", "a secret"))


def test_a_subject_that_is_an_address_tells_whose_it_is() -> None:
    bare = {**EVENT, "data": None, "subject": "ann@example.com", "type": "x"}

    found = cloudevents.translate(bare, a_delivery(), a_source("cloudevents"))

    assert isinstance(found, Translated)
    assert found.draft.lead.email == "ann@example.com"
