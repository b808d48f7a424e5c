"""When a delivery is tried again, and when it is given up. Source: Standard Webhooks 1.0, with jitter."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from random import Random
from typing import Literal

_SECONDS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)


@dataclass(frozen=True, slots=True)
class RetrySchedule:
    """Delays after the first, second ... failure; `jitter` is the largest share added or taken."""

    delays: tuple[timedelta, ...] = tuple(timedelta(seconds=seconds) for seconds in _SECONDS)
    jitter: float = 0.2
    longest_retry_after: timedelta = timedelta(hours=24)

    def next_delay(self, attempts: int, *, retry_after: timedelta | None, random: Random) -> timedelta | None:
        """How long to wait after `attempts` failed attempts; None: give up.

        A receiver's Retry-After lengthens the wait, within bounds, and never shortens it.
        """
        if attempts > len(self.delays):
            return None
        planned = self.delays[attempts - 1] * (1 + random.uniform(-self.jitter, self.jitter))
        if retry_after is None:
            return planned
        return max(planned, min(retry_after, self.longest_retry_after))


STANDARD = RetrySchedule()

Outcome = Literal["delivered", "retried", "disabled"]


def outcome_of(status: int | None) -> Outcome:
    """What an answer means: 2xx has it, 410 wants no more, anything else (no answer, 3xx) is tried again."""
    if status is not None and 200 <= status < 300:
        return "delivered"
    return "disabled" if status == 410 else "retried"


def parse_retry_after(value: str | None, now: datetime) -> timedelta | None:
    """The wait in a Retry-After header, in seconds or as a date; None for anything else."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return timedelta(seconds=min(int(value.strip()[:9]), 10**8))
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(moment - now, timedelta(0))
