"""Events on their way to the log, as structs: what `engagement` declares, built and written by the thousand.

The models of `engagement` are the contract, and what readers decode into. Building and writing one takes some
twenty times as long as this does, only to check again what ingest has just checked. Tests hold the two together.
"""

from datetime import datetime

from msgspec import Struct
from msgspec.json import Encoder

from shared.events.engagement import named_by
from shared.events.json import Json


class AcceptedNames(Struct, frozen=True, gc=False):
    """As Identities."""

    email: str | None
    external_ids: dict[str, str]
    anonymous_id: str | None

    def keys(self) -> tuple[tuple[str, str], ...]:
        """(kind, value) pairs, strongest first."""
        return named_by(self.email, self.external_ids, self.anonymous_id)


class AcceptedEvent(Struct, frozen=True, gc=False):
    """As EngagementEvent; whoever builds one has checked its values. Both times in UTC."""

    id: str
    source: str
    type: str
    native_type: str | None
    occurred_at: datetime
    received_at: datetime
    lead: AcceptedNames
    properties: dict[str, Json]
    attributes: dict[str, Json]


class _Accepted(Struct, gc=False):
    """As EngagementAccepted."""

    specversion: str
    id: str
    type: str
    source: str
    subject: str
    time: datetime
    datacontenttype: str
    workspace: str
    data: AcceptedEvent


_ENCODE = Encoder().encode


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
