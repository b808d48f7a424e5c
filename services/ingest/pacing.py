"""Callers held to a pace, and what each platform is told that is ahead of it.

A platform does what the status says. One that comes again after a 429 gets a 429. One that is known to come
again after a 5xx alone gets a 503. One that comes again after neither is never held up: what it sends once
is lost for good. Source: the platforms' documentation of their retries.
"""

from shared.access.pacing import Pacer
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
