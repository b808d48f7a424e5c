"""Limits: which occurrences of a rule count in a calendar period (UTC)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from json.encoder import encode_basestring
from typing import Literal, NamedTuple, TypeAlias, assert_never

from services.scorer.domain.states.state import LimitKey, Occurrence, PeriodKey
from shared.documents.conditions import Found, Missing
from shared.documents.durations import DAY_US, HOUR_US
from shared.events.curve import moment

Per: TypeAlias = Literal["hour", "day", "week", "month", "ever"]

# 1970 began on a Thursday: three days into an ISO week.
_DAYS_INTO_WEEK = 3

_LONGEST_TEXT = 63


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` occurrences per calendar period, for each value of the field `by` if there is one."""

    count: int
    per: Per
    by: tuple[str, ...] | None


class Split(NamedTuple):
    """Occurrences that count, and those that the limit withholds."""

    counted: tuple[Occurrence, ...]
    withheld: tuple[Occurrence, ...]


def period_of(per: Per, at_us: int) -> int:
    """A number for the calendar period that holds `at_us`; later periods have greater ones."""
    match per:
        case "hour":
            return at_us // HOUR_US
        case "day":
            return at_us // DAY_US
        case "week":
            return (at_us // DAY_US + _DAYS_INTO_WEEK) // 7
        case "month":
            at = moment(at_us)
            return at.year * 12 + at.month
        case "ever":
            return 0
        case _:
            assert_never(per)


def split(
    occurrences: tuple[Occurrence, ...], limit: Limit, *, key: LimitKey, already: Mapping[PeriodKey, int]
) -> Split:
    """`occurrences`, sorted, as the limit splits them; `already` counts earlier ones that are folded away."""
    # So few are within the limit even if they share a period, as most are.
    if not already and len(occurrences) <= limit.count:
        return Split(occurrences, ())
    counted: list[Occurrence] = []
    withheld: list[Occurrence] = []
    numbers: dict[int, int] = {}
    for occurrence in occurrences:
        period = period_of(limit.per, occurrence.at_us)
        if period not in numbers:
            numbers[period] = already.get(PeriodKey(key, period), 0) if already else 0
        numbers[period] = number = numbers[period] + 1
        (counted if number <= limit.count else withheld).append(occurrence)
    return Split(tuple(counted), tuple(withheld))


def canonical(value: Found) -> str:
    """One short text for all equal values, different for different ones: 1 and 1.0 are one, 1 and true are not.

    A missing value is the empty text. Long values are told apart by their digest, so that state stays small.
    """
    if isinstance(value, str):
        text = encode_basestring(value)
    elif type(value) is int:
        text = repr(value)
    elif isinstance(value, Missing):
        return ""
    else:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return text if len(text) <= _LONGEST_TEXT else sha256(text.encode()).hexdigest()
