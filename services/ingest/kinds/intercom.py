"""Intercom notifications: a topic, and an item that is a contact, holds one, or names one.

Intercom writes times as seconds and as ISO texts in one payload, and "" for an address it does not know.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from services.ingest.domain.draft import Draft
from services.ingest.domain.identity import LeadNames
from services.ingest.domain.times import platform_time
from services.ingest.kinds import signatures
from services.ingest.kinds.kind import Delivery, Element, NotVerified, Parked, Source, Translated
from services.ingest.kinds.reading import derived_id, given, items, lead_of, member, members, one_object, text
from shared.events.json import Json

NAME = "intercom"
NEEDS_PUBLIC_URL = False

_SYSTEM = "intercom"
_PREFIX = "sha1="
_PING = "ping"
_EVENT = "event.created"
_STARTED = "conversation.user.created"
_TYPES: Mapping[str, str] = {
    "contact.archived": "contact_updated",
    "contact.deleted": "contact_deleted",
    "contact.email.updated": "email_changed",
    "contact.lead.added_email": "contact_updated",
    "contact.lead.created": "contact_created",
    "contact.lead.signed_up": "contact_updated",
    "contact.lead.updated": "contact_updated",
    "contact.merged": "contact_merged",
    "contact.subscribed": "subscribed",
    "contact.unsubscribed": "unsubscribed",
    "contact.user.created": "contact_created",
    "contact.user.updated": "contact_updated",
    "conversation.user.created": "conversation_started",
    "conversation.user.replied": "conversation_replied",
}
_IGNORED = frozenset({"contact_updated"})

check_secret = signatures.check_text_secret


def verify(delivery: Delivery, source: Source) -> None:
    signature = signatures.header(delivery, "x-hub-signature")
    if not signature.startswith(_PREFIX):
        raise NotVerified
    given_digest = signatures.from_hex(signature.removeprefix(_PREFIX))
    keys = [secret.encode() for secret in source.live_secrets(delivery.received_at)]
    signatures.require_hmac(delivery.body, [given_digest], keys=keys, algorithm="sha1")


def elements(body: Json) -> Sequence[Json]:
    """A ping, which Intercom sends before it saves a URL, has nothing to tell."""
    notifications = one_object(body)
    return [] if text(body, "topic") == _PING else notifications


def translate(element: Mapping[str, Json], delivery: Delivery, source: Source) -> Element:  # noqa: ARG001
    topic = text(element, "topic") or ""
    item = member(element, "data", "item")
    name = text(item, "event_name") if topic == _EVENT else None
    native_type = f"{topic}:{name}" if name else topic
    mapped = source.event_names.get(native_type) or source.event_names.get(name or topic)
    event_type = mapped or _TYPES.get(topic)
    element_id = text(element, "id") or derived_id("intercom", native_type, text(item, "id"), _time_text(element))
    if event_type is None:
        return Parked("unknown_type", f"map the name {native_type[:80]} in the source's event_names", element_id)
    draft = Draft(
        id=element_id,
        type=event_type,
        native_type=native_type,
        lead=_lead(item),
        occurred_at=_occurred_at(element, topic),
        properties=_properties(item, name),
        attributes=_attributes(_person(item), topic),
    )
    return Translated(draft, ignored=mapped is None and event_type in _IGNORED)


def _time_text(element: Mapping[str, Json]) -> str | None:
    return text(element, "data", "item", "created_at") or text(element, "created_at")


def _occurred_at(element: Mapping[str, Json], topic: str) -> datetime | None:
    """The item's time where the item is what happened; a contact's own time is when it was created."""
    item = member(element, "data", "item")
    happened = topic in {_EVENT, _STARTED} or isinstance(member(item, "contact"), dict)
    own = platform_time(member(item, "created_at")) if happened else None
    return own or platform_time(element.get("created_at"))


def _person(item: Json) -> Json:
    """The contact of an item: itself, or what its kind calls the contact."""
    contacts = items(member(item, "contacts", "contacts"))
    within = (member(item, "contact"), member(item, "user"), *contacts[:1], _author(item))
    return next((one for one in within if isinstance(one, dict)), item if _is_contact(item) else None)


def _is_contact(item: Json) -> bool:
    return text(item, "type") in {"contact", "user", "lead"}


def _author(item: Json) -> Json:
    """Whoever began a conversation, unless that was the team."""
    author = member(item, "source", "author")
    return author if _is_contact(author) else None


def _lead(item: Json) -> LeadNames:
    person = _person(item)
    emails = (text(person, "email"), text(_author(item), "email"), text(item, "email"))
    return lead_of(emails, {_SYSTEM: text(person, "id") or text(item, "intercom_user_id")})


def _properties(item: Json, name: str | None) -> dict[str, Json]:
    own = members(member(item, "metadata")) if name else {}
    return {**own, **given(event=name, conversation_id=_conversation(item))}


def _conversation(item: Json) -> str | None:
    return text(item, "id") if text(item, "type") == "conversation" else None


def _attributes(person: Json, topic: str) -> dict[str, Json]:
    """Facts about a contact, from topics that are about contacts."""
    if not topic.startswith("contact."):
        return {}
    own = members(member(person, "custom_attributes"))
    location = member(person, "location")
    return {**own, **given(name=text(person, "name"), role=text(person, "role"), country=text(location, "country"))}
