"""Callers held to a pace, and what each platform is told that is ahead of it.

A platform does what the status says. One that comes again after a 429 gets a 429. One that is known to come
again after a 5xx alone gets a 503. One that comes again after neither is never held up: what it sends once
is lost for good. Source: the platforms' documentation of their retries.
"""

from services.ingest.domain.token_bucket import Bucket, Pace, is_full, take
from shared.clock import Clock
from shared.errors import RateLimited, TransientError

COMES_AGAIN_AFTER_429 = frozenset(
    {
        "calendly",
        "cloudevents",
        "customerio",
        "hubspot",
        "intercom",
        "mailgun",
        "mandrill",
        "postmark",
        "sendgrid",
        "standardwebhooks",
        "typeform",
    }
)
COMES_AGAIN_AFTER_503 = frozenset({"brevo", "klaviyo", "mailchimp", "segment"})
COMES_ONCE = frozenset({"activecampaign", "marketo", "mautic"})
_MOST_BUCKETS = 10_000


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


def admit_webhook(pacer: Pacer, source_id: str, kind: str) -> None:
    """Return if a verified webhook is taken now.

    Raises RateLimited where the platform comes again after that, else TransientError.
    """
    if kind in COMES_ONCE:
        return
    try:
        pacer.admit(source_id)
    except RateLimited as error:
        if kind in COMES_AGAIN_AFTER_429:
            raise
        raise TransientError(str(error)) from error
