"""Brevo webhooks, transactional and marketing: one object, or an array of them when batched; no signature.

Of its many times only `ts_epoch` is right for transactional events, in milliseconds or seconds; `ts_event` is
shifted there by the account's zone, and right for marketing events.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from services.ingest.domain.draft import Draft
from services.ingest.domain.identity import LeadNames
from services.ingest.domain.times import platform_time
from services.ingest.kinds import tokens
from services.ingest.kinds.kind import Delivery, Element, Parked, Source, Translated
from services.ingest.kinds.reading import derived_id, given, items, members, objects_of, text, zone_of
from shared.events.json import Json

NAME = "brevo"
NEEDS_PUBLIC_URL = False

# Twelve digits are milliseconds since March 1973, and would be seconds beyond the year 5138.
_LONGEST_SECONDS = 11
_EPOCHS = ("ts_epoch", "s_epoch")
_SHIFTED = ("ts_event", "ts")
_DATES = ("date_event", "date")
_TYPES: Mapping[str, str] = {
    "blocked": "email_dropped",
    "click": "email_clicked",
    "complaint": "spam_complaint",
    "contact_deleted": "contact_deleted",
    "contact_updated": "contact_updated",
    "deferred": "email_deferred",
    "delivered": "email_delivered",
    "error": "email_dropped",
    "hard_bounce": "bounced",
    "invalid_email": "email_dropped",
    "list_addition": "subscribed",
    "opened": "email_opened",
    "proxy_open": "email_opened",
    "request": "email_sent",
    "soft_bounce": "bounced",
    "spam": "spam_complaint",
    "unique_opened": "email_opened",
    "unique_proxy_open": "email_opened",
    "unsubscribe": "unsubscribed",
    "unsubscribed": "unsubscribed",
}
_IGNORED = frozenset({"contact_updated", "email_deferred", "email_delivered", "email_sent"})
_BOUNCE_CLASSES: Mapping[str, str] = {"hard_bounce": "hard", "soft_bounce": "soft"}
_MACHINE = frozenset({"proxy_open", "unique_proxy_open"})
_FIRST = frozenset({"unique_opened", "unique_proxy_open"})

check_secret = tokens.check_secret
verify = tokens.verify
elements = objects_of


def translate(
    element: Mapping[str, Json],
    delivery: Delivery,  # noqa: ARG001
    source: Source,
) -> Element | Sequence[Element]:
    native_type = text(element, "event") or ""
    mapped = source.event_names.get(native_type)
    event_type = mapped or _TYPES.get(native_type)
    addresses = _addresses(element)
    if event_type is None:
        return Parked("unknown_type", f"Brevo event {native_type[:80]}", _id(element, ",".join(addresses)))
    if native_type == "list_addition" and len(addresses) > 1 and mapped is None:
        message = "several addresses were put on a list at once: map list_addition if that is their own doing"
        return Parked("unknown_type", message, _id(element, ",".join(addresses)))
    ignored = mapped is None and event_type in _IGNORED
    return [Translated(_draft(element, one, event_type, source), ignored) for one in addresses or [""]]


def _draft(element: Mapping[str, Json], address: str, event_type: str, source: Source) -> Draft:
    native_type = text(element, "event") or ""
    return Draft(
        id=_id(element, address),
        type=event_type,
        native_type=native_type,
        lead=LeadNames(email=address or None),
        occurred_at=_occurred_at(element, source),
        properties=_properties(element, native_type),
        attributes=_attributes(element),
    )


def _addresses(element: Mapping[str, Json]) -> list[str]:
    """Events about contacts may list several, each of which is a lead."""
    several = items(element.get("email"))
    told = [text(one) for one in several] if several else [text(element, "email")]
    return list(dict.fromkeys(one for one in told if one))


def _id(element: Mapping[str, Json], address: str) -> str:
    """`id` is that of the webhook, and the same for every event."""
    moment = next((text(element, name) for name in (*_EPOCHS, *_SHIFTED, *_DATES) if text(element, name)), None)
    return derived_id(
        "brevo",
        text(element, "event"),
        text(element, "message-id") or text(element, "camp_id"),
        address,
        moment,
        text(element, "link"),
        ",".join(_lists(element)),
    )


def _lists(element: Mapping[str, Json]) -> list[str]:
    told = element.get("list_id")
    ids = [text(one) for one in (items(told) or [told])]
    return [one for one in ids if one is not None]


def _occurred_at(element: Mapping[str, Json], source: Source) -> datetime | None:
    shifted = (_epoch(element.get(name)) for name in _SHIFTED)
    dates = (platform_time(element.get(name), zone=zone_of(source)) for name in _DATES)
    transactional = text(element, "message-id") is not None
    rest = (*dates, *shifted) if transactional else (*shifted, *dates)
    epochs = (_epoch(element.get(name)) for name in _EPOCHS)
    return next((moment for moment in (*epochs, *rest) if moment is not None), None)


def _epoch(value: Json) -> datetime | None:
    """Documented as milliseconds, and sent as seconds too."""
    if isinstance(value, str):
        digits = value if value.isascii() and value.isdecimal() else ""
        return platform_time(digits, unit="ms" if len(digits) > _LONGEST_SECONDS else "s")
    if not isinstance(value, int | float):
        return None
    return platform_time(value, unit="ms" if value >= 10**_LONGEST_SECONDS else "s")


def _properties(element: Mapping[str, Json], native_type: str) -> dict[str, Json]:
    return given(
        url=text(element, "link"),
        subject=text(element, "subject"),
        reason=text(element, "reason"),
        campaign=text(element, "campaign name") or text(element, "camp_id"),
        message_id=text(element, "message-id"),
        template_id=text(element, "template_id"),
        lists=list(_lists(element)) or None,
        tags=_tags(element),
        bounce_class=_BOUNCE_CLASSES.get(native_type),
        machine=True if native_type in _MACHINE else None,
        # Brevo can tell every opening and the first of them: whoever subscribes to both can leave one out.
        first=True if native_type in _FIRST else None,
    )


def _tags(element: Mapping[str, Json]) -> list[Json] | None:
    """`tags` is a list; `tag` is one, or a text that may hold JSON, and then `tags` stands beside it."""
    told = items(element.get("tags")) or items(element.get("tag"))
    return list(told) or ([alone] if (alone := text(element, "tag")) else None)


def _attributes(element: Mapping[str, Json]) -> dict[str, Json]:
    if text(element, "event") != "contact_updated" or isinstance(element.get("email"), list):
        return {}
    content = element.get("content")
    return members(next(iter(items(content)), content))
