"""From bytes to elements."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.ingest.api.decoding import decode, parse
from services.ingest.domain.plain import PlainItem, PlainReader, apart
from services.ingest.service import Element
from shared.errors import InvalidInput
from shared.events.json import JsonLimits

JSON = ("content-type", "application/json")
BATCH = ("content-type", "application/cloudevents-batch+json")
PLAIN = PlainReader(JsonLimits())
PLAIN_TEXT = b'{"id": "1", "type": "page_viewed", "lead": {"email": "ann@example.com"}}'
PARTS = st.sampled_from(
    [PLAIN_TEXT, b"{}", b"7", b'"a, ]"', b"[[1], {}]", b"NaN", b'{"a": "\xff"}', rb'"\ud800"', b"01", b"", b"]", b"{"]
)


def elements(body: bytes, *headers: tuple[str, str], limit: int = 3) -> list[Element]:
    return list(decode(headers or (JSON,), body, limit=limit).elements)


def codes(found: list[Element]) -> list[object]:
    return [element.code if isinstance(element, InvalidInput) else element for element in found]


def codes_or_refusal(body: bytes) -> list[object]:
    try:
        return codes(elements(body))
    except InvalidInput as error:
        return [error.code]


def test_one_object_is_one_element_and_an_array_its_items() -> None:
    assert elements(b" {} ") == [{}]
    assert elements(b"[1, 2]") == [1, 2]
    assert elements(b"[]") == []
    assert decode((JSON,), b"{}", limit=3).single
    assert not decode((JSON,), b"[{}]", limit=3).single


def test_an_element_that_cannot_be_parsed_fails_alone() -> None:
    assert codes(elements(b'[{"a": 1}, {"b": NaN}, 3]')) == [{"a": 1}, "not_json", 3]
    assert codes(elements(b'{"a": 1}\n{"b": \r\n\n3', ("content-type", "application/x-ndjson"))) == [
        {"a": 1},
        "not_json",
        3,
    ]


def test_the_field_in_which_parsing_failed_is_named() -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse(b'{"lead": {\n"email": "\\ud800"}}')

    assert refusal.value.field == "lead.email"


@pytest.mark.parametrize("body", [b"", b"   ", b"[", b"[1", b"[1,]", b"{} x", b"[1] [2]", b"[" * 10_000])
def test_what_does_not_hold_together_is_refused_or_fails_by_element(body: bytes) -> None:
    assert "not_json" in codes_or_refusal(body)


@given(parts=st.lists(PARTS, max_size=4), end=st.sampled_from([b"]", b" ]\n", b"", b"]]", b"] x"]))
@example(parts=[b"[" * 300 + b"]" * 300], end=b"]")
def test_whether_items_are_read_plainly_changes_nothing_about_any_of_them(parts: list[bytes], end: bytes) -> None:
    body = b"[" + b" , ".join(parts) + end

    plainly, exactly = told(body, PLAIN), told(body, None)

    assert len(plainly) == len(exactly)
    assert all(
        one == other or (one == "plain" and other == parse(PLAIN_TEXT))
        for one, other in zip(plainly, exactly, strict=True)
    )


def test_beside_an_item_that_is_not_plain_the_others_are_read_plainly() -> None:
    assert told(b"[" + b", ".join([PLAIN_TEXT, b"{}", PLAIN_TEXT]) + b"]", PLAIN) == ["plain", {}, "plain"]


def test_what_may_hold_far_too_many_is_not_taken_apart_before_it_is_counted() -> None:
    body = b"[" + b",".join([b"{}"] * 1_000) + b"]"

    assert apart(body, most=500) is not None
    assert apart(body, most=3) is None
    assert told(body, PLAIN) == told(body, None)


def told(body: bytes, plain: PlainReader | None) -> list[object]:
    try:
        found = decode((JSON,), body, limit=3, plain=plain).elements
    except InvalidInput as error:
        return [(str(error), error.code, error.field)]
    return [
        "plain"
        if isinstance(one, PlainItem)
        else (str(one), one.code, one.field)
        if isinstance(one, InvalidInput)
        else one
        for one in found
    ]


@pytest.mark.parametrize(
    ("body", "header"),
    [
        (b"[1,2,3,4]", JSON),
        (b"[1,2,3,NaN]", JSON),
        (b"[1,2,3,4]", BATCH),
        (b"1\n2\n3\n4", ("content-type", "application/x-ndjson")),
    ],
)
def test_more_than_the_limit_is_refused_as_a_whole(body: bytes, header: tuple[str, str]) -> None:
    with pytest.raises(InvalidInput) as refusal:
        elements(body, header)

    assert refusal.value.code == "too_many_items"


def test_a_cloudevent_in_headers_is_one_element() -> None:
    headers = [("ce-specversion", "1.0"), ("ce-id", "7"), JSON]

    batch = decode(headers, b'{"a": 1}', limit=3)

    assert batch.cloud_events
    assert list(batch.elements) == [{"specversion": "1.0", "id": "7", "data": {"a": 1}}]


def test_a_batch_of_cloudevents_must_be_an_array_but_may_be_empty() -> None:
    assert elements(b"[]", BATCH) == []
    with pytest.raises(InvalidInput):
        elements(b"{}", BATCH)


@pytest.mark.parametrize("media_type", ["text/plain", "application/xml", "application/x-www-form-urlencoded"])
def test_other_media_types_are_refused(media_type: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        elements(b"{}", ("content-type", media_type))

    assert refusal.value.code == "unsupported_media_type"
