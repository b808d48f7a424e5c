"""Moments as APIs and marketing platforms write them, read as aware UTC."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Literal

from shared.errors import InvalidInput
from shared.events.json import Json

_FORM = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)[Tt ](?P<time>\d\d:\d\d(:\d\d)?)(\.(?P<fraction>\d{1,12}))?"
    r"\s?(?P<zone>[Zz]|UTC|[+-]\d\d:?\d\d)?",
    re.ASCII,
)
# What nearly everybody sends, and Python reads by itself.
_USUAL_FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.(?:\d{3}|\d{6}))?(?:Z|[+-]\d\d:[0-5]\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"\d{1,17}(\.\d{1,9})?", re.ASCII)
_PER_SECOND = {"s": 1, "ms": 1000}

EpochUnit = Literal["s", "ms"]


def parse_time(text: str) -> datetime:
    """An RFC 3339 moment with its zone. Raises InvalidInput, saying what is missing."""
    if _USUAL_FORM.fullmatch(text) and (usual := _from_usual(text)) is not None:
        return usual
    match = _FORM.fullmatch(text)
    if match is None or (match["zone"] or "").upper() == "UTC" or " " in text:
        raise InvalidInput("must be a time like 2026-01-31T09:30:00Z", code="invalid_time")
    if match["zone"] is None:
        raise InvalidInput("must name its zone: 2026-01-31T09:30:00Z or +01:00", code="invalid_time")
    moment = _moment(match, UTC)
    if moment is None:
        raise InvalidInput("is not a moment since 1970 that exists", code="invalid_time")
    return moment


def platform_time(value: Json, *, unit: EpochUnit = "s", zone: tzinfo = UTC) -> datetime | None:
    """A platform's moment: epoch as number or digits, or ISO 8601; `zone` where it names none.

    None for what cannot be read: the time of receipt then stands in, because platforms do not mend it.
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return _from_epoch(value, unit)
    if not isinstance(value, str):
        return None
    if _NUMBER.fullmatch(value):
        return _from_epoch(float(value) if "." in value else int(value), unit)
    match = _FORM.fullmatch(value.strip())
    return _moment(match, zone) if match else None


def _from_usual(text: str) -> datetime | None:
    """None for a moment that does not exist, or lies before 1970."""
    try:
        moment = datetime.fromisoformat(text)
        utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    except (OverflowError, ValueError):
        return None
    return utc if utc >= _EPOCH else None


def _from_epoch(value: float, unit: EpochUnit) -> datetime | None:
    try:
        moment = _EPOCH + timedelta(microseconds=round(value * 1_000_000 / _PER_SECOND[unit]))
    except (OverflowError, ValueError):
        return None
    return moment if moment >= _EPOCH else None


def _moment(match: re.Match[str], zone: tzinfo) -> datetime | None:
    microseconds = (match["fraction"] or "")[:6].ljust(6, "0")
    try:
        local = datetime.fromisoformat(f"{match['date']}T{match['time']}").replace(
            microsecond=int(microseconds), tzinfo=_zone(match["zone"], zone)
        )
        moment = local.astimezone(UTC)
    except (OverflowError, ValueError):
        return None
    return moment if moment >= _EPOCH else None


def _zone(text: str | None, default: tzinfo) -> tzinfo:
    if text is None:
        return default
    if text.upper() in {"Z", "UTC"}:
        return UTC
    digits = text.replace(":", "")
    minutes = int(digits[1:3]) * 60 + int(digits[3:5])
    return timezone(timedelta(minutes=-minutes if digits[0] == "-" else minutes))
