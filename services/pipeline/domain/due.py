"""When a lead that stays has stayed too long, counted in time or in business hours."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_DAY = timedelta(days=1)
_HOURS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1)}


@dataclass(frozen=True, slots=True)
class Due:
    """How long a stay may last: `count` of `unit`, one of `s m h d w`."""

    count: int
    unit: str


@dataclass(frozen=True, slots=True)
class BusinessHours:
    """When people work: local times on weekdays (Monday is 0) that are no holidays.

    `opens` is before `closes`, and there is at least one weekday.
    """

    zone: ZoneInfo
    weekdays: frozenset[int]
    opens: time
    closes: time
    holidays: frozenset[date]

    @property
    def day_length(self) -> timedelta:
        """Business hours of one day by the wall clock."""
        return datetime.combine(date.min, self.closes) - datetime.combine(date.min, self.opens)

    def window(self, day: date) -> tuple[datetime, datetime]:
        """Opening and closing on `day`, in UTC: elapsed time, whatever the clocks do that day."""
        opens = datetime.combine(day, self.opens, self.zone).astimezone(UTC)
        closes = datetime.combine(day, self.closes, self.zone).astimezone(UTC)
        return opens, max(opens, closes)

    def windows_from(self, moment: datetime) -> Iterator[tuple[datetime, datetime]]:
        """What is left of the windows from `moment` on, without end; none of them is empty."""
        day = moment.astimezone(self.zone).date()
        while True:
            if day.weekday() in self.weekdays and day not in self.holidays:
                opens, closes = self.window(day)
                if max(opens, moment) < closes:
                    yield max(opens, moment), closes
            day += _DAY


def due_at(since: datetime, due: Due, hours: BusinessHours | None) -> datetime:
    """The moment (UTC) at which a stay that began at `since` (aware) is overdue.

    With business hours `s`, `m` and `h` count open time; `d` is one day's open time, `w` that of a week, so
    that `1d` from Friday 15:00 ends on Monday 15:00. The moment then always lies within business hours.
    """
    if hours is None:
        return since.astimezone(UTC) + due.count * {**_HOURS, "d": _DAY, "w": 7 * _DAY}[due.unit]
    return _after_open_time(since.astimezone(UTC), _open_time(due, hours), hours)


def _open_time(due: Due, hours: BusinessHours) -> timedelta:
    week = hours.day_length * len(hours.weekdays)
    return due.count * {**_HOURS, "d": hours.day_length, "w": week}[due.unit]


def _after_open_time(since: datetime, remaining: timedelta, hours: BusinessHours) -> datetime:
    for opens, closes in hours.windows_from(since):
        if remaining <= closes - opens:
            return opens + remaining
        remaining -= closes - opens
    raise AssertionError("windows have no end")
