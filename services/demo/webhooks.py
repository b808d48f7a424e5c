"""A post as the request that the platform would send: signed with its key, at this moment.

Bodies never differ between two runs; signatures do, because they carry the time of the attempt.
"""

import base64
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from standardwebhooks import Webhook

from services.demo.bodies import body_of, element_of
from services.demo.diary import Channel
from services.demo.posting import Flaw, Post

HUBSPOT_URL: Final = "https://hooks.lagerlight.example/v1/webhooks/hubspot"
EVENT_NAMES: Final = {
    Channel.SITE: {
        "Guide Downloaded": "content_downloaded",
        "Webinar Registered": "webinar_registered",
        "Demo Requested": "demo_requested",
    }
}
SOURCES: Final = (Channel.SITE, Channel.MAIL, Channel.FORM, Channel.MEETING, Channel.CRM, Channel.PRODUCT)
"""The channels that are webhook sources; a source is named as its kind."""

_CONTENT_TYPES: Final = {
    Channel.IMPORT: "application/x-ndjson",
    Channel.WEBINAR: "application/cloudevents-batch+json",
}
_STALENESS: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """What the platforms sign with: a secret each, for SendGrid the private key as PEM; and the API key."""

    secrets: Mapping[Channel, str] = field(repr=False)
    api_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Request:
    """What goes over the wire."""

    path: str
    headers: Mapping[str, str]
    body: bytes


def request_of(post: Post, *, keys: SigningKeys, forger: SigningKeys, now: datetime) -> Request:
    """The request for `post`, signed with `keys`, or with the `forger`'s where it is forged."""
    body = body_of(post)
    signed_at = now - _STALENESS if post.flaw is Flaw.STALE else now
    attempt = _Attempt(post, body, forger if post.flaw is Flaw.FORGED else keys, signed_at)
    content_type = _CONTENT_TYPES.get(post.channel, "application/json")
    headers = {"Content-Type": content_type, **_SIGNERS.get(post.channel, _bearer)(attempt)}
    return Request(_path(post), headers, body)


def _path(post: Post) -> str:
    if post.channel not in SOURCES:
        return "/v1/events"
    suffix = "-of-nobody" if post.flaw is Flaw.UNKNOWN_SOURCE else ""
    return f"/v1/webhooks/{post.channel.value}{suffix}"


@dataclass(frozen=True, slots=True)
class _Attempt:
    post: Post
    body: bytes
    keys: SigningKeys
    at: datetime

    @property
    def secret(self) -> str:
        return self.keys.secrets[self.post.channel]

    @property
    def seconds(self) -> str:
        return str(int(self.at.timestamp()))

    def digest(self, message: bytes, algorithm: str = "sha256") -> bytes:
        return hmac.digest(self.secret.encode(), message, algorithm)


def _bearer(attempt: _Attempt) -> dict[str, str]:
    return {"Authorization": f"Bearer {attempt.keys.api_key}"}


def _segment(attempt: _Attempt) -> dict[str, str]:
    """Of a batch Segment signs the first element alone."""
    return {"X-Signature": attempt.digest(element_of(attempt.post.deeds[0]), "sha1").hex()}


def _sendgrid(attempt: _Attempt) -> dict[str, str]:
    key = load_pem_private_key(attempt.secret.encode(), password=None)
    assert isinstance(key, EllipticCurvePrivateKey)
    signature = key.sign(attempt.seconds.encode() + attempt.body, ECDSA(SHA256()))
    return {
        "X-Twilio-Email-Event-Webhook-Signature": _base64(signature),
        "X-Twilio-Email-Event-Webhook-Timestamp": attempt.seconds,
    }


def _typeform(attempt: _Attempt) -> dict[str, str]:
    return {"Typeform-Signature": f"sha256={_base64(attempt.digest(attempt.body))}"}


def _calendly(attempt: _Attempt) -> dict[str, str]:
    digest = attempt.digest(attempt.seconds.encode() + b"." + attempt.body)
    return {"Calendly-Webhook-Signature": f"t={attempt.seconds},v1={digest.hex()}"}


def _hubspot(attempt: _Attempt) -> dict[str, str]:
    milliseconds = f"{attempt.seconds}000"
    signed = f"POST{HUBSPOT_URL}".encode() + attempt.body + milliseconds.encode()
    return {
        "X-HubSpot-Signature-v3": _base64(attempt.digest(signed)),
        "X-HubSpot-Request-Timestamp": milliseconds,
    }


def _standard(attempt: _Attempt) -> dict[str, str]:
    message_id = f"msg_{attempt.post.deeds[0].id}"
    signature: str = Webhook(attempt.secret).sign(message_id, attempt.at, attempt.body.decode())
    return {"webhook-id": message_id, "webhook-timestamp": attempt.seconds, "webhook-signature": signature}


_SIGNERS: Final[Mapping[Channel, Callable[[_Attempt], dict[str, str]]]] = {
    Channel.SITE: _segment,
    Channel.MAIL: _sendgrid,
    Channel.FORM: _typeform,
    Channel.MEETING: _calendly,
    Channel.CRM: _hubspot,
    Channel.PRODUCT: _standard,
}


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
