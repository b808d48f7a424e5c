"""When a row happened: a column and the form in which it writes time. Pure."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Final

from services.ingest.domain.times import platform_time
from services.ingest.importing.values import Row, Value
from shared.errors import InvalidInput

ISO: Final = "iso"
EPOCHS: Final = {"epoch_s": "s", "epoch_ms": "ms"}

_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_ISO_START: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]", re.ASCII)
_EPOCH_NUMBER: Final = re.compile(r"\d{1,17}(\.\d{1,9})?", re.ASCII)
_BEGIN: Final = datetime(1970, 1, 1, tzinfo=UTC)
# Every part differs from what strptime assumes when a pattern does not name it.
_SAMPLE: Final = datetime(2003, 11, 28, 17, 42, 31, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Moment:
    """A time that a row tells. `form` is iso, epoch_s, epoch_ms or a pattern of strptime.

    `zone` holds where the text names none. A local time that the clocks skipped or showed twice is read with
    the offset before the change.
    """

    value: Value
    form: str
    zone: tzinfo

    def of(self, row: Row, now: datetime) -> datetime:
        """The moment in UTC. Raises InvalidInput for none, one that cannot be read, and one after `now`."""
        text = self.value.text_of(row)
        if text is None:
            raise self._fault("is missing: history needs its time", "missing")
        moment = parse_moment(text, self.form, self.zone)
        if moment is None:
            raise self._fault(f"is no time since 1970 of the form {self.form}", "invalid_time")
        if moment > now:
            raise self._fault("lies in the future", "invalid_time")
        return moment

    def _fault(self, reason: str, code: str) -> InvalidInput:
        place = "the fixed time" if self.value.column is None else f"column {self.value.column}"
        return InvalidInput(f"{place}: {reason}", code=code, field="occurred_at")


def parse_moment(text: str, form: str, zone: tzinfo) -> datetime | None:
    """The moment that `text` writes in `form`, in UTC; None when it cannot be read or is before 1970."""
    if form in EPOCHS:
        return _epoch(text, form)
    if form == ISO:
        return _iso(text, zone)
    try:
        moment = datetime.strptime(text, form)  # noqa: DTZ007 - the zone comes next
        aware = moment if moment.tzinfo else moment.replace(tzinfo=zone)
        moment = aware.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment if moment >= _BEGIN else None


def form_fault(form: str) -> str | None:
    """What is wrong with a time form; None for a good one."""
    if form == ISO or form in EPOCHS:
        return None
    if "%" not in form:
        return f"must be {ISO}, {', '.join(EPOCHS)} or a pattern such as %d.%m.%Y %H:%M"
    try:
        read = datetime.strptime(_SAMPLE.strftime(form), form)  # noqa: DTZ007 - only its date is looked at
    except (ValueError, re.error):
        return "is a pattern that cannot be read back"
    if (read.year, read.month, read.day) != (_SAMPLE.year, _SAMPLE.month, _SAMPLE.day):
        return "must name year, month and day"
    return None


def _epoch(text: str, form: str) -> datetime | None:
    if _EPOCH_NUMBER.fullmatch(text) is None:
        return None
    return platform_time(text, unit="s" if form == "epoch_s" else "ms")


def _iso(text: str, zone: tzinfo) -> datetime | None:
    if _DATE.fullmatch(text):
        return platform_time(f"{text}T00:00:00", zone=zone)
    return platform_time(text, zone=zone) if _ISO_START.match(text) else None
