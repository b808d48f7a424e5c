"""Customer.io reporting webhooks: `object_type` and `metric` say what happened.

No age of an attempt is refused: Customer.io tries for seven days, later calls wait behind a failing one, and
no window is documented. A replay has the `event_id` of the original, which the signature covers, so it counts
for nothing.
"""

from collections.abc import Mapping

from services.ingest.domain.draft import Draft
from services.ingest.domain.identity import LeadNames
from services.ingest.domain.times import platform_time
from services.ingest.kinds import signatures
from services.ingest.kinds.kind import Delivery, Element, Parked, Source, Traits, Translated
from services.ingest.kinds.reading import derived_id, given, lead_of, member, one_object, text
from shared.events.json import Json

NAME = "customerio"
NEEDS_PUBLIC_URL = False
# It waits for 4 s.
TRAITS = Traits(patience_seconds=3.0)

_SYSTEM = "customerio"
_VERSION = "v0"
_TYPES: Mapping[str, str] = {
    "customer/subscribed": "subscribed",
    "customer/unsubscribed": "unsubscribed",
    "customer/cio_subscription_preferences_changed": "contact_updated",
    "email/attempted": "email_deferred",
    "email/bounced": "bounced",
    "email/clicked": "email_clicked",
    "email/converted": "email_converted",
    "email/delivered": "email_delivered",
    "email/drafted": "email_drafted",
    "email/dropped": "email_dropped",
    "email/failed": "email_dropped",
    "email/opened": "email_opened",
    "email/sent": "email_sent",
    "email/spammed": "spam_complaint",
    "email/undeliverable": "email_dropped",
    "email/unsubscribed": "unsubscribed",
}
_IGNORED = frozenset(
    {"contact_updated", "email_converted", "email_deferred", "email_delivered", "email_drafted", "email_sent"}
)

check_secret = signatures.check_text_secret
elements = one_object


def verify(delivery: Delivery, source: Source) -> None:
    timestamp = signatures.header(delivery, "x-cio-timestamp")
    signature = signatures.from_hex(signatures.header(delivery, "x-cio-signature"))
    signed = f"{_VERSION}:{timestamp}:".encode() + delivery.body
    keys = [secret.encode() for secret in source.live_secrets(delivery.received_at)]
    signatures.require_hmac(signed, [signature], keys=keys)


def translate(element: Mapping[str, Json], delivery: Delivery, source: Source) -> Element:  # noqa: ARG001
    native_type = f"{text(element, 'object_type') or ''}/{text(element, 'metric') or ''}"
    mapped = source.event_names.get(native_type)
    event_type = mapped or _TYPES.get(native_type)
    element_id = _id(element, native_type)
    if event_type is None:
        return Parked("unknown_type", f"Customer.io event {native_type[:80]}", element_id)
    draft = Draft(
        id=element_id,
        type=event_type,
        native_type=native_type,
        lead=_lead(member(element, "data")),
        occurred_at=platform_time(element.get("timestamp")),
        properties=_properties(member(element, "data"), event_type),
    )
    return Translated(draft, ignored=mapped is None and event_type in _IGNORED)


def _id(element: Mapping[str, Json], native_type: str) -> str:
    parts = (("data", "delivery_id"), ("data", "customer_id"), ("timestamp",), ("data", "href"))
    derived = derived_id("customerio", native_type, *(text(element, *path) for path in parts))
    return text(element, "event_id") or derived


def _lead(data: Json) -> LeadNames:
    """The person's own id, which may be an address, and Customer.io's; `recipient` is a number for a text."""
    own = text(data, "identifiers", "id") or text(data, "customer_id")
    addresses = (text(data, "recipient"), text(data, "email_address"), text(data, "identifiers", "email"), own)
    return lead_of(addresses, {_SYSTEM: own, f"{_SYSTEM}:cio_id": text(data, "identifiers", "cio_id")})


def _properties(data: Json, event_type: str) -> dict[str, Json]:
    return given(
        url=text(data, "href"),
        subject=text(data, "subject"),
        reason=text(data, "failure_message"),
        delivery_id=text(data, "delivery_id"),
        campaign=_campaign(data),
        bounce_class="hard" if event_type == "bounced" else None,
        # Customer.io tells the opens and clicks of programs from those of people.
        machine=True if member(data, "machine") is True else None,
    )


def _campaign(data: Json) -> str | None:
    """What the message belongs to, such as `campaign:23`: ids of the three kinds overlap."""
    ids = ((kind, text(data, f"{kind}_id")) for kind in ("campaign", "newsletter", "broadcast"))
    return next((f"{kind}:{value}" for kind, value in ids if value), None)
