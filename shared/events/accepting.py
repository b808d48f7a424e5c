"""Accepted events as structs: what `engagement` declares, built, written and read by the thousand.

The models of `engagement` are the contract. Each takes some twenty times as long as this does, to check again what
ingest has just checked. What is not exactly as leadflow writes it is read by the models; tests hold the two together.
"""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated, Any, Final, Literal

from msgspec import DecodeError, Meta, Struct
from msgspec.json import Decoder, Encoder

from shared.events.engagement import EngagementAccepted, EngagementEvent, Identities, named_by
from shared.events.legible import Moment, StorableNames, StorableText, StorableValues

_is_type: Final = re.compile("[a-z][a-z0-9_]{0,63}").fullmatch
# A NUL is written in no other way.
_NUL: Final = rb"\u0000"
_DATA: Final = b',"data":{'
_RECEIVED_AT: Final = b',"received_at":"'


class AcceptedNames(Struct, frozen=True, gc=False):
    """As Identities."""

    email: StorableText | None
    external_ids: StorableNames
    anonymous_id: StorableText | None

    def keys(self) -> tuple[tuple[str, str], ...]:
        """(kind, value) pairs, strongest first."""
        return named_by(self.email, self.external_ids, self.anonymous_id)


class AcceptedEvent(Struct, frozen=True, gc=False):
    """As EngagementEvent; whoever builds one has checked its values, and has both times in UTC.

    The types have what is looked at when one is read: what the model demands (but of `type`), and what can be stored.
    """

    id: Annotated[str, Meta(min_length=1, max_length=512)]
    source: Annotated[str, Meta(min_length=1, max_length=128)]
    type: str
    native_type: StorableText | None
    occurred_at: Moment
    received_at: Moment
    lead: AcceptedNames
    properties: StorableValues
    attributes: StorableValues


class _Accepted(Struct, gc=False):
    """As EngagementAccepted."""

    specversion: Literal["1.0"]
    id: str
    type: Literal["engagement.accepted"]
    source: str
    subject: str
    time: Moment
    datacontenttype: Literal["application/json"]
    workspace: str
    data: AcceptedEvent


class Accepted(Struct, frozen=True, gc=False):
    """An accepted event, and whose it is; `body` is the event as JSON, byte for byte as the models write it."""

    workspace: str
    data: AcceptedEvent
    body: bytes


_ENCODE: Final = Encoder().encode
_DECODE: Final = Decoder(_Accepted).decode
_DECODE_EVENT: Final = Decoder(AcceptedEvent).decode


def encode_accepted(event: AcceptedEvent, *, workspace: str, digest: str) -> bytes:
    """The `engagement.accepted` of an event, as the log carries it; `digest` is that of its identity."""
    return _ENCODE(
        _Accepted(
            "1.0",
            event.id,
            "engagement.accepted",
            event.source,
            digest,
            event.occurred_at,
            "application/json",
            workspace,
            event,
        )
    )


def decode_accepted(value: bytes) -> Accepted | None:
    """The event of a message that is exactly as leadflow writes it, and can be stored; of any other None.

    What comes out the same when written again was read as it was meant: nothing in it was odd, doubled or unknown.
    """
    if _NUL in value:
        return None
    try:
        message = _DECODE(value)
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not _is_type(message.data.type) or _ENCODE(message) != value:
        return None
    # Within a text no quote is without its backslash, so this is the field.
    return Accepted(message.workspace, message.data, value[value.index(_DATA) + len(_DATA) - 1 : -1])


def as_accepted(message: EngagementAccepted) -> Accepted:
    """The same as a struct."""
    event = message.data
    return Accepted(message.workspace, _as_struct(event), event.__pydantic_serializer__.to_json(event))


def decode_event(body: str | bytes) -> AcceptedEvent:
    """An event from the `body` of one, or from what PostgreSQL made of that. Raises ValueError for anything else."""
    try:
        return _DECODE_EVENT(body)
    except DecodeError:
        return _as_struct(EngagementEvent.model_validate_json(body))


def digest_of(body: bytes) -> bytes:
    """Of the `body` of an event: what stays the same when a sender repeats it; when it was received does not."""
    start = body.index(_RECEIVED_AT)
    return sha256(body[:start] + body[body.index(b'"', start + len(_RECEIVED_AT)) + 1 :]).digest()


def _as_struct(event: EngagementEvent) -> AcceptedEvent:
    fields: Mapping[str, Any] = {**vars(event), "lead": _names(event.lead)}
    return AcceptedEvent(**fields)


def _names(lead: Identities) -> AcceptedNames:
    return AcceptedNames(lead.email, lead.external_ids, lead.anonymous_id)
