"""Standard Webhooks 1.0: the headers that let a receiver know who sent a message, and that it is whole."""

from base64 import b64encode
from collections.abc import Sequence
from datetime import datetime
from math import floor

from standardwebhooks import Webhook

SECRET_BYTES = 32


def secret_text(random: bytes) -> str:
    """A signing secret made of `SECRET_BYTES` random bytes."""
    return "whsec_" + b64encode(random).decode()


def signed_headers(message_id: str, body: bytes, *, at: datetime, secrets: Sequence[str]) -> dict[str, str]:
    """Headers of one attempt at `at`; with two secrets alive a signature by each, the newest first."""
    signatures = [Webhook(secret).sign(message_id, at, body.decode()) for secret in secrets]
    return {
        "content-type": "application/cloudevents+json",
        "webhook-id": message_id,
        "webhook-timestamp": str(floor(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
