"""Callers held to a pace: each key to its own, and what is dear to a slower one.

Buckets are those of a process: several processes behind one address let several times as much through.
"""

from dataclasses import dataclass
from typing import Final, Literal

from shared.access.token_bucket import Bucket, Pace, is_full, take
from shared.clock import Clock
from shared.errors import RateLimited

_MOST_BUCKETS: Final = 10_000
# What replays, simulates or looks at every lead is `dear`; what has a pace of its own elsewhere is `free` here.
Cost = Literal["cheap", "dear", "free"]


@dataclass(frozen=True, slots=True)
class Paces:
    """How fast one key may call."""

    cheap: Pace
    dear: Pace


UNHURRIED: Final = Paces(Pace(500, 5_000), Pace(5, 100))


class Pacer:
    """Holds each of its callers to the same pace, within this process."""

    def __init__(self, pace: Pace, clock: Clock) -> None:
        self._pace = pace
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}

    def admit(self, caller: str) -> None:
        """Return if `caller` may call now. Raises RateLimited, saying when."""
        now_seconds = self._clock.now().timestamp()
        bucket, wait_seconds = take(self._buckets.get(caller), self._pace, now_seconds)
        if len(self._buckets) >= _MOST_BUCKETS:
            self._forget_full(now_seconds)
        self._buckets[caller] = bucket
        if wait_seconds:
            raise RateLimited("more requests than are taken at this pace", retry_after_seconds=wait_seconds)

    def _forget_full(self, now_seconds: float) -> None:
        self._buckets = {
            caller: bucket for caller, bucket in self._buckets.items() if not is_full(bucket, self._pace, now_seconds)
        }
