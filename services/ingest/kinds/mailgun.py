"""Mailgun webhooks, as JSON and as the forms of old: what is signed is a time stamp and a token in the body.

The signature does not cover the event, and Mailgun repeats the same block for its eight hours of retries. So a
token belongs to the first event that came with it, and is refused with any other for as long as blocks of its
age are taken at all: nine hours, or the source's `tolerance_seconds`, which may be less at the price of
late retries. What is left open: whoever reads a block before it arrives can use it first, and each
process remembers for itself, until it ends or two hundred thousand newer tokens came. TLS, and a secret in the
URL at the gateway, are worth having.

Mailgun never sends again after a 406, so leadflow answers none.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from services.ingest.domain.draft import Draft
from services.ingest.domain.identity import LeadNames, looks_like_email
from services.ingest.domain.times import platform_time
from services.ingest.kinds import signatures
from services.ingest.kinds.forms import Form, parse_form
from services.ingest.kinds.kind import Delivery, Element, NotVerified, Parked, Source, Traits, Translated
from services.ingest.kinds.reading import derived_id, given, items, member, members, text
from services.ingest.kinds.replays import Replays
from shared.errors import InvalidInput
from shared.events.json import Json, parse_json

NAME = "mailgun"
NEEDS_PUBLIC_URL = False
# The retries end after eight hours and five minutes; what is older than the memory cannot be told from a replay.
_OLDEST_BLOCK = timedelta(hours=9)
TRAITS = Traits(accepted_status=200, longest_tolerance_seconds=int(_OLDEST_BLOCK.total_seconds()))
_seen = Replays(_OLDEST_BLOCK + signatures.TOLERANCE)
_BLOCKS = ("signature", "parent-signature")
_TYPES: Mapping[str, str] = {
    "accepted": "email_sent",
    "delivered": "email_delivered",
    "opened": "email_opened",
    "clicked": "email_clicked",
    "unsubscribed": "unsubscribed",
    "complained": "spam_complaint",
    "rejected": "email_dropped",
    "failed/permanent": "bounced",
    "failed/temporary": "email_deferred",
    "bounced": "bounced",
    "dropped": "email_dropped",
}
_IGNORED = frozenset({"accepted", "delivered", "failed/temporary"})
_BOUNCE_CLASSES: Mapping[str, str] = {"failed/permanent": "hard", "failed/temporary": "soft", "bounced": "hard"}
# What Mailgun itself writes into a form; the rest are variables of the customer's.
# fmt: off
_RESERVED = frozenset(
    {
        "event", "recipient", "domain", "ip", "country", "region", "city", "user-agent", "device-type",
        "client-type", "client-name", "client-os", "campaign-id", "campaign-name", "tag", "mailing-list",
        "timestamp", "token", "signature", "url", "code", "error", "notification", "reason", "description",
        "message-headers", "message-id", "Message-Id", "attachment-count", "body-plain", "h", "X-Mailgun-Sid",
    }
)
# fmt: on

check_secret = signatures.check_text_secret


def verify(delivery: Delivery, source: Source) -> None:
    try:
        body = read_body(delivery)
    except InvalidInput as error:
        raise NotVerified from error
    tokens = list(_signed_tokens(body, delivery, source))
    event = member(body, "event-data")
    content = text(event, "id") or json.dumps(event, sort_keys=True)
    admitted = [_seen.admits(f"{source.id} {token}", content, delivery.received_at) for token in tokens]
    if not admitted or not all(admitted):
        raise NotVerified


def read_body(delivery: Delivery) -> Json:
    """The body as Mailgun sends it today, whichever way it came."""
    if delivery.body.lstrip().startswith(b"{"):
        return parse_json(delivery.body)
    return _of_form(parse_form(delivery.body))


def elements(body: Json) -> Sequence[Json]:
    if not isinstance(body, dict) or not isinstance(body.get("event-data"), dict):
        raise InvalidInput("the body must be a JSON object with event-data", code="not_json")
    return [body]


def translate(element: Mapping[str, Json], delivery: Delivery, source: Source) -> Element:  # noqa: ARG001
    event = member(element, "event-data")
    native_type = _native_type(event)
    mapped = source.event_names.get(native_type)
    event_type = mapped or _TYPES.get(native_type)
    element_id = text(event, "id") or derived_id(NAME, text(element, "signature", "token"))
    if event_type is None:
        return Parked("unknown_type", f"Mailgun event {native_type[:80]}", element_id)
    draft = Draft(
        id=element_id,
        type=event_type,
        native_type=native_type,
        lead=LeadNames(email=_email(event)),
        occurred_at=platform_time(member(event, "timestamp")),
        properties=_properties(event, native_type),
    )
    return Translated(draft, ignored=mapped is None and native_type in _IGNORED)


def _signed_tokens(body: Json, delivery: Delivery, source: Source) -> Iterator[str]:
    """The tokens of the blocks that are signed; a subaccount's calls bring its parent's too."""
    keys = [secret.encode() for secret in source.live_secrets(delivery.received_at)]
    oldest = timedelta(seconds=source.tolerance_seconds) if source.tolerance_seconds else _OLDEST_BLOCK
    for name in _BLOCKS:
        timestamp, token = text(body, name, "timestamp"), text(body, name, "token")
        if timestamp is None or token is None:
            continue
        try:
            signatures.require_fresh(timestamp, delivery.received_at, tolerance=oldest)
            signature = signatures.from_hex(text(body, name, "signature") or "")
            signatures.require_hmac((timestamp + token).encode(), [signature], keys=keys)
        except (NotVerified, UnicodeEncodeError):
            continue
        yield token


def _of_form(form: Form) -> Json:
    """Variables of the customer's may repeat any name: before Mailgun's own fields in the signature's, behind
    them in all others.
    """
    custom = {name: value for name, value in form.fields if name not in _RESERVED}
    event = given(
        event=form.first("event"),
        recipient=form.first("recipient"),
        timestamp=form.last("timestamp"),
        id=form.last("token"),
        url=form.first("url"),
        reason=form.first("reason") or form.first("error"),
        tags=[*form.all("tag")],
    )
    code = form.first("code")
    status: dict[str, Json] = (
        {"code": int(code)} if code and code.isascii() and code.isdecimal() and len(code) < 9 else {}
    )
    block = {name: form.last(name) for name in ("timestamp", "token", "signature")}
    return {
        "signature": dict(block),
        "event-data": {**event, "delivery-status": status, "user-variables": dict(custom)},
    }


def _native_type(event: Json) -> str:
    """A failure is a bounce or a delay by its severity alone."""
    name, severity = text(event, "event") or "", text(event, "severity")
    return f"{name}/{severity}" if name == "failed" and severity else name


def _email(event: Json) -> str | None:
    """What was rejected has no recipient but in the headers of the message."""
    recipient, to = text(event, "recipient"), text(event, "message", "headers", "to")
    return recipient or (to if to and looks_like_email(to) else None)


def _properties(event: Json, native_type: str) -> dict[str, Json]:
    return given(
        url=text(event, "url"),
        subject=text(event, "message", "headers", "subject"),
        message_id=text(event, "message", "headers", "message-id"),
        reason=text(event, "reason") or text(event, "reject", "reason"),
        code=member(event, "delivery-status", "code"),
        bounce_class=_BOUNCE_CLASSES.get(native_type),
        campaign_tags=list(items(member(event, "tags"))) or None,
        # Mailgun names the privacy service or scanner that opened or clicked in a person's place.
        machine=True if text(event, "client-info", "bot") else None,
        custom=dict(members(member(event, "user-variables"))) or None,
    )
