"""Marketo's "Call Webhook": the customer writes the template, Marketo fills the tokens in. No signature.

JSON and forms by POST, and parameters by GET, are read; XML is refused by name. What a template has to call
its fields so that they are understood, all but `event` and who it is being optional:

| field | meaning | token to put there |
| --- | --- | --- |
| `event` | what happened, by its name in Marketo; the source's event_names map others | a text, or `{{trigger.Trigger Name}}` |
| `email` | the lead's address | `{{lead.Email Address}}` |
| `lead_id` | the lead's id in this Marketo | `{{lead.Id}}` |
| `event_id` | unique for the event | |
| `occurred_at` | when, in the source's time zone where it names none | `{{system.dateTime}}` |
| `attributes` | facts about the lead: an object, or `attributes[job_title]=...` | `{{lead.Job Title}}` |

All other fields become properties. Marketo states no repetition; the same fields without `event_id` or
`occurred_at` count once a day.
"""  # noqa: E501  # a table

import json
from collections.abc import Mapping

from services.ingest.domain.draft import Draft
from services.ingest.domain.identity import LeadNames
from services.ingest.domain.times import platform_time
from services.ingest.kinds import tokens
from services.ingest.kinds.forms import Form, parse_form
from services.ingest.kinds.kind import Delivery, Element, Parked, Source, Traits, Translated
from services.ingest.kinds.reading import derived_id, given, lead_of, members, objects_of, text, zone_of
from shared.errors import InvalidInput
from shared.events.json import Json

NAME = "marketo"
NEEDS_PUBLIC_URL = False
TRAITS = Traits(delivers_by_get=True, comes_once=True)

_FIELDS = frozenset({"event", "email", "lead_id", "event_id", "occurred_at", "attributes"})
# By the names of triggers and of activities, which differ.
_TYPES: Mapping[str, str] = {
    "attended event": "webinar_attended",
    "click email": "email_clicked",
    "clicks link in email": "email_clicked",
    "email bounced": "bounced",
    "email bounced soft": "bounced",
    "email bounces": "bounced",
    "email bounces soft": "bounced",
    "email delivered": "email_delivered",
    "email is bounced": "bounced",
    "email is bounced soft": "bounced",
    "email is delivered": "email_delivered",
    "fill out form": "form_submitted",
    "fills out form": "form_submitted",
    "is sent email": "email_sent",
    "open email": "email_opened",
    "opens email": "email_opened",
    "send email": "email_sent",
    "unsubscribe email": "unsubscribed",
    "unsubscribes from email": "unsubscribed",
    "visit web page": "page_viewed",
    "visit webpage": "page_viewed",
    "visits web page": "page_viewed",
}
_IGNORED = frozenset({"email_delivered", "email_sent"})

check_secret = tokens.check_secret
verify = tokens.verify
elements = objects_of


def read_body(delivery: Delivery) -> Json | bytes:
    if delivery.method == "GET":
        return _without_credentials(parse_form(delivery.query.encode())).tree()
    start = delivery.body.lstrip()[:1]
    if start == b"<":
        raise InvalidInput(
            "XML is not read: let the template send JSON or a form",
            code="unsupported_media_type",
            field="Content-Type",
        )
    return delivery.body if start in {b"{", b"["} else parse_form(delivery.body).tree()


def translate(element: Mapping[str, Json], delivery: Delivery, source: Source) -> Element:
    native_type = text(element, "event") or ""
    mapped = source.event_names.get(native_type)
    event_type = mapped or _TYPES.get(native_type.lower())
    element_id = text(element, "event_id") or _derived_id(element, delivery)
    if event_type is None:
        return Parked("unknown_type", f"map the name {native_type[:80]!r} in the source's event_names", element_id)
    draft = Draft(
        id=element_id,
        type=event_type,
        native_type=native_type,
        lead=_lead(element, source),
        occurred_at=platform_time(element.get("occurred_at"), zone=zone_of(source)),
        properties=_properties(element, event_type),
        attributes=given(**members(element.get("attributes"))),
    )
    return Translated(draft, ignored=mapped is None and event_type in _IGNORED)


def _without_credentials(form: Form) -> Form:
    return Form(tuple(field for field in form.fields if field[0] not in tokens.PARAMETERS))


def _derived_id(element: Mapping[str, Json], delivery: Delivery) -> str:
    day = None if text(element, "occurred_at") else delivery.received_at.date().isoformat()
    return derived_id("marketo", json.dumps(element, sort_keys=True), day)


def _lead(element: Mapping[str, Json], source: Source) -> LeadNames:
    """Every Marketo counts its leads from 1, so the id belongs to the source."""
    return lead_of([text(element, "email")], {f"marketo:{source.id}": text(element, "lead_id")})


def _properties(element: Mapping[str, Json], event_type: str) -> dict[str, Json]:
    own = {name: value for name, value in element.items() if name not in _FIELDS and value != ""}
    soft = "soft" in (text(element, "event") or "").lower()
    return own | given(bounce_class=("soft" if soft else "hard") if event_type == "bounced" else None)
