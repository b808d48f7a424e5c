"""Text and JSON from callers, held to what can be stored: no NUL, no lone surrogates, no endless nesting."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime
from pydantic_core import from_json

from shared.events.json import Json, JsonLimits, json_faults

_LIMITS = JsonLimits(items=2_000, keys=2_000)


def _storable_text(text: str) -> str:
    _check(text)
    return text


def _storable_json(document: dict[str, Json]) -> dict[str, Json]:
    _check(document)
    return document


def _check(value: Json) -> None:
    for path, reason in json_faults(value, _LIMITS):
        raise ValueError(f"{path}: {reason}" if path else reason)


def value_of(text: str) -> Json:
    """A value as it is typed into a query: a number, true, false or null where it reads as one, else text."""
    try:
        parsed: Json = from_json(text, allow_inf_nan=False)
    except ValueError:
        return text
    return text if isinstance(parsed, list | dict) else parsed


def _storable_moment(moment: datetime) -> datetime:
    if not 1970 <= moment.year <= 9000:
        raise ValueError("must be a moment of the years 1970 to 9000")
    return moment.astimezone(UTC)


Moment = Annotated[AwareDatetime, AfterValidator(_storable_moment)]
PlainText = Annotated[str, AfterValidator(_storable_text)]
JsonDocument = Annotated[dict[str, Json], AfterValidator(_storable_json)]
