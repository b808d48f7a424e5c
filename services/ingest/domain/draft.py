"""From what somebody sent to an event that leadflow can promise to count."""

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from functools import lru_cache

from msgspec import Struct, field

from services.ingest.domain.adjustments import CORRECTING, check_adjustment
from services.ingest.domain.identity import SHARED_MAILBOXES, LeadNames, identities
from services.ingest.domain.times import parse_time
from shared.errors import InvalidInput
from shared.events.accepting import AcceptedEvent
from shared.events.json import Json, JsonLimits, is_sound, json_faults

EVENT_TYPE = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
_SOURCE = re.compile(r"[^\s\x00-\x1f\x7f]{1,128}")
_LONGEST_TYPE = 64
_LONGEST_SOURCE = 128
_LONGEST_ID = 512
_EMAIL_DOMAIN = "email_domain"
_SHARED_MAILBOX = "shared_mailbox"
_TIME_ASSUMED = "occurred_at_assumed"


class Draft(Struct, frozen=True, gc=False):
    """An event as a request or a platform names it, not yet checked.

    `occurred_at` may be as its sender wrote it; None: unknown.
    """

    id: str
    type: str
    lead: LeadNames
    occurred_at: datetime | str | None = None
    native_type: str | None = None
    properties: dict[str, Json] = field(default_factory=dict)
    attributes: dict[str, Json] = field(default_factory=dict)


def accept(
    draft: Draft,
    *,
    source: str,
    received_at: datetime,
    limits: JsonLimits | None,
    shared_mailboxes: Collection[str] = SHARED_MAILBOXES,
) -> AcceptedEvent:
    """The event of `draft`. Raises InvalidInput naming the field that keeps it from being one.

    A time of happening after `received_at`, or an unknown one, is taken as `received_at`. Where a platform
    told none that can be read, the property `occurred_at_assumed` says so. `limits` None: whoever read the draft
    has held its values to them.
    """
    occurred_at = draft.occurred_at
    if isinstance(occurred_at, str):
        occurred_at = parse_time(occurred_at, "occurred_at")
    _check_names(draft.id, draft.type, source)
    if limits is not None:
        _check_values(draft, limits)
    lead, domain, shared_mailbox = identities(draft.lead, shared_mailboxes)
    properties, attributes = draft.properties, draft.attributes
    if draft.type in CORRECTING:
        check_adjustment(draft.type, properties)
    if occurred_at is None and draft.native_type is not None:
        # The generic API documents the time of receipt as its default; a platform means to tell a time.
        properties = {**properties, _TIME_ASSUMED: True}
    return AcceptedEvent(
        draft.id,
        source,
        draft.type,
        draft.native_type,
        received_at if occurred_at is None or occurred_at > received_at else occurred_at,
        received_at,
        lead,
        properties,
        attributes if domain is None else _attributes(attributes, domain, shared_mailbox),
    )


def is_event_type(text: str) -> bool:
    """Whether `text` has the form of an engagement type."""
    return len(text) <= _LONGEST_TYPE and _has_form_of_type(text)


# The same few types and sources come by the thousand.
@lru_cache(maxsize=1_024)
def _has_form_of_type(text: str) -> bool:
    return EVENT_TYPE.fullmatch(text) is not None


@lru_cache(maxsize=1_024)
def _has_form_of_source(text: str) -> bool:
    return _SOURCE.fullmatch(text) is not None


def _check_names(event_id: str, event_type: str, source: str) -> None:
    if not 0 < len(event_id) <= _LONGEST_ID:
        raise InvalidInput(f"must have 1 to {_LONGEST_ID} characters", code="invalid_value", field="id")
    if len(source) > _LONGEST_SOURCE or not _has_form_of_source(source):
        raise InvalidInput("must have 1 to 128 characters, no spaces", code="invalid_value", field="source")
    if len(event_type) > _LONGEST_TYPE or not _has_form_of_type(event_type):
        raise InvalidInput(
            "must be snake case, up to 64 characters: email_clicked", code="invalid_type", field="type"
        )


def _check_values(draft: Draft, limits: JsonLimits) -> None:
    values: Json = {
        "id": draft.id,
        "native_type": draft.native_type,
        "lead": {
            "email": draft.lead.email,
            "external_ids": dict(draft.lead.external_ids or {}),
            "anonymous_id": draft.lead.anonymous_id,
        },
        "properties": dict(draft.properties),
        "attributes": dict(draft.attributes),
    }
    if is_sound(values, limits):
        return
    for path, reason in json_faults(values, limits):
        raise InvalidInput(reason, code="invalid_value", field=path)


def _attributes(given: Mapping[str, Json], domain: str, shared_mailbox: str | None) -> dict[str, Json]:
    """Models tell free mailboxes and companies apart by the domain, so every address brings it along."""
    attributes = {**given}
    if shared_mailbox is not None:
        attributes[_SHARED_MAILBOX] = shared_mailbox
    attributes.setdefault(_EMAIL_DOMAIN, domain)
    return attributes
