"""SendGrid event webhooks, signed by ECDSA: the "secret" is the verification key, which is public."""

from collections.abc import Mapping

from services.ingest.domain.draft import Draft
from services.ingest.domain.identity import LeadNames
from services.ingest.domain.times import platform_time
from services.ingest.kinds import signatures
from services.ingest.kinds.kind import Delivery, Element, NotVerified, Parked, Source, Translated
from services.ingest.kinds.reading import derived_id, given, objects_of, text
from shared.events.json import Json

NAME = "sendgrid"
NEEDS_PUBLIC_URL = False

_TYPES: Mapping[str, str] = {
    "processed": "email_sent",
    "delivered": "email_delivered",
    "deferred": "email_deferred",
    "dropped": "email_dropped",
    "bounce": "bounced",
    "open": "email_opened",
    "click": "email_clicked",
    "spamreport": "spam_complaint",
    "unsubscribe": "unsubscribed",
    "group_unsubscribe": "unsubscribed",
    "group_resubscribe": "subscribed",
}
_IGNORED = frozenset({"processed", "delivered", "deferred"})
_BOUNCE_CLASSES: Mapping[str, str] = {"bounce": "hard", "blocked": "block"}
# Whatever else stands beside these is an argument of the customer's own.
# fmt: off
_RESERVED = frozenset(
    {
        "email", "timestamp", "event", "type", "smtp-id", "category", "sg_event_id", "sg_message_id",
        "sg_machine_open", "sg_content_type", "sg_template_id", "sg_template_name", "reason", "status",
        "response", "attempt", "useragent", "ip", "tls", "cert_err", "url", "url_offset", "asm_group_id",
        "unique_args", "newsletter", "pool", "send_at", "bounce_classification", "marketing_campaign_id",
        "marketing_campaign_name", "marketing_campaign_version", "marketing_campaign_split_id",
        "singlesend_id", "singlesend_name", "template_id", "template_hash", "phase_id",
    }
)
# fmt: on

elements = objects_of


def check_secret(secret: str) -> None:
    signatures.p256_key(secret)


def verify(delivery: Delivery, source: Source) -> None:
    timestamp = signatures.header(delivery, "x-twilio-email-event-webhook-timestamp")
    signature = signatures.from_base64(signatures.header(delivery, "x-twilio-email-event-webhook-signature"))
    signatures.require_fresh(timestamp, delivery.received_at)
    signed = timestamp.encode() + delivery.body
    keys = [signatures.p256_key(secret) for secret in source.live_secrets(delivery.received_at)]
    if not any(signatures.p256_signed(key, signature, signed) for key in keys):
        raise NotVerified


def translate(element: Mapping[str, Json], delivery: Delivery, source: Source) -> Element:  # noqa: ARG001
    native_type = text(element, "event") or ""
    event_type = source.event_names.get(native_type) or _TYPES.get(native_type)
    element_id = _id(element)
    if event_type is None:
        return Parked("unknown_type", f"SendGrid event {native_type[:80]}", element_id)
    draft = Draft(
        id=element_id,
        type=event_type,
        native_type=native_type,
        lead=LeadNames(email=text(element, "email")),
        occurred_at=platform_time(element.get("timestamp")),
        properties=_properties(element, native_type),
    )
    return Translated(draft, ignored=native_type in _IGNORED and native_type not in source.event_names)


def _id(element: Mapping[str, Json]) -> str:
    """SendGrid's id of the event; old integrations and tests lack it."""
    parts = ("email", "event", "timestamp", "sg_message_id", "url")
    return text(element, "sg_event_id") or derived_id(*(text(element, part) for part in parts))


def _properties(element: Mapping[str, Json], native_type: str) -> dict[str, Json]:
    custom = {name: value for name, value in element.items() if name not in _RESERVED}
    return given(
        url=text(element, "url"),
        reason=text(element, "reason"),
        status=text(element, "status"),
        message_id=text(element, "sg_message_id"),
        category=element.get("category"),
        bounce_class=_BOUNCE_CLASSES.get(text(element, "type") or "bounce") if native_type == "bounce" else None,
        # Mail privacy services open everything: models can tell these from people.
        machine=True if element.get("sg_machine_open") is True else None,
        scope=_scope(element, native_type),
        campaign=text(element, "marketing_campaign_name") or text(element, "singlesend_name"),
        custom=custom or None,
    )


def _scope(element: Mapping[str, Json], native_type: str) -> str | None:
    """What an unsubscription is from: everything, or one group of mailings."""
    if native_type == "unsubscribe":
        return "global"
    group = text(element, "asm_group_id")
    return f"group:{group}" if group is not None and native_type.startswith("group_") else None
