"""CloudEvents 1.0 by the HTTP Webhook specification: structured, batched and binary, behind a bearer token.

An event is known by its `source` and `id` together, whichever way it comes. Types are mapped by the source's
event_names, or taken as they are where they have the form of an engagement type.
"""

import re
from collections.abc import Mapping

from msgspec.structs import replace

from services.ingest.domain.cloud_events import cloud_event_draft, from_headers, is_json_content
from services.ingest.kinds import tokens
from services.ingest.kinds.kind import Delivery, Element, Parked, Source, Translated
from services.ingest.kinds.reading import derived_id, objects_of, text
from shared.errors import InvalidInput
from shared.events.json import Json, parse_json

NAME = "cloudevents"
NEEDS_PUBLIC_URL = False

_BINARY_MARK = "ce-specversion"
_JSON = "application/json"
_STRUCTURED = frozenset({"application/cloudevents+json", "application/cloudevents-batch+json", _JSON, ""})
_CHARSET = re.compile(r"""charset\s*=\s*["']?([^"';\s]+)""", re.IGNORECASE)
_UTF_8 = frozenset({"utf-8", "utf8", "us-ascii"})
_LONGEST_ID = 512

check_secret = tokens.check_secret
verify = tokens.verify
elements = objects_of


def read_body(delivery: Delivery) -> Json | bytes:
    content_type = delivery.headers.get("content-type", "")
    charset = _CHARSET.search(content_type)
    if charset is not None and charset[1].lower() not in _UTF_8:
        raise _unsupported("the charset must be UTF-8")
    if _BINARY_MARK in delivery.headers:
        return _binary(delivery, content_type or _JSON)
    if content_type.partition(";")[0].strip().lower() not in _STRUCTURED:
        raise _unsupported("this is no CloudEvent in JSON, and has no ce- headers")
    return delivery.body


def translate(element: Mapping[str, Json], delivery: Delivery, source: Source) -> Element:  # noqa: ARG001
    element_id = _id(element)
    try:
        draft, _ = cloud_event_draft(dict(element), {text(element, "source") or "": source.event_names})
    except InvalidInput as error:
        if error.code != "unknown_type":
            raise
        name = (text(element, "type") or "")[:80]
        return Parked(error.code, f"map the type {name!r} in the source's event_names", element_id)
    return Translated(replace(draft, id=element_id))


def _binary(delivery: Delivery, content_type: str) -> Json:
    """An event whose attributes are headers and whose body is its data."""
    if delivery.body and not is_json_content(content_type):
        raise _unsupported("the data of a CloudEvent must be JSON")
    data = parse_json(delivery.body) if delivery.body else None
    return from_headers(delivery.headers.items(), data)


def _id(element: Mapping[str, Json]) -> str:
    """`source#id`, of which no two can be spelt alike: the last # parts them."""
    source, own = text(element, "source") or "", text(element, "id") or ""
    told = f"{source}#{own}"
    return told if "#" not in own and len(told) <= _LONGEST_ID else derived_id("cloudevents", source, own)


def _unsupported(message: str) -> InvalidInput:
    return InvalidInput(message, code="unsupported_media_type", field="Content-Type")
