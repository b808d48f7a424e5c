"""HubSpot webhooks, signed by version 1, 2 or 3. Elements carry no address, only the contact's id.

Several signatures may come together. Where version 3 is among them it alone counts, because the others cover
no time: a request that brings only those can be replayed, which the ids of its elements make harmless.
"""

import hmac
import re
from collections.abc import Mapping
from hashlib import sha256

from services.ingest.domain.draft import Draft
from services.ingest.domain.identity import LeadNames, looks_like_email
from services.ingest.domain.times import platform_time
from services.ingest.kinds import signatures
from services.ingest.kinds.kind import Delivery, Element, NotVerified, Parked, Source, Translated
from services.ingest.kinds.reading import derived_id, given, objects_of, text
from shared.events.json import Json

NAME = "hubspot"
NEEDS_PUBLIC_URL = True

_CONTACT_TYPE_ID = "0-1"
# HubSpot signs the URL with these decoded.
_DECODED_IN_URL = re.compile(r"%(3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)", re.IGNORECASE)

_TYPES: Mapping[str, str] = {
    "creation": "contact_created",
    "deletion": "contact_deleted",
    "privacyDeletion": "contact_deleted",
    "merge": "contact_merged",
}
# Only "the latest" of each is ever told, so several between two updates count as one.
_TYPES_OF_PROPERTIES: Mapping[str, str] = {
    "hs_email_last_open_date": "email_opened",
    "hs_email_last_click_date": "email_clicked",
    "hs_email_bounce": "bounced",
    "recent_conversion_date": "form_submitted",
    "engagements_last_meeting_booked": "meeting_booked",
}

check_secret = signatures.check_text_secret
elements = objects_of


def verify(delivery: Delivery, source: Source) -> None:
    if "x-hubspot-signature-v3" in delivery.headers:
        _verify_v3(delivery, source)
    else:
        _verify_plain(delivery, source)


def _verify_v3(delivery: Delivery, source: Source) -> None:
    timestamp = signatures.header(delivery, "x-hubspot-request-timestamp")
    signature = signatures.from_base64(signatures.header(delivery, "x-hubspot-signature-v3"))
    signatures.require_fresh(timestamp, delivery.received_at, per_second=1000)
    if source.public_url is None:
        raise NotVerified
    signed = f"{delivery.method}{signed_url(source.public_url)}".encode() + delivery.body + timestamp.encode()
    keys = [secret.encode() for secret in source.live_secrets(delivery.received_at)]
    signatures.require_hmac(signed, [signature], keys=keys)


def _verify_plain(delivery: Delivery, source: Source) -> None:
    """Versions 1 and 2: a SHA-256 that begins with the secret, which is no HMAC."""
    signature = signatures.from_hex(signatures.header(delivery, "x-hubspot-signature"))
    version = signatures.header(delivery, "x-hubspot-signature-version").lower()
    if version not in {"v1", "v2"} or source.public_url is None:
        raise NotVerified
    called = f"{delivery.method}{source.public_url}" if version == "v2" else ""
    secrets = source.live_secrets(delivery.received_at)
    digests = [sha256(f"{secret}{called}".encode() + delivery.body).digest() for secret in secrets]
    matches = [hmac.compare_digest(digest, signature) for digest in digests]
    if not any(matches):
        raise NotVerified


def signed_url(url: str) -> str:
    """The URL as HubSpot signs it."""
    return _DECODED_IN_URL.sub(lambda match: chr(int(match[1], 16)), url)


def translate(element: Mapping[str, Json], delivery: Delivery, source: Source) -> Element:  # noqa: ARG001
    kind, _, action = (text(element, "subscriptionType") or "").partition(".")
    element_id = derived_id(
        *(text(element, part) for part in ("portalId", "subscriptionId", "eventId", "occurredAt", "objectId")),
        text(element, "propertyName"),
    )
    native_type = _native_type(element, f"{kind}.{action}")
    event_type, ignored = _event_type(element, action, source.event_names.get(native_type))
    if event_type is None:
        return Parked("unknown_type", f"HubSpot type {native_type[:80]}", element_id)
    if kind != "contact" and text(element, "objectTypeId") != _CONTACT_TYPE_ID:
        return Parked("no_identity", "the object is not a contact", element_id)
    draft = Draft(
        id=element_id,
        type=event_type,
        native_type=native_type,
        lead=_lead(element),
        occurred_at=platform_time(element.get("occurredAt"), unit="ms"),
        properties=_properties(element, action),
        attributes=_attributes(element),
    )
    return Translated(draft, ignored=ignored)


def _native_type(element: Mapping[str, Json], subscription: str) -> str:
    name = text(element, "propertyName")
    return f"{subscription}:{name}" if name else subscription


def _event_type(element: Mapping[str, Json], action: str, mapped: str | None) -> tuple[str | None, bool]:
    """(engagement type or None, whether it is ignored)."""
    if mapped is not None:
        return mapped, False
    if action != "propertyChange":
        known = _TYPES.get(action)
        return (known, False) if known else (("contact_updated", True) if action == "restore" else (None, False))
    name, value = text(element, "propertyName") or "", text(element, "propertyValue")
    if name == "hs_email_optout" and value is not None:
        return ("unsubscribed", False) if value == "true" else ("subscribed", False)
    if name in _TYPES_OF_PROPERTIES and value not in {None, "0"}:
        return _TYPES_OF_PROPERTIES[name], False
    return "contact_updated", True


def _lead(element: Mapping[str, Json]) -> LeadNames:
    """The contact's id, which is unique within its portal alone; its address when that is what changed."""
    contact = text(element, "objectId")
    system = f"hubspot:{text(element, 'portalId') or 'unknown'}:contact"
    value = text(element, "propertyValue") or ""
    is_address = text(element, "propertyName") == "email" and looks_like_email(value)
    return LeadNames(
        email=value if is_address else None, external_ids={system: contact} if contact is not None else {}
    )


def _properties(element: Mapping[str, Json], action: str) -> dict[str, Json]:
    return given(
        change_source=text(element, "changeSource"),
        portal_id=text(element, "portalId"),
        property=text(element, "propertyName"),
        value=text(element, "propertyValue"),
        privacy=True if action == "privacyDeletion" else None,
    )


def _attributes(element: Mapping[str, Json]) -> dict[str, Json]:
    """A changed property is a fact about the lead, under HubSpot's name for it."""
    name, value = text(element, "propertyName"), text(element, "propertyValue")
    if name is None or value is None or name in {*_TYPES_OF_PROPERTIES, "email"}:
        return {}
    return {name: value}
