"""Calendly webhooks. A reschedule comes as a cancellation and a booking, and is neither."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from services.ingest.domain.draft import Draft
from services.ingest.domain.identity import LeadNames, looks_like_email
from services.ingest.domain.times import platform_time
from services.ingest.kinds import signatures
from services.ingest.kinds.kind import Delivery, Element, Parked, Source, Translated
from services.ingest.kinds.reading import derived_id, given, items, member, objects_of, text
from shared.errors import InvalidInput
from shared.events.json import Json

NAME = "calendly"
NEEDS_PUBLIC_URL = False

_INVITEE = "calendly:invitee"
# What Calendly recommends; it signs each attempt anew.
_TOLERANCE = timedelta(minutes=3)
_TYPES: Mapping[str, str] = {
    "invitee.created": "meeting_booked",
    "invitee.canceled": "meeting_canceled",
    "invitee_no_show.created": "meeting_no_show",
    "routing_form_submission.created": "form_submitted",
}
_IGNORED_TYPES: Mapping[str, str] = {"invitee_no_show.deleted": "meeting_no_show_undone"}

check_secret = signatures.check_text_secret


def verify(delivery: Delivery, source: Source) -> None:
    fields = _fields(signatures.header(delivery, "calendly-webhook-signature"))
    timestamp = fields.get("t", "")
    signature = signatures.from_hex(fields.get("v1", ""))
    signatures.require_fresh(timestamp, delivery.received_at, tolerance=_TOLERANCE)
    keys = [secret.encode() for secret in source.live_secrets(delivery.received_at)]
    signatures.require_hmac(timestamp.encode() + b"." + delivery.body, [signature], keys=keys)


def elements(body: Json) -> Sequence[Json]:
    if not isinstance(body, dict):
        raise InvalidInput("the body must be a JSON object", code="not_json")
    return objects_of(body)


def translate(element: Mapping[str, Json], delivery: Delivery, source: Source) -> Element:  # noqa: ARG001
    native_type = text(element, "event") or ""
    payload = member(element, "payload")
    element_id = derived_id("calendly", native_type, text(payload, "uri"), text(element, "created_at"))
    event_type, ignored = _event_type(native_type, payload, source)
    if event_type is None:
        return Parked("unknown_type", f"Calendly event {native_type[:80]}", element_id)
    draft = Draft(
        id=element_id,
        type=event_type,
        native_type=native_type,
        lead=_lead(payload),
        occurred_at=platform_time(element.get("created_at")),
        properties=_properties(payload),
        attributes=given(name=text(payload, "name"), time_zone=text(payload, "timezone")),
    )
    return Translated(draft, ignored=ignored)


def _fields(header: str) -> dict[str, str]:
    """`t=..,v1=..` as a mapping."""
    pairs = (part.partition("=") for part in header.split(","))
    return {name.strip(): value.strip() for name, _, value in pairs}


def _event_type(native_type: str, payload: Json, source: Source) -> tuple[str | None, bool]:
    """(engagement type or None, whether it is ignored). A moved meeting has types of its own, so that
    no rule on bookings or cancellations can count it.
    """
    if native_type in source.event_names:
        return source.event_names[native_type], False
    if native_type == "invitee.created" and text(payload, "old_invitee"):
        return "meeting_rescheduled", True
    if native_type == "invitee.canceled" and member(payload, "rescheduled") is True:
        return "meeting_slot_released", True
    if native_type in _IGNORED_TYPES:
        return _IGNORED_TYPES[native_type], True
    return _TYPES.get(native_type), False


def _lead(payload: Json) -> LeadNames:
    """The invitee; never the host, whose address is in the same payload."""
    invitee = text(payload, "uri") if text(payload, "email") else None
    return LeadNames(
        email=text(payload, "email") or _answered_email(payload),
        external_ids={_INVITEE: invitee} if invitee is not None else {},
    )


def _answered_email(payload: Json) -> str | None:
    """Routing forms know addresses only as answers."""
    answers = (text(item, "answer") for item in items(member(payload, "questions_and_answers")))
    return next((answer for answer in answers if answer and looks_like_email(answer)), None)


def _properties(payload: Json) -> dict[str, Json]:
    return given(
        meeting=text(payload, "scheduled_event", "name"),
        starts_at=text(payload, "scheduled_event", "start_time"),
        reschedule_of=text(payload, "old_invitee"),
        rescheduled_to=text(payload, "new_invitee"),
        rescheduled=True if member(payload, "rescheduled") is True else None,
        canceled_by=text(payload, "cancellation", "canceler_type"),
        utm_source=text(payload, "tracking", "utm_source"),
        utm_campaign=text(payload, "tracking", "utm_campaign"),
    )
