"""What a lead did, in leadflow's words: the message that ingest publishes and the scorer consumes."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated, Literal, Protocol

from pydantic import AwareDatetime, Field

from shared.events.envelope import Frozen, Message
from shared.events.json import Json

EventType = Annotated[
    str,
    Field(
        pattern=r"^[a-z][a-z0-9_]{0,63}$",
        description="What happened, in snake case: `email_clicked`, `page_viewed`, `meeting_booked` ...",
    ),
]

# Events that change how others count, rather than being counted by rules (see the scoring page).
SCORE_ADJUSTED = "score_adjusted"
SCORE_RESET = "score_reset"
EVENT_VOIDED = "event_voided"


class Identities(Frozen):
    """Every name by which an event knows its lead; at least one is given."""

    email: str | None = Field(description="Normalised address.")
    external_ids: dict[str, str] = Field(description="Ids by the system that gave them.")
    anonymous_id: str | None = Field(description="A visitor's id before anybody knows who it is.")

    def keys(self) -> tuple[tuple[str, str], ...]:
        """(kind, value) pairs, strongest first: e-mail, then external ids, then the anonymous id."""
        return named_by(self.email, self.external_ids, self.anonymous_id)


class EngagementEvent(Frozen):
    """One event, as accepted: unique by (workspace, source, id) for ever."""

    id: str = Field(min_length=1, max_length=512, description="Unique within its source.")
    source: str = Field(min_length=1, max_length=128, description="The configured source, or `api`.")
    type: EventType
    native_type: str | None = Field(description="The platform's own name of it; null from the generic API.")
    occurred_at: AwareDatetime = Field(description="When it happened; never later than `received_at`.")
    received_at: AwareDatetime = Field(description="When ingest received it.")
    lead: Identities
    properties: dict[str, Json] = Field(description="Facts about the event; `machine: true` marks robots.")
    attributes: dict[str, Json] = Field(description="Facts about the lead that the event carries.")


class EngagementAccepted(Message):
    """Ingest has accepted an event and promised that it will count once."""

    type: Literal["engagement.accepted"] = Field("engagement.accepted", description="Message type.")
    data: EngagementEvent


class Named(Protocol):
    """Whoever knows its lead by names."""

    @property
    def email(self) -> str | None: ...

    def keys(self) -> tuple[tuple[str, str], ...]: ...


def named_by(
    email: str | None, external_ids: Mapping[str, str], anonymous_id: str | None
) -> tuple[tuple[str, str], ...]:
    """(kind, value) pairs, strongest first: e-mail, then external ids, then the anonymous id."""
    strongest = (("email", email),) if email else ()
    anonymous = (("anonymous", anonymous_id),) if anonymous_id else ()
    if not external_ids:
        return strongest + anonymous
    external = tuple((f"external:{system}", value) for system, value in sorted(external_ids.items()))
    return strongest + external + anonymous


def identity_digest(workspace: str, identities: Named) -> str:
    """The log key of an event: events that share their strongest identity share a partition.

    A digest, because keys are seen by everybody who operates the log and must hold no personal data.
    """
    kind, value = ("email", identities.email) if identities.email else identities.keys()[0]
    return name_digest(workspace, kind, value)


def name_digest(workspace: str, kind: str, value: str) -> str:
    """The digest of one name, as it is a log key where it is the strongest."""
    return sha256(f"{workspace}\n{kind}\n{value}".encode()).hexdigest()[:32]
