"""When a receiver as a whole is left alone, and when nothing is sent to it any more.

A message has its own schedule; this is about what all messages to one receiver share. Source: Standard
Webhooks 1.0 (slow down on 429, 502 and 504; disable after failing for long, and on 410).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Final, Literal

OVERLOADED: Final = frozenset({429, 502, 504})
_HEEDED: Final = frozenset({429, 503})
_GONE: Final = 410

Disabled = Literal["gone", "failing"]


@dataclass(frozen=True, slots=True)
class Failing:
    """A receiver since its last success: how often it failed, how often it was left alone, and until when."""

    since: datetime
    failures: int
    pauses: int
    resume_at: datetime | None


@dataclass(frozen=True, slots=True)
class Miss:
    """One attempt without success, as far as it says something about the receiver; `began_at` is aware UTC."""

    began_at: datetime
    status: int | None
    timed_out: bool
    retry_after: timedelta | None


@dataclass(frozen=True, slots=True)
class EndpointPolicy:
    """Pauses double from the first to the longest; `jitter` is the largest share added or taken."""

    failures_to_pause: int = 10
    first_pause: timedelta = timedelta(seconds=5)
    first_slow_down: timedelta = timedelta(seconds=60)
    longest_pause: timedelta = timedelta(minutes=15)
    longest_retry_after: timedelta = timedelta(hours=24)
    disable_after: timedelta = timedelta(days=5)
    jitter: float = 0.2

    def disables(self, failing: Failing, miss: Miss, *, now: datetime) -> Disabled | None:
        """Why nothing is to be sent any more after this miss; None: go on."""
        if miss.status == _GONE:
            return "gone"
        return "failing" if now - failing.since >= self.disable_after else None

    def pause(self, failing: Failing, miss: Miss, *, random: Random) -> timedelta | None:
        """How long to leave the receiver alone after this miss, which `failing` counts already; None: not at all.

        An attempt that began before the last pause had ended lengthens it only by a Retry-After of its own:
        what was in the air together is one trouble.
        """
        asked = self._asked(miss)
        overloaded = miss.timed_out or miss.status in OVERLOADED
        if failing.resume_at is not None and miss.began_at < failing.resume_at:
            return asked
        if not overloaded and asked is None and failing.failures < self.failures_to_pause:
            return None
        first = self.first_slow_down if overloaded else self.first_pause
        planned = min(first * (1 << min(failing.pauses, 16)), self.longest_pause)
        return max(planned * (1 + random.uniform(-self.jitter, self.jitter)), asked or timedelta(0))

    def _asked(self, miss: Miss) -> timedelta | None:
        if miss.retry_after is None or miss.status not in _HEEDED:
            return None
        return min(miss.retry_after, self.longest_retry_after)
