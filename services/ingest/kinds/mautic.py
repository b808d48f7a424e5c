"""Mautic webhooks: one object whose names are event types, each with a list of what happened.

Mautic forgets a delivery at any HTTP answer, whatever its status; only a lost connection makes its queue send
it again (in its queue mode: the immediate mode never repeats anything). So trouble of ours must not look like
an answer, which TRAITS ask for.
"""

from collections.abc import Iterator, Mapping, Sequence

from services.ingest.domain.draft import Draft
from services.ingest.domain.identity import LeadNames
from services.ingest.domain.times import platform_time
from services.ingest.kinds import signatures
from services.ingest.kinds.kind import Delivery, Element, Parked, Source, Traits, Translated
from services.ingest.kinds.reading import derived_id, given, member, members, text, zone_of
from shared.errors import InvalidInput
from shared.events.json import Json

NAME = "mautic"
NEEDS_PUBLIC_URL = False
# In its immediate mode Mautic repeats nothing, so a hiccup of the log is waited out first.
TRAITS = Traits(accepted_status=200, any_answer_ends_it=True, comes_once=True)

_PREFIX = "mautic."
_SUBSCRIPTION = "mautic.lead_channel_subscription_changed"
_TYPES: Mapping[str, str] = {
    "mautic.page_on_hit": "page_viewed",
    "mautic.email_on_open": "email_opened",
    "mautic.email_on_send": "email_sent",
    "mautic.form_on_submit": "form_submitted",
    "mautic.lead_post_save_new": "contact_created",
    "mautic.lead_post_save_update": "contact_updated",
    "mautic.lead_points_change": "contact_updated",
    "mautic.lead_list_change": "contact_updated",
    "mautic.lead_post_delete": "contact_deleted",
}
_IGNORED = frozenset({"email_sent", "contact_updated"})
_SUBSCRIPTIONS: Mapping[str, str] = {
    "unsubscribed": "unsubscribed",
    "manual": "unsubscribed",
    "bounced": "bounced",
    "contactable": "subscribed",
}
# Where an item holds what it is about, and where that says when it happened.
_PARTS = ("hit", "stat", "submission")
_TIMES = (("hit", "dateHit"), ("stat", "lastOpened"), ("stat", "dateRead"), ("submission", "dateSubmitted"))
_PERSONAL_FIELDS = frozenset({"email", "phone", "mobile", "fax", "address1", "address2"})

check_secret = signatures.check_text_secret


def verify(delivery: Delivery, source: Source) -> None:
    signature = signatures.from_base64(signatures.header(delivery, "webhook-signature"))
    keys = [secret.encode() for secret in source.live_secrets(delivery.received_at)]
    signatures.require_hmac(delivery.body, [signature], keys=keys)


def elements(body: Json) -> Sequence[Json]:
    """Each item together with the event type that it stood under."""
    if not isinstance(body, dict):
        raise InvalidInput("the body must be a JSON object", code="not_json")
    return [{"event": name, "item": item} for name, item in _named_items(body)]


def translate(element: Mapping[str, Json], delivery: Delivery, source: Source) -> Element:  # noqa: ARG001
    native_type, item = text(element, "event") or "", member(element, "item")
    if not isinstance(item, dict):
        raise InvalidInput("an item must be a JSON object", code="invalid_value", field=native_type[:64])
    mapped = source.event_names.get(native_type)
    event_type = mapped or _event_type(native_type, item)
    element_id = _id(native_type, item)
    if event_type is None:
        return Parked("unknown_type", f"Mautic event {native_type[:80]}", element_id)
    times = (platform_time(member(item, *path), zone=zone_of(source)) for path in (*_TIMES, ("timestamp",)))
    draft = Draft(
        id=element_id,
        type=event_type,
        native_type=native_type,
        lead=_lead(item),
        occurred_at=next((moment for moment in times if moment is not None), None),
        properties=_properties(item),
        attributes=_attributes(_contact(item)),
    )
    return Translated(draft, ignored=mapped is None and event_type in _IGNORED)


def _named_items(body: Mapping[str, Json]) -> Iterator[tuple[str, Json]]:
    for name, listed in body.items():
        if isinstance(listed, list):
            yield from ((name, item) for item in listed)
        elif name.startswith(_PREFIX):
            yield name, listed


def _event_type(native_type: str, item: Mapping[str, Json]) -> str | None:
    if native_type == _SUBSCRIPTION:
        return _SUBSCRIPTIONS.get(text(item, "new_status") or "")
    return _TYPES.get(native_type)


def _id(native_type: str, item: Mapping[str, Json]) -> str:
    """A submission has an id; an open has its mail's, which repeats, so the count of opens tells them apart."""
    submission = text(item, "submission", "id")
    if submission is not None:
        return f"submission:{submission}"
    hit, stat = member(item, "hit"), member(item, "stat")
    return derived_id(
        native_type,
        text(_contact(item), "id") or text(item, "company", "id"),
        *(text(hit, name) for name in ("trackingId", "url", "dateHit")),
        *(text(stat, name) for name in ("id", "openCount", "lastOpened")),
        *(text(item, name) for name in ("channel", "new_status")),
        text(item, "email", "id"),
        None if member(item, "hit") or stat else text(item, "timestamp"),
    )


def _contact(item: Mapping[str, Json]) -> Json:
    """The contact of an item, which stands in different places by type."""
    nested = (member(item, part, "lead") for part in _PARTS)
    return next(
        (found for found in (*nested, item.get("contact"), item.get("lead")) if isinstance(found, dict)), None
    )


def _lead(item: Mapping[str, Json]) -> LeadNames:
    """A visitor's cookie names a lead only while nothing better does: people share browsers."""
    contact = _contact(item)
    email = (
        text(contact, "fields", "core", "email", "value")
        or text(contact, "email")
        or text(item, "stat", "emailAddress")
    )
    own = text(contact, "id")
    cookie = text(item, "hit", "trackingId") or text(item, "submission", "trackingId")
    return LeadNames(
        email=email,
        external_ids={NAME: own} if own else {},
        anonymous_id=cookie if email is None else None,
    )


def _properties(item: Mapping[str, Json]) -> dict[str, Json]:
    return given(
        url=text(item, "hit", "url"),
        title=text(item, "hit", "urlTitle") or text(item, "hit", "page", "title"),
        referer=text(item, "hit", "referer") or text(item, "submission", "referer"),
        email_id=member(item, "stat", "email", "id") or member(item, "email", "id"),
        subject=text(item, "stat", "email", "subject") or text(item, "email", "subject"),
        open_count=member(item, "stat", "openCount"),
        form=text(item, "submission", "form", "id"),
        form_name=text(item, "submission", "form", "name"),
        channel=text(item, "channel"),
        old=text(item, "old_status"),
        new=text(item, "new_status"),
    )


def _attributes(contact: Json) -> dict[str, Json]:
    """The contact's filled fields under Mautic's names for them, and its own points."""
    names = (text(contact, "fields", "core", name, "value") for name in ("firstname", "lastname"))
    fields = {
        alias: member(entry, "value")
        for group in members(member(contact, "fields")).values()
        for alias, entry in members(group).items()
        if alias not in _PERSONAL_FIELDS
    }
    return given(**{**fields, "name": " ".join(filter(None, names)), "mautic_points": member(contact, "points")})
