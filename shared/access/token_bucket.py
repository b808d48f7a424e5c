"""How fast somebody may call: a bucket of tokens that fills at a rate up to its size."""

from dataclasses import dataclass

from msgspec import Struct


@dataclass(frozen=True, slots=True)
class Pace:
    """`per_second` calls for ever, and `burst` at once after a rest."""

    per_second: float
    burst: int


class Bucket(Struct, frozen=True, gc=False):
    """`tokens` that were there at `at_seconds`."""

    tokens: float
    at_seconds: float


def take(bucket: Bucket | None, pace: Pace, now_seconds: float) -> tuple[Bucket, float]:
    """The bucket after one call at `now_seconds`, and the seconds to wait before the call: 0, it may be made.

    None is a full bucket. A call that has to wait takes nothing. A clock that goes back fills nothing.
    """
    tokens = float(pace.burst)
    if bucket is not None:
        passed_seconds = max(0.0, now_seconds - bucket.at_seconds)
        tokens = min(tokens, bucket.tokens + passed_seconds * pace.per_second)
    if tokens >= 1:
        return Bucket(tokens - 1, now_seconds), 0.0
    return Bucket(tokens, now_seconds), (1 - tokens) / pace.per_second


def is_full(bucket: Bucket, pace: Pace, now_seconds: float) -> bool:
    """Whether the bucket is as good as none: nothing would be forgotten with it."""
    return bucket.tokens + max(0.0, now_seconds - bucket.at_seconds) * pace.per_second >= pace.burst
