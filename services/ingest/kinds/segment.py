"""Segment webhooks, signed by HMAC-SHA1. Of a batch Segment signs the first element alone.

So whoever has seen one signed element can add others to it: use batches only over HTTPS, with a URL that
is kept to oneself.
"""

from collections.abc import Mapping

from services.ingest.domain.draft import Draft, is_event_type
from services.ingest.domain.identity import LeadNames, looks_like_email
from services.ingest.domain.json_text import first_element
from services.ingest.domain.times import platform_time
from services.ingest.kinds import signatures
from services.ingest.kinds.kind import Delivery, Element, Parked, Source, Translated
from services.ingest.kinds.reading import derived_id, given, member, members, objects_of, text, zone_of
from shared.events.json import Json

NAME = "segment"
NEEDS_PUBLIC_URL = False

_SYSTEM = "segment"
_TYPES: Mapping[str, str] = {
    "page": "page_viewed",
    "screen": "page_viewed",
    "identify": "contact_updated",
    "group": "contact_updated",
    "alias": "contact_merged",
    "delete": "contact_deleted",
}
_IGNORED = frozenset({"identify", "group", "alias"})
_COMPANY_TRAITS: Mapping[str, str] = {"name": "company", "employees": "employees", "industry": "industry"}

check_secret = signatures.check_text_secret
elements = objects_of


def verify(delivery: Delivery, source: Source) -> None:
    signature = signatures.from_hex(signatures.header(delivery, "x-signature"))
    signed = first_element(delivery.body) or delivery.body
    keys = [secret.encode() for secret in source.live_secrets(delivery.received_at)]
    signatures.require_hmac(signed, [signature], keys=keys, algorithm="sha1")


def translate(element: Mapping[str, Json], delivery: Delivery, source: Source) -> Element:  # noqa: ARG001
    call, name = text(element, "type") or "", text(element, "event") or ""
    native_type = f"track:{name}" if call == "track" else call
    event_type = _event_type(call, name, source)
    element_id = _id(element, call, name)
    if event_type is None:
        return Parked("unknown_type", f"map the name {native_type[:80]} in the source's event_names", element_id)
    draft = Draft(
        id=element_id,
        type=event_type,
        native_type=native_type,
        lead=_lead(element, call),
        occurred_at=platform_time(element.get("timestamp"), unit="ms", zone=zone_of(source)),
        properties=_properties(element, call, name),
        attributes=_attributes(element, call),
    )
    return Translated(draft, ignored=call in _IGNORED)


def _event_type(call: str, name: str, source: Source) -> str | None:
    if call != "track":
        return _TYPES.get(call)
    return source.event_names.get(name) or (name if is_event_type(name) else None)


def _id(element: Mapping[str, Json], call: str, name: str) -> str:
    subject = text(element, "userId") or text(element, "anonymousId")
    return text(element, "messageId") or derived_id("segment", call, subject, text(element, "timestamp"), name)


def _lead(element: Mapping[str, Json], call: str) -> LeadNames:
    user = text(element, "userId")
    email = text(element, "traits", "email") or text(element, "context", "traits", "email")
    if email is None and user is not None and looks_like_email(user):
        email = user
    # An alias says that two ids are one person.
    other = text(element, "previousId") if call == "alias" else text(element, "anonymousId")
    return LeadNames(email=email, external_ids={_SYSTEM: user} if user is not None else {}, anonymous_id=other)


def _properties(element: Mapping[str, Json], call: str, name: str) -> dict[str, Json]:
    own = dict(members(element.get("properties")))
    extra = given(
        event=name or None,
        name=text(element, "name"),
        path=member(element, "context", "page", "path"),
        url=member(element, "context", "page", "url"),
        group_id=text(element, "groupId"),
        privacy=True if call == "delete" else None,
    )
    return {**extra, **own}


def _attributes(element: Mapping[str, Json], call: str) -> dict[str, Json]:
    """Traits are facts about the lead; those of a group are facts about its company."""
    traits = members(element.get("traits"))
    if call == "group":
        return {ours: traits[theirs] for theirs, ours in _COMPANY_TRAITS.items() if theirs in traits}
    if call != "identify":
        return {}
    return {name: value for name, value in traits.items() if name != "email"}
