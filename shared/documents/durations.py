"""Durations as documents write them: an integer and one of `s m h d w`."""

import re
from typing import Final

from shared.events.json import Json

SECOND_US: Final = 1_000_000
HOUR_US: Final = 3_600 * SECOND_US
DAY_US: Final = 24 * HOUR_US
WEEK_US: Final = 7 * DAY_US

NONE: Final = "none"

_UNITS: Final = {"s": SECOND_US, "m": 60 * SECOND_US, "h": HOUR_US, "d": DAY_US, "w": WEEK_US}
_FORM: Final = re.compile(r"([1-9][0-9]{0,8})([smhdw])", re.ASCII)
_LONGEST_US: Final = 36_525 * DAY_US


def duration_us(text: Json) -> int:
    """Microseconds of `14d`. Raises ValueError, in words for its author, for anything else."""
    form = _FORM.fullmatch(text) if isinstance(text, str) else None
    if form is None:
        raise ValueError("must be a duration: a whole number above zero and one of s, m, h, d, w")
    length = int(form[1]) * _UNITS[form[2]]
    if length > _LONGEST_US:
        raise ValueError("must be at most a hundred years")
    return length


def whole_days(text: Json) -> int:
    """Days of `90d` or `4w`. Raises ValueError for other units: expiry is by whole days."""
    if not isinstance(text, str) or not text.endswith(("d", "w")):
        raise ValueError("must be a duration in whole days or weeks: 90d, 4w")
    return duration_us(text) // DAY_US


def expiry_us(at_us: int, days: int) -> int:
    """Start of the UTC day that comes `days` days after the end of the UTC day of `at_us`."""
    return (at_us // DAY_US + 1 + days) * DAY_US
