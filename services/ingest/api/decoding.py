"""From a request's bytes to elements, each a JSON value or the error by which it is none.

One element that cannot be parsed fails alone wherever the text around it holds together.
"""

import re
from collections.abc import Iterable, Sequence

from msgspec import Struct

from services.ingest.domain.cloud_events import from_headers, is_json_content
from services.ingest.domain.json_text import offset_of, path_at, split_array
from services.ingest.domain.plain import PlainReader, apart
from services.ingest.service import Element
from shared.errors import InvalidInput
from shared.events.json import Json, parse_json

JSON = "application/json"
NDJSON = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})
CLOUD_EVENT = "application/cloudevents+json"
CLOUD_EVENTS_BATCH = "application/cloudevents-batch+json"
_BINARY_MARK = "ce-specversion"
_CHARSET = re.compile(r"""charset\s*=\s*["']?([^"';\s]+)""", re.IGNORECASE)


class Batch(Struct, frozen=True, gc=False):
    """The elements of a request; `single` when it was one object, not a list of them."""

    elements: Sequence[Element]
    cloud_events: bool
    single: bool


def decode(headers: Sequence[tuple[str, str]], body: bytes, *, limit: int, plain: PlainReader | None = None) -> Batch:
    """The elements in `body`; header names in lower case, in their order. `plain` reads what is as most write it.

    Raises InvalidInput: unsupported_media_type, not_json (with the field where possible), too_many_items.
    """
    content_type = _content_type(headers)
    if any(name == _BINARY_MARK for name, _ in headers):
        return Batch([_binary(headers, content_type, body)], cloud_events=True, single=True)
    if content_type in NDJSON:
        return Batch(_lines(body, limit, plain), cloud_events=False, single=False)
    if content_type == CLOUD_EVENTS_BATCH:
        return _array(body, limit, cloud_events=True)
    if content_type == CLOUD_EVENT:
        return Batch([parse(body)], cloud_events=True, single=True)
    if content_type in {JSON, ""}:
        return _items(body, limit, plain)
    raise InvalidInput(
        f"the Content-Type must be {JSON}, application/x-ndjson, {CLOUD_EVENT} or {CLOUD_EVENTS_BATCH}",
        code="unsupported_media_type",
        field="Content-Type",
    )


def parse(text: bytes) -> Json:
    """The JSON value of `text`. Raises InvalidInput(not_json) that names the field in which parsing failed."""
    try:
        return parse_json(text)
    except InvalidInput as error:
        offset = offset_of(str(error), text)
        field = path_at(text, offset) if offset is not None else None
        raise InvalidInput(str(error), code=error.code, field=field) from error


def parse_elements(text: bytes, *, limit: int) -> list[Element]:
    """The elements of an array. Raises InvalidInput when it is none, or when its brackets do not add up."""
    try:
        whole = parse(text)
    except InvalidInput as error:
        parts = split_array(text, most=limit)
        if parts is None:
            raise
        _check_count(len(parts), limit)
        elements = [_parsed(part) for part in parts]
        if not any(isinstance(element, InvalidInput) for element in elements):
            raise InvalidInput(str(error), code="not_json", field=error.field) from error
        return elements
    if not isinstance(whole, list):
        raise InvalidInput("must be a JSON array", code="not_json")
    _check_count(len(whole), limit)
    return list(whole)


def _items(body: bytes, limit: int, plain: PlainReader | None) -> Batch:
    if not body.lstrip(b" \t\r\n").startswith(b"["):
        return Batch([_item(body, plain)], cloud_events=False, single=True)
    if plain is None:
        return _array(body, limit, cloud_events=False)
    read = plain.many(body)
    if read is not None:
        _check_count(len(read), limit)
        return Batch(read, cloud_events=False, single=False)
    parts = apart(body, most=limit)
    if parts is None:
        return _array(body, limit, cloud_events=False)
    _check_count(len(parts), limit)
    return Batch([_parsed(part, plain) for part in parts], cloud_events=False, single=False)


def _item(text: bytes, plain: PlainReader | None) -> Element:
    read = None if plain is None else plain.one(text)
    return parse(text) if read is None else read


def _array(body: bytes, limit: int, *, cloud_events: bool) -> Batch:
    return Batch(parse_elements(body, limit=limit), cloud_events=cloud_events, single=False)


def _lines(body: bytes, limit: int, plain: PlainReader | None) -> list[Element]:
    lines = [line for line in body.split(b"\n") if line.strip(b" \t\r")]
    if not lines:
        raise InvalidInput("the body is empty", code="not_json")
    _check_count(len(lines), limit)
    return [_parsed(line, plain) for line in lines]


def _parsed(text: bytes, plain: PlainReader | None = None) -> Element:
    try:
        return _item(text, plain)
    except InvalidInput as error:
        return error


def _binary(headers: Iterable[tuple[str, str]], content_type: str, body: bytes) -> Element:
    """A CloudEvent whose attributes are headers and whose body is its data."""
    if body and not is_json_content(content_type or JSON):
        raise InvalidInput(
            "the data of a CloudEvent must be JSON", code="unsupported_media_type", field="Content-Type"
        )
    return dict(from_headers(headers, parse(body) if body else None))


def _content_type(headers: Sequence[tuple[str, str]]) -> str:
    value = next((value for name, value in headers if name == "content-type"), "")
    charset = _CHARSET.search(value)
    if charset is not None and charset[1].lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise InvalidInput("the charset must be UTF-8", code="unsupported_media_type", field="Content-Type")
    return value.partition(";")[0].strip().lower()


def _check_count(count: int, limit: int) -> None:
    if count > limit:
        raise InvalidInput(f"{count} items in one request; at most {limit} are taken", code="too_many_items")
