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
# What nearly everybody sends, and Python reads by itself: known by its form once each digit is a zero.
_USUAL_FORMS = frozenset(
    f"0000-00-00T00:00:00{fraction}{zone}".encode()
    for fraction in ("", ".000", ".000000")
    for zone in ("Z", "+00:00", "-00:00")
)
_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"\d{1,17}(\.\d{1,9})?", re.ASCII)
_PER_SECOND = {"s": 1, "ms": 1000}

EpochUnit = Literal["s", "ms"]


def parse_time(text: str, field: str | None = None) -> datetime:
    """An RFC 3339 moment with its zone. Raises InvalidInput that names `field`, saying what is missing."""
    try:
        if text.encode().translate(_ZEROS) in _USUAL_FORMS and (moment := datetime.fromisoformat(text)) >= _EPOCH:
            return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    except (OverflowError, ValueError):
        return _parse_odd_time(text, field)
    return _parse_odd_time(text, field)


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


def _parse_odd_time(text: str, field: str | None) -> datetime:
    match = _FORM.fullmatch(text)
    if match is None or (match["zone"] or "").upper() == "UTC" or " " in text:
        raise InvalidInput("must be a time like 2026-01-31T09:30:00Z", code="invalid_time", field=field)
    if match["zone"] is None:
        raise InvalidInput("must name its zone: 2026-01-31T09:30:00Z or +01:00", code="invalid_time", field=field)
    moment = _moment(match, UTC)
    if moment is None:
        raise InvalidInput("is not a moment since 1970 that exists", code="invalid_time", field=field)
    return moment


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
