"""Due moments, with and without business hours."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.pipeline.domain.due import BusinessHours, Due, due_at

STOCKHOLM = ZoneInfo("Europe/Stockholm")
OFFICE = BusinessHours(STOCKHOLM, frozenset(range(5)), time(9), time(17), frozenset({date(2026, 5, 1)}))
ZONES = ["Europe/Stockholm", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "UTC", "Pacific/Apia"]


def local(text: str) -> datetime:
    """A moment in Stockholm."""
    return datetime.fromisoformat(text).replace(tzinfo=STOCKHOLM)


@pytest.mark.parametrize(
    ("since", "due", "moment"),
    [
        ("2026-03-02T10:00", Due(4, "h"), "2026-03-02T14:00"),
        ("2026-03-02T15:00", Due(4, "h"), "2026-03-03T11:00"),
        ("2026-03-06T15:00", Due(4, "h"), "2026-03-09T11:00"),
        ("2026-03-06T15:00", Due(1, "d"), "2026-03-09T15:00"),
        ("2026-03-07T12:00", Due(30, "m"), "2026-03-09T09:30"),
        ("2026-03-02T08:00", Due(8, "h"), "2026-03-02T17:00"),
        ("2026-03-02T10:00", Due(1, "w"), "2026-03-09T10:00"),
        ("2026-04-30T16:00", Due(2, "h"), "2026-05-04T10:00"),
        ("2026-03-27T16:00", Due(2, "h"), "2026-03-30T10:00"),
        ("2026-10-23T16:00", Due(2, "h"), "2026-10-26T10:00"),
    ],
    ids=[
        "within a day",
        "over a night",
        "over a weekend",
        "a day is a day's open time",
        "from a Saturday",
        "to the closing hour",
        "a week is a week's open time",
        "over a holiday",
        "over the clocks going forward",
        "over the clocks going back",
    ],
)
def test_business_hours_are_what_counts(since: str, due: Due, moment: str) -> None:
    assert due_at(local(since), due, OFFICE) == local(moment)


@pytest.mark.parametrize(
    ("due", "seconds"), [(Due(90, "s"), 90), (Due(2, "m"), 120), (Due(1, "d"), 86_400), (Due(1, "w"), 604_800)]
)
def test_without_business_hours_time_counts(due: Due, seconds: int) -> None:
    since = local("2026-03-28T12:00")

    assert due_at(since, due, None) - since == timedelta(seconds=seconds)


def test_an_hour_that_a_day_does_not_have_is_not_counted() -> None:
    night = BusinessHours(STOCKHOLM, frozenset(range(7)), time(1), time(4), frozenset())

    assert due_at(local("2026-03-29T01:00"), Due(2, "h"), night) == local("2026-03-29T04:00")


HOURS = st.builds(
    BusinessHours,
    zone=st.sampled_from([ZoneInfo(name) for name in ZONES]),
    weekdays=st.frozensets(st.integers(0, 6), min_size=1),
    opens=st.times(max_value=time(11)).map(lambda moment: moment.replace(second=0, microsecond=0)),
    closes=st.times(min_value=time(12)).map(lambda moment: moment.replace(second=0, microsecond=0)),
    holidays=st.frozensets(st.dates(date(2026, 1, 1), date(2026, 12, 31)), max_size=20),
)
DUES = st.builds(Due, st.integers(1, 40), st.sampled_from("smhdw"))
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC))


@given(since=MOMENTS, due=DUES, hours=HOURS)
def test_a_due_moment_is_within_business_hours_and_after_the_beginning(
    since: datetime, due: Due, hours: BusinessHours
) -> None:
    moment = due_at(since, due, hours)

    day = moment.astimezone(hours.zone).date()
    windows = [hours.window(day + timedelta(days=offset)) for offset in (-1, 0, 1)]
    assert moment > since
    assert any(opens < moment <= closes for opens, closes in windows)
    assert day.weekday() in hours.weekdays
    assert day not in hours.holidays


@given(since=MOMENTS, later=st.timedeltas(timedelta(0), timedelta(days=30)), due=DUES, hours=HOURS)
def test_who_comes_later_is_due_no_earlier(since: datetime, later: timedelta, due: Due, hours: BusinessHours) -> None:
    assert due_at(since, due, hours) <= due_at(since + later, due, hours)


MINUTE = timedelta(minutes=1)
# Whoever lives there sets the clock near one of these days of 2026, forward or back; Lord Howe by half an hour.
CHANGING = ["Europe/Stockholm", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Kolkata"]
NEAR_A_CHANGE = [date(2026, 3, 8), date(2026, 3, 29), date(2026, 4, 5), date(2026, 9, 6), date(2026, 10, 4)]
NEAR_A_CHANGE += [date(2026, 10, 25), date(2026, 11, 1)]
WORKED = st.builds(
    BusinessHours,
    zone=st.sampled_from([ZoneInfo(name) for name in CHANGING]),
    weekdays=st.frozensets(st.integers(0, 6), min_size=2),
    opens=st.sampled_from([time(1), time(6, 15), time(9), time(11, 30)]),
    closes=st.sampled_from([time(12), time(17), time(22, 45)]),
    holidays=st.frozensets(st.sampled_from(NEAR_A_CHANGE), max_size=3),
)


@given(
    day=st.sampled_from(NEAR_A_CHANGE),
    before=st.integers(0, 4 * 24 * 60),
    due=st.builds(Due, st.integers(1, 12), st.sampled_from("mhd")) | st.just(Due(1, "w")),
    hours=WORKED,
)
@settings(max_examples=60)
def test_a_due_moment_is_the_one_found_by_watching_the_clock_minute_by_minute(
    day: date, before: int, due: Due, hours: BusinessHours
) -> None:
    since = datetime.combine(day, time(12), UTC) - before * MINUTE

    assert due_at(since, due, hours) == watched(since, due, hours)


def watched(since: datetime, due: Due, hours: BusinessHours) -> datetime:
    """When somebody who looks at the office clock every minute has counted enough minutes of open office."""
    open_day = (hours.closes.hour - hours.opens.hour) * 60 + hours.closes.minute - hours.opens.minute
    minutes = due.count * {"m": 1, "h": 60, "d": open_day, "w": open_day * len(hours.weekdays)}[due.unit]
    now = since
    while True:
        clock = now.astimezone(hours.zone)
        works = clock.weekday() in hours.weekdays and clock.date() not in hours.holidays
        if works and hours.opens <= clock.time() < hours.closes:
            minutes -= 1
        now += MINUTE
        if minutes == 0:
            return now
