"""Postmark webhooks: one JSON object each, which nothing signs: Basic authentication or a header vouches.

Postmark sends again after 5xx, 408 and 429 only; any other 4xx drops the event for good. One record type,
SubscriptionChange, says opposite things by its fields, and a Bounce may be no bounce at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from services.ingest.domain.draft import Draft
from services.ingest.domain.identity import LeadNames
from services.ingest.domain.times import platform_time
from services.ingest.kinds import tokens
from services.ingest.kinds.kind import Delivery, Element, Parked, Source, Traits, Translated
from services.ingest.kinds.reading import derived_id, given, member, members, objects_of, text, zone_of
from shared.events.json import Json

NAME = "postmark"
NEEDS_PUBLIC_URL = False
TRAITS = Traits(accepted_status=200)


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What a record of Postmark's is here."""

    type: str
    ignored: bool = False
    bounce_class: str | None = None


_DROPPED = _Meaning("email_dropped")
_LATER = _Meaning("email_deferred", ignored=True)
_BY_MACHINE = _Meaning("email_answered_by_machine", ignored=True)
_RECORDS: Mapping[str, _Meaning] = {
    "Open": _Meaning("email_opened"),
    "Click": _Meaning("email_clicked"),
    "Delivery": _Meaning("email_delivered", ignored=True),
    "SpamComplaint": _Meaning("spam_complaint"),
}
_BOUNCES: Mapping[str, _Meaning] = {
    "HardBounce": _Meaning("bounced", bounce_class="hard"),
    "BadEmailAddress": _Meaning("bounced", bounce_class="hard"),
    "SoftBounce": _Meaning("bounced", bounce_class="soft"),
    "Undeliverable": _Meaning("bounced", bounce_class="soft"),
    "Blocked": _Meaning("bounced", bounce_class="block"),
    "SpamNotification": _Meaning("bounced", bounce_class="block"),
    "VirusNotification": _Meaning("bounced", bounce_class="block"),
    "Transient": _LATER,
    "DnsError": _LATER,
    "AutoResponder": _BY_MACHINE,
    "AddressChange": _BY_MACHINE,
    "ChallengeVerification": _BY_MACHINE,
    "Unsubscribe": _Meaning("unsubscribed"),
    "Subscribe": _Meaning("subscribed"),
    "SpamComplaint": _Meaning("spam_complaint"),
    "ManuallyDeactivated": _DROPPED,
    "Unconfirmed": _DROPPED,
    "SMTPApiError": _DROPPED,
    "DMARCPolicy": _DROPPED,
    "TemplateRenderingFailed": _DROPPED,
}
_SUPPRESSIONS: Mapping[str, _Meaning] = {
    "HardBounce": _BOUNCES["HardBounce"],
    "SpamComplaint": _RECORDS["SpamComplaint"],
    "ManualSuppression": _Meaning("unsubscribed"),
}
_TYPED = frozenset({"Bounce", "SpamComplaint"})
_TIMES = ("BouncedAt", "ReceivedAt", "DeliveredAt", "ChangedAt")

check_secret = tokens.check_secret
verify = tokens.verify
elements = objects_of


def translate(element: Mapping[str, Json], delivery: Delivery, source: Source) -> Element:  # noqa: ARG001
    native_type = _native_type(element)
    mapped = source.event_names.get(native_type)
    meaning = _Meaning(mapped) if mapped else _meaning(element)
    element_id = _id(element)
    if meaning is None:
        return Parked("unknown_type", f"Postmark record {native_type[:80]}", element_id)
    times = (platform_time(element.get(name), zone=zone_of(source)) for name in _TIMES)
    draft = Draft(
        id=element_id,
        type=meaning.type,
        native_type=native_type,
        lead=LeadNames(email=_email(element)),
        occurred_at=next((moment for moment in times if moment is not None), None),
        properties=_properties(element, meaning),
    )
    return Translated(draft, ignored=meaning.ignored)


def _native_type(element: Mapping[str, Json]) -> str:
    record, kind = text(element, "RecordType") or "", text(element, "Type")
    return f"{record}/{kind}" if record in _TYPED and kind else record


def _meaning(element: Mapping[str, Json]) -> _Meaning | None:
    record = text(element, "RecordType") or ""
    if record == "Bounce":
        return _BOUNCES.get(text(element, "Type") or "")
    if record != "SubscriptionChange":
        return _RECORDS.get(record)
    if member(element, "SuppressSending") is False:
        return _Meaning("subscribed")
    return _SUPPRESSIONS.get(text(element, "SuppressionReason") or "")


def _id(element: Mapping[str, Json]) -> str:
    """Bounces and complaints have ids; the rest is told apart by what happened, to whom and when."""
    record, own = text(element, "RecordType") or "", text(element, "ID")
    if own is not None:
        return f"{record}:{own}"
    moments = (text(element, name) for name in _TIMES)
    details = (text(element, "OriginalLink"), text(element, "SuppressionReason"), str(element.get("SuppressSending")))
    return derived_id(NAME, record, text(element, "MessageID"), _email(element), *moments, *details)


def _email(element: Mapping[str, Json]) -> str | None:
    """`Email` on bounces and complaints, `Recipient` on the rest."""
    return text(element, "Email") or text(element, "Recipient")


def _properties(element: Mapping[str, Json], meaning: _Meaning) -> dict[str, Json]:
    return given(
        url=text(element, "OriginalLink"),
        subject=text(element, "Subject"),
        first=member(element, "FirstOpen"),
        message_id=text(element, "MessageID"),
        stream=text(element, "MessageStream"),
        tag=text(element, "Tag"),
        reason=text(element, "Description") or text(element, "SuppressionReason"),
        bounce_class=meaning.bounce_class,
        custom=dict(members(member(element, "Metadata"))) or None,
    )
