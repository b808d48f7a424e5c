"""Mandrill (Mailchimp Transactional): a form whose one field holds a JSON array, signed with its URL.

`_id` is the message's, so opens and clicks of one message differ by kind, moment and link. Before Mandrill
saves a webhook it looks whether anybody is there, and may post an empty array signed with a key that everybody
knows: that is taken for the empty array alone, which does nothing.
"""

from collections.abc import Mapping, Sequence

from services.ingest.domain.draft import Draft
from services.ingest.domain.identity import LeadNames
from services.ingest.domain.times import platform_time
from services.ingest.kinds import signatures
from services.ingest.kinds.forms import Form, parse_form
from services.ingest.kinds.kind import Delivery, Element, NotVerified, Parked, Source, Traits, Translated
from services.ingest.kinds.reading import derived_id, given, items, member, members, text
from shared.errors import InvalidInput
from shared.events.json import Json

NAME = "mandrill"
NEEDS_PUBLIC_URL = True
TRAITS = Traits(accepted_status=200)

_FIELD = "mandrill_events"
_KEY_OF_THE_TEST = b"test-webhook"
_TYPES: Mapping[str, str] = {
    "send": "email_sent",
    "deferral": "email_deferred",
    "delivered": "email_delivered",
    "hard_bounce": "bounced",
    "soft_bounce": "bounced",
    "open": "email_opened",
    "click": "email_clicked",
    "spam": "spam_complaint",
    "unsub": "unsubscribed",
    "reject": "email_dropped",
}
_IGNORED = frozenset({"send", "deferral", "delivered"})
_BOUNCE_CLASSES: Mapping[str, str] = {"hard_bounce": "hard", "soft_bounce": "soft"}

check_secret = signatures.check_text_secret


def verify(delivery: Delivery, source: Source) -> None:
    signature = signatures.from_base64(signatures.header(delivery, "x-mandrill-signature"))
    if source.public_url is None:
        raise NotVerified
    try:
        form = parse_form(delivery.body)
    except InvalidInput as error:
        raise NotVerified from error
    keys = [secret.encode() for secret in source.live_secrets(delivery.received_at)]
    if form.fields == ((_FIELD, "[]"),):
        keys.append(_KEY_OF_THE_TEST)
    signatures.require_hmac(signed_text(source.public_url, form), [signature], keys=keys, algorithm="sha1")


def signed_text(url: str, form: Form) -> bytes:
    """What Mandrill signs: the URL as it was registered, then each field's name and value, by name."""
    fields = dict(form.fields)
    return "".join([url, *(name + fields[name] for name in sorted(fields))]).encode()


def read_body(delivery: Delivery) -> bytes:
    """The JSON text of the events."""
    text_of_events = parse_form(delivery.body).last(_FIELD)
    if text_of_events is None:
        raise InvalidInput(f"the form has no field {_FIELD}", code="not_form", field=_FIELD)
    return text_of_events.encode()


def elements(body: Json) -> Sequence[Json]:
    if not isinstance(body, list):
        raise InvalidInput(f"{_FIELD} must be a JSON array", code="not_json", field=_FIELD)
    return body


def translate(element: Mapping[str, Json], delivery: Delivery, source: Source) -> Element:  # noqa: ARG001
    native_type = _native_type(element)
    mapped = source.event_names.get(native_type)
    event_type = mapped or _TYPES.get(native_type)
    message_id = text(element, "_id") or text(element, "msg", "_id")
    email = text(element, "msg", "email") or text(element, "reject", "email")
    element_id = derived_id(NAME, native_type, message_id, email, text(element, "ts"), text(element, "url"))
    if event_type is None:
        return Parked("unknown_type", f"Mandrill event {native_type[:80]}", element_id)
    draft = Draft(
        id=element_id,
        type=event_type,
        native_type=native_type,
        lead=LeadNames(email=email),
        occurred_at=platform_time(element.get("ts")),
        properties=_properties(element, native_type, message_id),
    )
    return Translated(draft, ignored=mapped is None and native_type in _IGNORED)


def _native_type(element: Mapping[str, Json]) -> str:
    """The event's name; changes of the lists that Mandrill keeps have `type` and `action` in its place."""
    named = text(element, "event")
    return named or "/".join(filter(None, (text(element, "type"), text(element, "action"))))


def _properties(element: Mapping[str, Json], native_type: str, message_id: str | None) -> dict[str, Json]:
    message = member(element, "msg")
    return given(
        url=text(element, "url"),
        subject=text(message, "subject"),
        message_id=message_id,
        reason=text(message, "bounce_description") or text(message, "reject", "reason"),
        bounce_class=_BOUNCE_CLASSES.get(native_type),
        campaign_tags=list(items(member(message, "tags"))) or None,
        custom=dict(members(member(message, "metadata"))) or None,
    )
