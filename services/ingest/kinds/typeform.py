"""Typeform webhooks. Answers are found by their kind and their reference, never by their place."""

from collections.abc import Mapping, Sequence

from services.ingest.domain.draft import Draft
from services.ingest.domain.identity import LeadNames
from services.ingest.domain.times import platform_time
from services.ingest.kinds import signatures
from services.ingest.kinds.kind import Delivery, Element, NotVerified, Parked, Source, Translated
from services.ingest.kinds.reading import derived_id, given, items, member, members, objects_of, text
from shared.errors import InvalidInput
from shared.events.json import Json

NAME = "typeform"
NEEDS_PUBLIC_URL = False

_PREFIX = "sha256="
_TYPES: Mapping[str, str] = {"form_response": "form_submitted", "form_response_partial": "form_started"}
_IGNORED = frozenset({"form_response_partial"})
# Hidden fields hold campaigns as often as people; only these names say who it is.
_IDENTIFYING = frozenset({"user_id", "userid", "contact_id", "customer_id", "lead_id", "external_id"})
_PERSONAL_ANSWERS = frozenset({"email", "phone_number", "file_url"})

check_secret = signatures.check_text_secret


def verify(delivery: Delivery, source: Source) -> None:
    given_signature = signatures.header(delivery, "typeform-signature")
    if not given_signature.startswith(_PREFIX):
        raise NotVerified
    signature = signatures.from_base64(given_signature.removeprefix(_PREFIX))
    keys = [secret.encode() for secret in source.live_secrets(delivery.received_at)]
    signatures.require_hmac(delivery.body, [signature], keys=keys)


def elements(body: Json) -> Sequence[Json]:
    if not isinstance(body, dict):
        raise InvalidInput("the body must be a JSON object", code="not_json")
    return objects_of(body)


def translate(element: Mapping[str, Json], delivery: Delivery, source: Source) -> Element:  # noqa: ARG001
    native_type = text(element, "event_type") or ""
    event_type = source.event_names.get(native_type) or _TYPES.get(native_type)
    response = member(element, "form_response")
    element_id = text(element, "event_id") or derived_id("typeform", native_type, text(response, "token"))
    if event_type is None:
        return Parked("unknown_type", f"Typeform event {native_type[:80]}", element_id)
    draft = Draft(
        id=element_id,
        type=event_type,
        native_type=native_type,
        lead=_lead(response),
        occurred_at=platform_time(member(response, "submitted_at")),
        properties=given(
            form=text(response, "form_id"),
            title=text(response, "definition", "title"),
            response_token=text(response, "token"),
            quiz_score=member(response, "calculated", "score"),
            hidden=dict(members(member(response, "hidden"))) or None,
        ),
        attributes=_attributes(response),
    )
    return Translated(draft, ignored=native_type in _IGNORED)


def _lead(response: Json) -> LeadNames:
    hidden = members(member(response, "hidden"))
    ids = {name: text(hidden, name) for name in hidden if name.lower() in _IDENTIFYING}
    return LeadNames(
        email=_answered_email(response) or text(hidden, "email"),
        external_ids={f"typeform:hidden:{name.lower()}": value for name, value in ids.items() if value},
    )


def _answered_email(response: Json) -> str | None:
    answers = (text(answer, "email") for answer in _answers(response) if text(answer, "type") == "email")
    return next((answer for answer in answers if answer), None)


def _attributes(response: Json) -> dict[str, Json]:
    """What the lead answered, by the reference that the form's author gave the question."""
    attributes: dict[str, Json] = {}
    for answer in _answers(response):
        reference, kind = text(answer, "field", "ref"), text(answer, "type")
        value = _value(answer, kind)
        if reference is not None and value is not None and kind not in _PERSONAL_ANSWERS:
            attributes[reference] = value
    return attributes


def _value(answer: Json, kind: str | None) -> Json:
    if kind == "choice":
        return text(answer, "choice", "label") or text(answer, "choice", "other")
    if kind == "choices":
        return member(answer, "choices", "labels")
    return member(answer, kind) if kind is not None else None


def _answers(response: Json) -> Sequence[Json]:
    return items(member(response, "answers"))
