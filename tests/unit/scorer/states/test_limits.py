"""Limits: calendar periods in UTC, and which occurrences take their places."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scorer.domain.states.limits import Limit, Per, canonical, period_of, split
from services.scorer.domain.states.state import LimitKey, Occurrence, PeriodKey
from shared.documents.conditions import MISSING, Found
from shared.events.curve import microseconds
from tests.support.builders import at

KEY = LimitKey("engagement", "rule", "")


def occurrences(*moments: str) -> tuple[Occurrence, ...]:
    return tuple(Occurrence(microseconds(at(each)), each, "web", "x") for each in moments)


@pytest.mark.parametrize(
    ("per", "last", "next_first"),
    [
        ("hour", "2026-03-02T10:59:59.999999", "2026-03-02T11:00"),
        ("day", "2026-03-02T23:59:59.999999", "2026-03-03T00:00"),
        ("week", "2027-01-03T23:59:59.999999", "2027-01-04T00:00"),
        ("month", "2026-12-31T23:59:59.999999", "2027-01-01T00:00"),
    ],
)
def test_a_period_ends_where_the_calendar_says(per: Per, last: str, next_first: str) -> None:
    assert period_of(per, microseconds(at(next_first))) == period_of(per, microseconds(at(last))) + 1


@given(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)), st.integers(0, 10**12))
def test_weeks_are_iso_weeks(naive: datetime, later_us: int) -> None:
    one = naive.replace(tzinfo=UTC)
    other = one + timedelta(microseconds=later_us)

    same = period_of("week", microseconds(one)) == period_of("week", microseconds(other))

    assert same is (one.isocalendar()[:2] == other.isocalendar()[:2])


def test_the_earliest_of_a_period_count() -> None:
    found = occurrences("2026-03-02T10:00", "2026-03-02T11:00", "2026-03-02T12:00", "2026-03-03T10:00")

    counted, withheld = split(found, Limit(2, "day", None), key=KEY, already={})

    assert counted == (found[0], found[1], found[3])
    assert withheld == (found[2],)


def test_folded_occurrences_keep_their_places() -> None:
    found = occurrences("2026-03-02T10:00", "2026-03-02T11:00")
    period = PeriodKey(KEY, period_of("day", found[0].at_us))

    counted, withheld = split(found, Limit(2, "day", None), key=KEY, already={period: 1})

    assert (counted, withheld) == (found[:1], found[1:])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, True),
        (1, True, False),
        (1, "1", False),
        (None, MISSING, False),
        ("", MISSING, False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ("x" * 99 + "a", "x" * 99 + "b", False),
    ],
)
def test_values_are_told_apart_as_conditions_do(one: Found, other: Found, same: bool) -> None:
    assert (canonical(one) == canonical(other)) is same


def test_a_long_value_takes_little_room() -> None:
    assert len(canonical("x" * 8000)) <= 64
