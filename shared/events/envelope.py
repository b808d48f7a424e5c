"""The envelope of every message: CloudEvents 1.0 in JSON, with the workspace as an extension attribute.

Source: CloudEvents 1.0.2, core specification and JSON format.
"""

from datetime import datetime
from hashlib import sha1
from typing import Annotated, Final, Literal
from uuid import UUID

from msgspec import Meta
from pydantic import BaseModel, ConfigDict, Field

from shared.events.legible import Moment
from shared.events.part import Part
from shared.events.topics import TopicSpec

_MESSAGES: Final = UUID("6a1f0c52-5b51-5f0e-9a3c-0f2f3f3d8c11").bytes
# Of its sixteenth digit a UUID keeps two bits.
_VARIANT: Final = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))

Sequence = Annotated[
    int,
    Meta(ge=1),
    Field(ge=1, description="1, 2, 3 ... per lead and topic, without gaps: lets a receiver detect loss."),
]


class Frozen(BaseModel):
    """A part of a message: immutable, and tolerant of fields that a later release may add."""

    model_config = ConfigDict(frozen=True, extra="ignore", json_schema_serialization_defaults_required=True)


class Message(Frozen):
    """What every message carries besides its data."""

    specversion: Literal["1.0"] = Field("1.0", description="CloudEvents version.")
    id: str = Field(description="Stable over redelivery: the same fact always has the same id and bytes.")
    type: str = Field(description="Message type; it tells what `data` is.")
    source: str = Field(description="Who says so: the leadflow service, or the source of an engagement event.")
    subject: str = Field(description="The lead's id; of an engagement event the digest of its identity.")
    time: Moment = Field(description="When the fact holds, UTC.")
    datacontenttype: Literal["application/json"] = Field("application/json", description="Form of `data`.")
    workspace: str = Field(description="The tenant whose fact this is.")


class LeadReference(Part, frozen=True, gc=False):
    """The lead a message is about, by every name it is known by."""

    id: Annotated[str, Field(description="leadflow's id of the lead, a UUID.")]
    emails: Annotated[tuple[str, ...], Field(description="Known addresses, normalised; the latest learnt first.")]
    external_ids: Annotated[
        dict[str, tuple[str, ...]],
        Field(description="Known ids by the system that gave them (`hubspot`, `salesforce` ...)."),
    ]


def message_id(topic: TopicSpec, lead_id: str, sequence: int) -> str:
    """The id of the `sequence`-th message about a lead on a topic: computed, so it can never differ.

    It is what uuid5 of the standard library gives, in a third of the time.
    """
    digest = sha1(_MESSAGES + f"{topic.name}/{lead_id}/{sequence}".encode(), usedforsecurity=False).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{_VARIANT[digest[16]]}{digest[17:20]}-{digest[20:32]}"


def rfc3339(moment: datetime) -> str:
    """`moment`, aware and in UTC, as messages write it."""
    return moment.isoformat().replace("+00:00", "Z")
