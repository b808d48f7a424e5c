"""Klaviyo system webhooks: batches of events by topic, signed over the body and then the time.

Often only the profile's id tells whose an event is. The webhooks of flows are another product, without a
signature and shaped by the customer: those are not for this kind.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from services.ingest.domain.draft import Draft
from services.ingest.domain.identity import LeadNames
from services.ingest.domain.times import platform_time
from services.ingest.kinds import signatures
from services.ingest.kinds.kind import Delivery, Element, NotVerified, Parked, Source, Translated
from services.ingest.kinds.reading import derived_id, given, lead_of, member, members, text
from shared.errors import InvalidInput
from shared.events.json import Json, parse_json

NAME = "klaviyo"
NEEDS_PUBLIC_URL = False

_SYSTEM = "klaviyo"
_OWN_TOPICS = "event:klaviyo."
_OTHER_TOPICS = "event:api."
_SUPPRESSED = "manually_suppressed"
_TYPES: Mapping[str, str] = {
    "bounced_email": "bounced",
    "clicked_email": "email_clicked",
    "dropped_email": "email_dropped",
    "email_delivered": "email_delivered",
    "marked_email_as_spam": "spam_complaint",
    "opened_email": "email_opened",
    "received_email": "email_delivered",
    "subscribed_to_email_marketing": "subscribed",
    "unsubscribed_from_email_marketing": "unsubscribed",
}
_IGNORED = frozenset({"email_delivered"})
_ADDRESSES = ("email_address", "Recipient Email Address", "email", "$email")
_MACHINE = ("machine_open", "Machine Open", "Apple Privacy Open", "Bot Click")
_TRUE: tuple[Json, ...] = (True, "true", "True")

check_secret = signatures.check_text_secret


def verify(delivery: Delivery, source: Source) -> None:
    timestamp = signatures.header(delivery, "klaviyo-timestamp")
    signature = signatures.from_hex(signatures.header(delivery, "klaviyo-signature"))
    webhook_id = signatures.header(delivery, "klaviyo-webhook-id")
    signatures.require_recent(_sent_at(timestamp), delivery.received_at)
    keys = [secret.encode() for secret in source.live_secrets(delivery.received_at)]
    signatures.require_hmac(delivery.body + timestamp.encode(), [signature], keys=keys)
    _require_same_webhook(delivery.body, webhook_id)


def elements(body: Json) -> Sequence[Json]:
    events = member(body, "data") if isinstance(body, dict) else None
    if not isinstance(events, list):
        raise InvalidInput("the body must be a JSON object with a list in data", code="not_json")
    return events


def translate(element: Mapping[str, Json], delivery: Delivery, source: Source) -> Element:  # noqa: ARG001
    topic = text(element, "topic") or ""
    event = member(element, "payload", "data")
    mapped = _mapped(topic, source)
    event_type = mapped or _own_type(topic)
    element_id = _id(element, topic)
    if event_type is None:
        return Parked("unknown_type", f"Klaviyo topic {topic[:80]}", element_id)
    draft = Draft(
        id=element_id,
        type=event_type,
        native_type=topic,
        lead=_lead(event),
        occurred_at=_occurred_at(event),
        properties=_properties(event, topic, event_type),
    )
    return Translated(draft, ignored=mapped is None and event_type in _IGNORED)


def _sent_at(timestamp: str) -> datetime:
    try:
        sent_at = parsedate_to_datetime(timestamp)
        return sent_at if sent_at.tzinfo else sent_at.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise NotVerified from error


def _require_same_webhook(verified_body: bytes, webhook_id: str) -> None:
    """The header is not signed, so it counts for nothing where the signed body says otherwise."""
    try:
        told = text(parse_json(verified_body), "meta", "klaviyo_webhook_id")
    except InvalidInput:
        return
    if told is not None and told != webhook_id:
        raise NotVerified


def _mapped(topic: str, source: Source) -> str | None:
    """By the whole topic, or by the name that the customer gave the metric."""
    return source.event_names.get(topic) or source.event_names.get(topic.removeprefix(_OTHER_TOPICS))


def _own_type(topic: str) -> str | None:
    if not topic.startswith(_OWN_TOPICS):
        return None
    name = topic.removeprefix(_OWN_TOPICS)
    return "unsubscribed" if name.startswith(_SUPPRESSED) else _TYPES.get(name)


def _id(element: Mapping[str, Json], topic: str) -> str:
    event = member(element, "payload", "data")
    own = text(element, "external_id") or text(event, "id")
    return own or derived_id("klaviyo", topic, _profile(event), text(event, "attributes", "timestamp"))


def _profile(event: Json) -> str | None:
    return text(event, "relationships", "profile", "data", "id")


def _lead(event: Json) -> LeadNames:
    facts = member(event, "attributes", "event_properties")
    return lead_of((text(facts, name) for name in _ADDRESSES), {_SYSTEM: _profile(event)})


def _occurred_at(event: Json) -> datetime | None:
    attributes = member(event, "attributes")
    return platform_time(member(attributes, "timestamp")) or platform_time(member(attributes, "datetime"))


def _properties(event: Json, topic: str, event_type: str) -> dict[str, Json]:
    facts = members(member(event, "attributes", "event_properties"))
    if topic.startswith(_OTHER_TOPICS):
        return {name: value for name, value in facts.items() if name not in _ADDRESSES}
    return given(
        url=text(facts, "URL"),
        subject=text(facts, "Subject"),
        campaign=text(facts, "Campaign Name"),
        message_id=text(facts, "$message"),
        method=text(facts, "method"),
        bounce_class=_bounce_class(facts) if event_type == "bounced" else None,
        machine=True if any(facts.get(name) in _TRUE for name in _MACHINE) else None,
    )


def _bounce_class(facts: Mapping[str, Json]) -> str:
    return "soft" if "soft" in (text(facts, "Bounce Type") or "").lower() else "hard"
