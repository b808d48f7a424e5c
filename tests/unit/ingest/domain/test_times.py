"""Moments, however they are written."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.times import EpochUnit, parse_time, platform_time
from shared.errors import InvalidInput
from shared.events.json import Json

MOMENT = datetime(2024, 6, 10, 8, 5, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2024-06-10T08:05:00Z",
        "2024-06-10t08:05:00z",
        "2024-06-10T10:05:00+02:00",
        "2024-06-10T02:35:00-05:30",
        "2024-06-10T08:05:00.000Z",
        "2024-06-10T08:05:00.0000004Z",
    ],
)
def test_rfc_3339_is_read(text: str) -> None:
    assert parse_time(text) == MOMENT


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2024-06-10T08:05:00", "zone"),
        ("2024-06-10", "like"),
        ("yesterday", "like"),
        ("", "like"),
        ("2024-06-10 08:05:00 UTC", "like"),
        ("2024-13-10T08:05:00Z", "exists"),
        ("2024-06-10T25:05:00Z", "exists"),
        ("0001-01-01T00:00:00+14:00", "exists"),
        ("9999-12-31T23:59:59-14:00", "exists"),
        ("1969-12-31T23:59:59Z", "1970"),
        ("2024-06-10T08:05:00+99:99", "exists"),
    ],
)
def test_what_is_no_moment_is_refused_saying_why(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        parse_time(text)


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        (1718006700, "s"),
        ("1718006700", "s"),
        (1718006700.0, "s"),
        ("1718006700.000000", "s"),
        (1718006700000, "ms"),
        ("2024-06-10T08:05:00.0000000Z", "s"),
        ("2024-06-10T08:05:00+0000", "s"),
        ("2024-06-10 08:05:00 UTC", "s"),
        ("2024-06-10 08:05:00", "s"),
    ],
)
def test_platforms_write_the_same_moment_in_many_ways(value: Json, unit: EpochUnit) -> None:
    assert platform_time(value, unit=unit) == MOMENT


@pytest.mark.parametrize("value", ["abc", "", None, True, [], {}, -5, "2024-06-10", 1e300, float("nan"), 10**17])
def test_what_a_platform_does_not_say_is_unknown_rather_than_wrong(value: Json) -> None:
    assert platform_time(value) is None


def test_a_time_without_zone_is_in_the_zone_of_the_source() -> None:
    assert platform_time("2024-06-10 10:05:00", zone=ZoneInfo("Europe/Berlin")) == MOMENT


def test_microseconds_survive() -> None:
    assert parse_time("2024-06-10T08:05:00.1234567Z") == MOMENT.replace(microsecond=123456)
    assert platform_time(1718006700.25) == MOMENT.replace(microsecond=250000)


@given(st.text() | st.integers() | st.floats())
def test_whatever_it_is_it_is_read_or_unknown(value: Json) -> None:
    moment = platform_time(value)

    assert moment is None or moment.tzinfo is UTC


@given(
    moment=st.datetimes(),
    digits=st.sampled_from([0, 3, 6]),
    sign=st.sampled_from("+-"),
    hours=st.integers(0, 25),
    minutes=st.integers(0, 60),
)
def test_the_usual_form_is_read_as_every_other(
    moment: datetime, digits: int, sign: str, hours: int, minutes: int
) -> None:
    fraction = f".{moment.microsecond:06}"[: digits + 1] if digits else ""
    usual = f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}{sign}{hours:02}:{minutes:02}".rjust(25 + len(fraction), "0")

    assert moment_or_fault(usual) == moment_or_fault(usual.replace("T", "t"))


def moment_or_fault(text: str) -> object:
    try:
        return parse_time(text)
    except InvalidInput as error:
        return str(error)
