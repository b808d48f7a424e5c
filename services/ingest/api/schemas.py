"""The forms of answers, and what the reference shows of requests."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.json import Encoder
from pydantic import BaseModel, ConfigDict, Field

from services.ingest.domain.outcome import Outcome, Status
from services.ingest.kinds.registry import KINDS


class ItemError(BaseModel):
    """Why an item did not become an event."""

    code: str = Field(description="Stable name of the reason.")
    field: str | None = Field(description="Path within the item; null when it is about all of it.")
    message: str = Field(description="In words.")


class ItemResult(BaseModel):
    """What became of one item."""

    index: int = Field(description="Place in the request, from 0.")
    id: str | None = Field(description="The event's id; null when the item does not show one.")
    status: Status = Field(description="What became of it.")
    error: ItemError | None = Field(description="The reason, unless it was accepted.")


class EventsResult(BaseModel):
    """What became of a request to the events API. What is `accepted` is durable."""

    accepted: int = Field(description="Items that are events now.")
    refused: int = Field(description="Items to mend and send again.")
    items: list[ItemResult]


class DeliveryResult(EventsResult):
    """What became of a webhook."""

    ignored: int = Field(description="Recorded too, but of a type that models usually give no points for.")
    parked: int = Field(description="Understood as far as it goes: an unknown type, or nobody's.")


class NewSource(BaseModel):
    """A webhook source to create."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"id": "acme-calendly", "kind": "calendly", "secrets": ["the signing key of it"]}]
        },
    )

    id: str = Field(description="Part of its URL, /v1/webhooks/{id}; unique across workspaces.")
    kind: str = Field(description=f"One of {', '.join(KINDS)}.")
    secrets: list[str] = Field(description="One; two while it is being exchanged. Never shown again.")
    public_url: str | None = Field(None, description="The URL the platform calls; HubSpot and Mandrill sign it.")
    event_names: dict[str, str] = Field(
        default_factory=dict, description="The platform's own names, to engagement types."
    )
    time_zone: str = Field("UTC", description="IANA zone of times that name none.")
    tolerance_seconds: int | None = Field(
        None, description="Oldest time stamp that is taken, where the kind leaves it open: Mailgun, 32,400 s."
    )


class ChangedSource(BaseModel):
    """What to change about a webhook source; what is left out stays."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"event_names": {"Signed Up": "trial_started"}}]}
    )

    event_names: dict[str, str | None] = Field(
        default_factory=dict, description="Names to add or to change; null takes one away."
    )
    public_url: str | None = Field(None, description="The URL the platform calls.")
    time_zone: str | None = Field(None, description="IANA zone of times that name none.")


class NewSecret(BaseModel):
    """A secret that takes the place of the one in use."""

    model_config = ConfigDict(extra="forbid")

    secret: str = Field(description="Never shown again.")
    keep_old_seconds: int = Field(
        86_400, ge=0, le=30 * 86_400, description="For how long the one in use is still taken."
    )


class SecretShown(BaseModel):
    """A secret without itself."""

    id: str = Field(description="Tells two live secrets apart.")
    created_at: datetime
    expires_at: datetime | None


class SourceShown(BaseModel):
    """A webhook source."""

    id: str
    kind: str
    path: str = Field(description="Where the platform sends to, on this host.")
    secrets: list[SecretShown]
    public_url: str | None
    event_names: dict[str, str]
    time_zone: str
    tolerance_seconds: int | None


class SourceList(BaseModel):
    """The sources of a workspace."""

    sources: list[SourceShown]


class _ErrorShown(Struct, gc=False):
    """As ItemError."""

    code: str
    field: str | None
    message: str


class _ItemShown(Struct, gc=False):
    """As ItemResult."""

    index: int
    id: str | None
    status: Status
    error: _ErrorShown | None


_ENCODE = Encoder().encode


def result_json(outcomes: Sequence[Outcome], *statuses: Status) -> bytes:
    """What became of a request as JSON, with the count of each of `statuses`: an EventsResult or DeliveryResult.

    Written without them: a model for each of a thousand items costs more than it takes to store the items.
    """
    ended = [outcome.status for outcome in outcomes]
    counts: dict[str, object] = {status.value: ended.count(status) for status in statuses}
    return _ENCODE(counts | {"items": [_shown(outcome) for outcome in outcomes]})


def count(outcomes: Sequence[Outcome], status: Status) -> int:
    """How many ended like that."""
    return sum(outcome.status is status for outcome in outcomes)


def _shown(outcome: Outcome) -> _ItemShown:
    reason = outcome.reason
    error = None if reason is None else _ErrorShown(reason.code, reason.field, reason.message)
    return _ItemShown(outcome.index, outcome.id, outcome.status, error)
