"""Webhooks as the platforms send and sign them, with payloads and keys made by us."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import unquote, urlencode

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, derive_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from standardwebhooks import Webhook

TEXT_SECRET = "a secret between two systems"
STANDARD_SECRET = "whsec_" + base64.b64encode(b"thirty-two bytes of a secret key").decode()
MANDRILL_URL = "https://hooks.example.com/v1/webhooks/mandrill?team=a"
HUBSPOT_URL = "https://hooks.example.com/v1/webhooks/hubspot?team=a%20b&to=%2Fx"
_SENDGRID_KEY = derive_private_key(0x1EADF10E, SECP256R1())
SENDGRID_PUBLIC_KEY = base64.b64encode(
    _SENDGRID_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
).decode()


@dataclass(frozen=True, slots=True)
class Signed:
    """A request of a platform, ready to send. With `covers_body` the proof that it brings is about its body."""

    kind: str
    body: bytes
    headers: Mapping[str, str]
    secret: str
    public_url: str | None = None
    more: Mapping[str, object] = field(default_factory=dict)
    query: str = ""
    covers_body: bool = True

    @property
    def path(self) -> str:
        """Where it is sent to, for a source named like its kind."""
        return f"/v1/webhooks/{self.kind}" + (f"?{self.query}" if self.query else "")

    def source_options(self) -> dict[str, object]:
        """What the source needs besides its kind and its secret."""
        return dict(self.more) | ({"public_url": self.public_url} if self.public_url else {})


def as_json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def hubspot(value: object, at: datetime, *, secret: str = TEXT_SECRET) -> Signed:
    body = as_json(value)
    milliseconds = str(int(at.timestamp() * 1000))
    # Only the encoded slash of this URL is among the characters that HubSpot decodes.
    url = HUBSPOT_URL.replace("%2F", unquote("%2F"))
    signature = _hmac(secret, f"POST{url}".encode() + body + milliseconds.encode(), "sha256")
    headers = {
        "X-HubSpot-Request-Timestamp": milliseconds,
        "X-HubSpot-Signature-v3": base64.b64encode(signature).decode(),
    }
    return Signed("hubspot", body, headers, secret, public_url=HUBSPOT_URL)


def sendgrid(value: object, at: datetime) -> Signed:
    body = as_json(value) + b"\r\n"
    seconds = str(int(at.timestamp()))
    signature = _SENDGRID_KEY.sign(seconds.encode() + body, ECDSA(SHA256()))
    headers = {
        "X-Twilio-Email-Event-Webhook-Timestamp": seconds,
        "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
    }
    return Signed("sendgrid", body, headers, SENDGRID_PUBLIC_KEY)


def segment(value: object, *, secret: str = TEXT_SECRET) -> Signed:
    signed = as_json(value[0] if isinstance(value, list) else value)
    headers = {"X-Signature": _hmac(secret, signed, "sha1").hex()}
    return Signed("segment", as_json(value), headers, secret)


def calendly(value: object, at: datetime, *, secret: str = TEXT_SECRET) -> Signed:
    body = as_json(value)
    seconds = str(int(at.timestamp()))
    signature = _hmac(secret, f"{seconds}.".encode() + body, "sha256").hex()
    return Signed("calendly", body, {"Calendly-Webhook-Signature": f"t={seconds},v1={signature}"}, secret)


def typeform(value: object, *, secret: str = TEXT_SECRET) -> Signed:
    body = as_json(value)
    signature = base64.b64encode(_hmac(secret, body, "sha256")).decode()
    return Signed("typeform", body, {"Typeform-Signature": f"sha256={signature}"}, secret)


def standard(
    value: object, at: datetime, *, message_id: str = "msg_1", secret: str = STANDARD_SECRET, **more: object
) -> Signed:
    body = as_json(value)
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, at, body.decode()),
    }
    return Signed("standardwebhooks", body, headers, secret, more=more)


def customerio(value: object, at: datetime, *, secret: str = TEXT_SECRET) -> Signed:
    body = as_json(value)
    seconds = str(int(at.timestamp()))
    signature = _hmac(secret, f"v0:{seconds}:".encode() + body, "sha256").hex()
    return Signed("customerio", body, {"X-CIO-Timestamp": seconds, "X-CIO-Signature": signature}, secret)


def klaviyo(value: object, at: datetime, *, webhook_id: str = "w1", secret: str = TEXT_SECRET) -> Signed:
    body = as_json(value)
    sent_at = format_datetime(at.astimezone(UTC), usegmt=True)
    headers = {
        "Klaviyo-Timestamp": sent_at,
        "Klaviyo-Signature": _hmac(secret, body + sent_at.encode(), "sha256").hex(),
        "Klaviyo-Webhook-Id": webhook_id,
    }
    return Signed("klaviyo", body, headers, secret)


def intercom(value: object, *, secret: str = TEXT_SECRET) -> Signed:
    body = as_json(value)
    return Signed("intercom", body, {"X-Hub-Signature": f"sha1={_hmac(secret, body, 'sha1').hex()}"}, secret)


def activecampaign(fields: Mapping[str, str], *, secret: str = TEXT_SECRET) -> Signed:
    return with_token("activecampaign", urlencode(fields).encode(), secret)


def brevo(value: object, *, password: str = TEXT_SECRET) -> Signed:
    credentials = base64.b64encode(f"brevo:{password}".encode()).decode()
    return Signed(
        "brevo", as_json(value), {"Authorization": f"Basic {credentials}"}, f"brevo:{password}", covers_body=False
    )


def marketo(value: object, *, secret: str = TEXT_SECRET) -> Signed:
    return with_token("marketo", as_json(value), secret)


def cloudevents(value: object, *, secret: str = TEXT_SECRET) -> Signed:
    return with_token("cloudevents", as_json(value), secret)


def with_token(kind: str, body: bytes, secret: str) -> Signed:
    """A request of a platform that can be told to send a header."""
    return Signed(kind, body, {"Authorization": f"Bearer {secret}"}, secret, covers_body=False)


def mailgun(value: object, at: datetime, *, secret: str = TEXT_SECRET) -> Signed:
    """A token of its own for every event, as Mailgun has it."""
    seconds, token = str(int(at.timestamp())), hashlib.sha256(as_json(value)).hexdigest()
    signature = _hmac(secret, (seconds + token).encode(), "sha256").hex()
    block = {"timestamp": seconds, "token": token, "signature": signature}
    return Signed("mailgun", as_json({"signature": block, "event-data": value}), {}, secret, covers_body=False)


def mailchimp(value: object, *, secret: str = TEXT_SECRET) -> Signed:
    query = urlencode({"token": secret})
    return Signed("mailchimp", as_form(value), {}, secret, query=query, covers_body=False)


def mandrill(value: object, *, secret: str = TEXT_SECRET) -> Signed:
    return mandrill_text(as_json(value).decode(), secret=secret)


def mandrill_text(events: str, *, secret: str = TEXT_SECRET) -> Signed:
    """The same of a JSON text, which may be none."""
    signature = _hmac(secret, f"{MANDRILL_URL}mandrill_events{events}".encode(), "sha1")
    headers = {"X-Mandrill-Signature": base64.b64encode(signature).decode()}
    body = urlencode({"mandrill_events": events}).encode()
    return Signed("mandrill", body, headers, secret, public_url=MANDRILL_URL)


def postmark(value: object, *, secret: str = f"leadflow:{TEXT_SECRET}") -> Signed:
    headers = {"Authorization": "Basic " + base64.b64encode(secret.encode()).decode()}
    return Signed("postmark", as_json(value), headers, secret, covers_body=False)


def mautic(value: object, *, secret: str = TEXT_SECRET) -> Signed:
    body = as_json(value).replace(b"/", b"\\/")
    signature = base64.b64encode(_hmac(secret, body, "sha256")).decode()
    return Signed("mautic", body, {"Webhook-Signature": signature}, secret)


def as_form(value: object) -> bytes:
    """An object as PHP writes forms: what is nested gets its name in brackets."""
    return urlencode(list(_fields(value, ""))).encode()


def _fields(value: object, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _fields(inner, f"{name}[{key}]" if name else str(key))
    else:
        yield name, "" if value is None else str(value)


def _hmac(secret: str, message: bytes, algorithm: str) -> bytes:
    return hmac.digest(secret.encode(), message, getattr(hashlib, algorithm))


def examples(at: datetime) -> dict[str, Signed]:
    """One good request of each kind, sent at `at`; each holds one event of ann@example.com, or of her contact."""
    seconds, milliseconds, iso = int(at.timestamp()), int(at.timestamp() * 1000), at.isoformat()
    return {
        "hubspot": hubspot(
            [
                {
                    "eventId": 1,
                    "subscriptionId": 2,
                    "portalId": 3,
                    "occurredAt": milliseconds,
                    "subscriptionType": "contact.creation",
                    "objectId": 4711,
                }
            ],
            at,
        ),
        "sendgrid": sendgrid(
            [
                {
                    "email": "ann@example.com",
                    "timestamp": seconds,
                    "event": "click",
                    "sg_event_id": "s1",
                    "url": "https://x",
                }
            ],
            at,
        ),
        "segment": segment(
            {
                "type": "page",
                "messageId": "m1",
                "userId": "u1",
                "context": {"traits": {"email": "ann@example.com"}},
                "properties": {"path": "/pricing"},
                "timestamp": iso,
            }
        ),
        "calendly": calendly(
            {
                "event": "invitee.created",
                "created_at": iso,
                "payload": {"uri": "https://c/i/1", "email": "ann@example.com", "name": "Ann"},
            },
            at,
        ),
        "typeform": typeform(
            {
                "event_id": "t1",
                "event_type": "form_response",
                "form_response": {
                    "form_id": "f",
                    "token": "k",
                    "submitted_at": iso,
                    "answers": [
                        {"type": "email", "email": "ann@example.com", "field": {"ref": "mail"}},
                        {"type": "text", "text": "Head of Sales", "field": {"ref": "job_title"}},
                    ],
                },
            }
        ),
        "standardwebhooks": standard(
            {
                "type": "trial.started",
                "timestamp": iso,
                "data": {"email": "ann@example.com", "plan": "team"},
            },
            at,
        ),
        "customerio": customerio(
            {
                "event_id": "c1",
                "object_type": "email",
                "metric": "clicked",
                "timestamp": seconds,
                "data": {"identifiers": {"id": "u1"}, "recipient": "ann@example.com", "href": "https://x"},
            },
            at,
        ),
        "klaviyo": klaviyo(
            {
                "meta": {"klaviyo_webhook_id": "w1"},
                "data": [
                    {
                        "topic": "event:klaviyo.clicked_email",
                        "external_id": "k1",
                        "payload": {
                            "data": {
                                "attributes": {
                                    "timestamp": seconds,
                                    "event_properties": {"email_address": "ann@example.com", "URL": "https://x"},
                                },
                                "relationships": {"profile": {"data": {"id": "p1"}}},
                            }
                        },
                    }
                ],
            },
            at,
        ),
        "intercom": intercom(
            {
                "type": "notification_event",
                "id": "notif_1",
                "topic": "contact.unsubscribed",
                "created_at": seconds,
                "data": {
                    "item": {
                        "type": "contact_unsubscribe",
                        "contact": {"type": "contact", "id": "i1", "email": "ann@example.com"},
                    }
                },
            }
        ),
        "activecampaign": activecampaign(
            {
                "type": "click",
                "date_time": iso,
                "contact[id]": "36",
                "contact[email]": "ann@example.com",
                "link[url]": "https://x",
            }
        ),
        "brevo": brevo(
            {
                "event": "click",
                "email": "ann@example.com",
                "ts_epoch": milliseconds,
                "message-id": "<b1>",
                "link": "https://x",
            }
        ),
        "marketo": marketo(
            {"event": "Fills Out Form", "email": "ann@example.com", "lead_id": 7, "occurred_at": iso, "form": "Demo"}
        ),
        "cloudevents": cloudevents(
            {
                "specversion": "1.0",
                "id": "e1",
                "source": "/webinars",
                "type": "webinar_attended",
                "time": iso,
                "data": {"email": "ann@example.com"},
            }
        ),
        "mailgun": mailgun(
            {
                "event": "clicked",
                "id": "g1",
                "timestamp": at.timestamp(),
                "recipient": "ann@example.com",
                "url": "https://x",
            },
            at,
        ),
        "mailchimp": mailchimp(
            {
                "type": "subscribe",
                "fired_at": at.strftime("%Y-%m-%d %H:%M:%S"),
                "data": {
                    "id": "m1",
                    "list_id": "l1",
                    "email": "ann@example.com",
                    "merges": {"FNAME": "Ann", "ADDRESS": {"city": "Cork"}},
                },
            }
        ),
        "mandrill": mandrill(
            [{"event": "click", "_id": "d1", "ts": seconds, "msg": {"email": "ann@example.com"}, "url": "https://x"}]
        ),
        "postmark": postmark(
            {
                "RecordType": "Click",
                "MessageID": "p1",
                "Recipient": "ann@example.com",
                "ReceivedAt": iso,
                "OriginalLink": "https://x",
            }
        ),
        "mautic": mautic(
            {
                "mautic.page_on_hit": [
                    {
                        "hit": {
                            "dateHit": iso,
                            "url": "https://x/pricing",
                            "trackingId": "v1",
                            "lead": {"id": 26, "fields": {"core": {"email": {"value": "ann@example.com"}}}},
                        },
                        "timestamp": iso,
                    }
                ]
            }
        ),
    }
