"""Mailchimp audience webhooks: forms that nothing signs, so a secret in the URL vouches for them.

Mailchimp gives its events no id and its times no zone; the id of a member is one per audience.
"""

from collections.abc import Mapping, Sequence

from services.ingest.domain.draft import Draft
from services.ingest.domain.identity import LeadNames
from services.ingest.domain.times import platform_time
from services.ingest.kinds import tokens
from services.ingest.kinds.forms import parse_form
from services.ingest.kinds.kind import Delivery, Element, Parked, Recognised, Source, Traits, Translated
from services.ingest.kinds.reading import derived_id, given, member, members, objects_of, text, zone_of
from shared.events.json import Json

NAME = "mailchimp"
NEEDS_PUBLIC_URL = False
TRAITS = Traits(accepted_status=200)

_TYPES: Mapping[str, str] = {
    "subscribe": "subscribed",
    "unsubscribe": "unsubscribed",
    "profile": "contact_updated",
    "upemail": "email_changed",
    "cleaned": "bounced",
}
_IGNORED = frozenset({"profile"})
_ABOUT_NO_LEAD = frozenset({"campaign"})
_COMPLAINT, _UNSUBSCRIBED = "spam_complaint", "unsubscribed"

check_secret = tokens.check_secret
verify = tokens.verify
elements = objects_of


def read_body(delivery: Delivery) -> Json:
    return parse_form(delivery.body).tree()


def translate(
    element: Mapping[str, Json],
    delivery: Delivery,  # noqa: ARG001
    source: Source,
) -> Element | Sequence[Element]:
    platform_type, data = text(element, "type") or "", member(element, "data")
    parts = _id_parts(element, platform_type, data)
    if platform_type in _ABOUT_NO_LEAD:
        return Recognised(derived_id(*parts))
    is_abuse = text(data, "reason") == "abuse" and platform_type in {"unsubscribe", "cleaned"}
    native_type = f"{platform_type}(abuse)" if is_abuse else platform_type
    mapped = source.event_names.get(native_type)
    if is_abuse and mapped is None:
        # Who calls a mailing spam is taken off the audience by the same call; no other says so.
        complaint = _draft(element, _COMPLAINT, native_type, source=source, also=_UNSUBSCRIBED)
        return [Translated(complaint), Translated(_draft(element, _UNSUBSCRIBED, native_type, source=source))]
    event_type = mapped or _TYPES.get(platform_type)
    if event_type is None:
        return Parked("unknown_type", f"Mailchimp type {native_type[:80]}", derived_id(*parts))
    draft = _draft(element, event_type, native_type, source=source)
    return Translated(draft, ignored=mapped is None and platform_type in _IGNORED)


def _draft(
    element: Mapping[str, Json], event_type: str, native_type: str, *, source: Source, also: str | None = None
) -> Draft:
    data = member(element, "data")
    parts = _id_parts(element, text(element, "type") or "", data)
    is_bounce = event_type == "bounced"
    return Draft(
        id=derived_id(*parts, event_type if native_type.endswith("(abuse)") else None),
        type=event_type,
        native_type=native_type,
        lead=_lead(data),
        occurred_at=platform_time(element.get("fired_at"), zone=zone_of(source)),
        properties=given(
            list=text(data, "list_id"),
            campaign=text(data, "campaign_id"),
            action=text(data, "action"),
            reason=text(data, "reason"),
            bounce_class=text(data, "reason") if is_bounce else None,
            new_email=text(data, "new_email"),
            also=also,
        ),
        attributes=_attributes(data),
    )


def _id_parts(element: Mapping[str, Json], platform_type: str, data: Json) -> Sequence[str | None]:
    who = text(data, "id") or text(data, "new_id") or text(data, "email")
    return (NAME, platform_type, text(data, "list_id"), who, text(element, "fired_at"), text(data, "reason"))


def _lead(data: Json) -> LeadNames:
    """A changed address is still the old one's lead: the member's new id ties what follows to it."""
    audience, own = text(data, "list_id"), text(data, "id") or text(data, "new_id")
    ids = {f"mailchimp:{audience.lower()}": own} if audience and own else {}
    return LeadNames(email=text(data, "email") or text(data, "old_email"), external_ids=ids)


def _attributes(data: Json) -> dict[str, Json]:
    """The merge fields under the audience's names for them, without the address and the empty ones."""
    merges = members(member(data, "merges"))
    names = (text(merges, "FNAME"), text(merges, "LNAME"))
    filled = {name: _filled(value) for name, value in merges.items() if name != "EMAIL"}
    return given(**{**filled, "name": " ".join(filter(None, names))})


def _filled(value: Json) -> Json:
    if not isinstance(value, dict):
        return value or None
    return {name: inner for name, inner in value.items() if inner not in {"", None}} or None
