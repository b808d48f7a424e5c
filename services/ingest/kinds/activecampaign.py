"""ActiveCampaign webhooks: forms with brackets, without a signature, sent once and never again.

What it sends during a longer trouble of ours is lost to webhooks, whatever the answer; only its API can tell
later. An answer of 410 would end the webhook, and none is ever given.
"""

from collections.abc import Mapping, Sequence

from services.ingest.domain.draft import Draft
from services.ingest.domain.identity import LeadNames
from services.ingest.domain.times import platform_time
from services.ingest.kinds import tokens
from services.ingest.kinds.forms import parse_form
from services.ingest.kinds.kind import Delivery, Element, Parked, Source, Traits, Translated
from services.ingest.kinds.reading import derived_id, given, lead_of, member, members, one_object, text, zone_of
from shared.events.json import Json

NAME = "activecampaign"
NEEDS_PUBLIC_URL = False
TRAITS = Traits(comes_once=True)

_SYSTEM = "activecampaign"
_NOTHING = frozenset({None, "0"})
_TYPES: Mapping[str, str] = {
    "bounce": "bounced",
    "click": "email_clicked",
    "contact_tag_added": "contact_updated",
    "contact_tag_removed": "contact_updated",
    "forward": "email_forwarded",
    "open": "email_opened",
    "read": "email_opened",
    "reply": "conversation_started",
    "sent": "email_sent",
    "share": "email_shared",
    "subscribe": "subscribed",
    "unsubscribe": "unsubscribed",
    "update": "contact_updated",
}
_IGNORED = frozenset({"contact_updated", "email_sent"})

check_secret = tokens.check_secret
verify = tokens.verify
elements = one_object


def read_body(delivery: Delivery) -> Json:
    return parse_form(delivery.body).tree()


def translate(
    element: Mapping[str, Json],
    delivery: Delivery,  # noqa: ARG001
    source: Source,
) -> Element | Sequence[Element]:
    kind, tag = text(element, "type") or "", text(element, "tag")
    native_type = f"{kind}:{tag}" if tag else kind
    mapped = source.event_names.get(native_type) or source.event_names.get(kind)
    event_type = mapped or _TYPES.get(kind)
    if event_type is None:
        return Parked("unknown_type", f"ActiveCampaign type {native_type[:80]}", _id(element, native_type))
    told = Translated(
        _draft(element, native_type, event_type, source), ignored=mapped is None and event_type in _IGNORED
    )
    if kind != "subscribe" or mapped is not None or _form(element) is None:
        return told
    # Whoever subscribes by a form has also submitted it: two things that models may count.
    return [told, Translated(_draft(element, f"{kind}:form", "form_submitted", source))]


def _draft(element: Mapping[str, Json], native_type: str, event_type: str, source: Source) -> Draft:
    return Draft(
        id=_id(element, native_type),
        type=event_type,
        native_type=native_type,
        lead=_lead(element),
        occurred_at=platform_time(element.get("date_time"), zone=zone_of(source)),
        properties=_properties(element, event_type),
        attributes=_attributes(member(element, "contact")),
    )


def _id(element: Mapping[str, Json], native_type: str) -> str:
    contact = member(element, "contact")
    return derived_id(
        "activecampaign",
        native_type,
        text(contact, "id"),
        text(contact, "email"),
        text(element, "campaign", "id"),
        text(element, "link", "id"),
        text(element, "link", "url"),
        _form(element),
        ",".join(_lists(element)),
        text(element, "date_time"),
    )


def _form(element: Mapping[str, Json]) -> str | None:
    form = text(element, "form", "id") or text(element, "form", "0", "id")
    return None if form in _NOTHING else form


def _lists(element: Mapping[str, Json]) -> list[str]:
    """`list` is an id, or `list[0][id]`, `list[1][id]` and so on; 0 is no list."""
    alone = text(element, "list")
    ids = [alone] if alone else [text(one, "id") for one in members(element.get("list")).values()]
    return [one for one in ids if one is not None and one not in _NOTHING]


def _lead(element: Mapping[str, Json]) -> LeadNames:
    contact = text(element, "contact", "id")
    return lead_of([text(element, "contact", "email")], {_SYSTEM: None if contact in _NOTHING else contact})


def _properties(element: Mapping[str, Json], event_type: str) -> dict[str, Json]:
    return given(
        url=text(element, "link", "url"),
        campaign=text(element, "campaign", "name"),
        campaign_id=text(element, "campaign", "id"),
        form=_form(element),
        list=", ".join(_lists(element)),
        tag=text(element, "tag"),
        reason=text(element, "unsubscribe", "reason") or text(element, "bounce", "text"),
        bounce_class=_bounce_class(element) if event_type == "bounced" else None,
        initiated_from=text(element, "initiated_from"),
    )


def _bounce_class(element: Mapping[str, Json]) -> str:
    return "soft" if (text(element, "bounce", "type") or "").lower() == "soft" else "hard"


def _attributes(contact: Json) -> dict[str, Json]:
    return {
        **members(member(contact, "fields")),
        **given(
            first_name=text(contact, "first_name"),
            last_name=text(contact, "last_name"),
            company=text(contact, "orgname"),
        ),
    }
