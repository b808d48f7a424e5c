"""From what somebody sent to an event that leadflow can promise to count."""

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from functools import lru_cache

from msgspec import Struct, field

from services.ingest.domain.adjustments import check_adjustment
from services.ingest.domain.identity import (
    SHARED_MAILBOXES,
    LeadNames,
    apart_from_shared_mailbox,
    email_domain,
    identities,
)
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
    """An event as a request or a platform names it, not yet checked. `occurred_at` None: unknown."""

    id: str
    type: str
    lead: LeadNames
    occurred_at: datetime | None = None
    native_type: str | None = None
    properties: Mapping[str, Json] = field(default_factory=dict)
    attributes: Mapping[str, Json] = field(default_factory=dict)


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
    _check_names(draft, source)
    if limits is not None:
        _check_values(draft, limits)
    lead, shared_mailbox = apart_from_shared_mailbox(identities(draft.lead), shared_mailboxes)
    check_adjustment(draft.type, draft.properties)
    occurred_at = draft.occurred_at
    return AcceptedEvent(
        draft.id,
        source,
        draft.type,
        draft.native_type,
        received_at if occurred_at is None or occurred_at > received_at else occurred_at,
        received_at,
        lead,
        _properties(draft),
        _attributes(draft.attributes, lead.email, shared_mailbox),
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


def _check_names(draft: Draft, source: str) -> None:
    if not 0 < len(draft.id) <= _LONGEST_ID:
        raise InvalidInput(f"must have 1 to {_LONGEST_ID} characters", code="invalid_value", field="id")
    if len(source) > _LONGEST_SOURCE or not _has_form_of_source(source):
        raise InvalidInput("must have 1 to 128 characters, no spaces", code="invalid_value", field="source")
    if not is_event_type(draft.type):
        raise InvalidInput(
            "must be snake case, up to 64 characters: email_clicked", code="invalid_type", field="type"
        )


def _check_values(draft: Draft, limits: JsonLimits) -> None:
    values: Json = {
        "id": draft.id,
        "native_type": draft.native_type,
        "lead": {
            "email": draft.lead.email,
            "external_ids": dict(draft.lead.external_ids),
            "anonymous_id": draft.lead.anonymous_id,
        },
        "properties": dict(draft.properties),
        "attributes": dict(draft.attributes),
    }
    if is_sound(values, limits):
        return
    for path, reason in json_faults(values, limits):
        raise InvalidInput(reason, code="invalid_value", field=path)


def _properties(draft: Draft) -> dict[str, Json]:
    """The generic API documents the time of receipt as its default; a platform means to tell a time."""
    if draft.occurred_at is not None or draft.native_type is None:
        return _as_dict(draft.properties)
    return {**draft.properties, _TIME_ASSUMED: True}


def _attributes(given: Mapping[str, Json], email: str | None, shared_mailbox: str | None) -> dict[str, Json]:
    """Models tell free mailboxes and companies apart by the domain, so every address brings it along."""
    address = email or shared_mailbox
    if address is None:
        return _as_dict(given)
    mailbox: dict[str, Json] = {} if shared_mailbox is None else {_SHARED_MAILBOX: shared_mailbox}
    attributes = {**given, **mailbox}
    if _EMAIL_DOMAIN not in attributes:
        attributes[_EMAIL_DOMAIN] = email_domain(address)
    return attributes


def _as_dict(values: Mapping[str, Json]) -> dict[str, Json]:
    return values if isinstance(values, dict) else dict(values)
