"""The bytes of single elements, found in the request that they came in."""

import json
from collections.abc import Iterable, Mapping, Sequence

from services.ingest.domain.json_text import split_array
from services.ingest.domain.plain import PlainItem
from shared.errors import InvalidInput
from shared.events.json import Json, parse_json


def raw_elements(
    elements: Sequence[Json | InvalidInput | PlainItem], body: bytes, wanted: Iterable[int]
) -> Mapping[int, bytes]:
    """By place, the bytes of the `wanted` elements: as they lie in `body`, or written anew where they are
    not in it as such (fields of a form, say). An element that could not be parsed is an error here.
    """
    parts = _parts(body, len(elements))
    return {place: _bytes_of(elements[place], parts[place] if parts else None, body) for place in wanted}


def _parts(body: bytes, count: int) -> Sequence[bytes] | None:
    """The texts of `count` elements in a body that is an array, one value, or a line each."""
    text = body.strip()
    if text.startswith(b"["):
        found = split_array(text, most=count)
    elif count == 1:
        found = [body]
    else:
        found = [line for line in body.split(b"\n") if line.strip(b" \t\r")]
    return found if found is not None and len(found) == count else None


def _bytes_of(element: Json | InvalidInput | PlainItem, part: bytes | None, body: bytes) -> bytes:
    # A plain item was read from the body, and so lies in it.
    if isinstance(element, InvalidInput | PlainItem):
        return body if part is None else part
    if part is not None and _says(part, element):
        return part
    return json.dumps(element).encode()


def _says(part: bytes, element: Json) -> bool:
    try:
        return parse_json(part) == element
    except InvalidInput:
        return False
