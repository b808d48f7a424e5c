"""Where a page ended, as text that callers hand back and need not understand."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from shared.errors import InvalidInput

Place = TypeVar("Place")


def cursor_of(place: object) -> str:
    """The cursor of a place."""
    return urlsafe_b64encode(TypeAdapter(type(place)).dump_json(place)).decode().rstrip("=")


def place_of(cursor: str | None, kind: type[Place]) -> Place | None:
    """The place of a cursor, None without one. Raises InvalidInput for what none of our answers held."""
    if cursor is None:
        return None
    try:
        body = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        return TypeAdapter(kind).validate_json(body)
    except (ValueError, ValidationError) as error:
        raise InvalidInput("the cursor is none that leadflow gave", code="bad_cursor", field="cursor") from error
