"""Bytes to messages and back. The union of all messages is closed: what is not in it is not leadflow's."""

from typing import Annotated, Any, Final, TypeAlias, get_type_hints

from msgspec import DecodeError, defstruct
from msgspec.json import Decoder, Encoder
from msgspec.structs import asdict
from pydantic import Field, TypeAdapter, ValidationError

from shared.errors import InvalidInput
from shared.events.engagement import EngagementAccepted
from shared.events.envelope import Message
from shared.events.parked import ElementParked
from shared.events.part import Part
from shared.events.scores import LeadErased, LeadEventsRecorded, LeadMerged, LeadScoreChanged, LeadUnmerged
from shared.events.stages import (
    LeadDisqualified,
    LeadQualificationReopened,
    LeadQualified,
    LeadStageChanged,
    LeadStalled,
)
from shared.events.thresholds import LeadThresholdEntered, LeadThresholdLeft
from shared.events.topics import (
    ENGAGEMENT_EVENTS,
    LEAD_SCORES,
    LEAD_STAGES,
    LEAD_THRESHOLDS,
    PARKED_ELEMENTS,
    TopicSpec,
)

AnyMessage: TypeAlias = Annotated[
    EngagementAccepted
    | LeadEventsRecorded
    | LeadScoreChanged
    | LeadMerged
    | LeadUnmerged
    | LeadErased
    | LeadThresholdEntered
    | LeadThresholdLeft
    | LeadQualified
    | LeadDisqualified
    | LeadQualificationReopened
    | LeadStageChanged
    | LeadStalled
    | ElementParked,
    Field(discriminator="type"),
]

MESSAGES: dict[TopicSpec, tuple[type[Message], ...]] = {
    ENGAGEMENT_EVENTS: (EngagementAccepted,),
    LEAD_SCORES: (LeadEventsRecorded, LeadScoreChanged, LeadMerged, LeadUnmerged, LeadErased),
    LEAD_THRESHOLDS: (LeadThresholdEntered, LeadThresholdLeft),
    LEAD_STAGES: (LeadQualified, LeadDisqualified, LeadQualificationReopened, LeadStageChanged, LeadStalled),
    PARKED_ELEMENTS: (ElementParked,),
}

_ADAPTER: TypeAdapter[AnyMessage] = TypeAdapter(AnyMessage)


def _is_of_parts(message: type[Message]) -> bool:
    data = message.model_fields["data"].annotation
    return isinstance(data, type) and issubclass(data, Part)


_OF_PARTS: Final = frozenset(kind for kinds in MESSAGES.values() for kind in kinds if _is_of_parts(kind))
_ENCODE: Final = Encoder().encode
_TYPE: Final = b'"type":"'
# A NUL is written in no other way.
_NUL: Final = rb"\u0000"


def _plain(message: type[Message]) -> Decoder[Any]:
    """Reads what `encode` writes of such a message: its fields, one for one."""
    return Decoder(defstruct(message.__name__, list(get_type_hints(message, include_extras=True).items()), gc=False))


_PLAIN: Final = {kind.model_fields["type"].default.encode(): (kind, _plain(kind)) for kind in _OF_PARTS}


def encode(message: Message) -> bytes:
    """The message as the log and the webhooks carry it."""
    if type(message) in _OF_PARTS:
        return _ENCODE(vars(message))
    return message.__pydantic_serializer__.to_json(message)


def decode_plainly(body: bytes) -> Message | None:
    """The message of `body`, if it has parts and is written exactly as leadflow writes it; of anything else None.

    What comes out the same when written again was read as it was meant: nothing in it was odd, doubled or unknown.
    What it carries of facts can be stored.
    """
    start = body.find(_TYPE) + len(_TYPE)
    known = _PLAIN.get(body[start : body.find(b'"', start)])
    if known is None or _NUL in body:
        return None
    kind, plain = known
    try:
        read = plain.decode(body)
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return kind(**asdict(read)) if _ENCODE(read) == body else None


def message_schema() -> dict[str, Any]:
    """JSON Schema of any message, as it is written; which type has which part is in its `discriminator`."""
    return _ADAPTER.json_schema(mode="serialization")


def decode(body: bytes) -> AnyMessage:
    """The message in `body`. Raises InvalidInput, with the first fault, for what is none of leadflow's."""
    try:
        return _ADAPTER.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        path = ".".join(str(step) for step in first["loc"])
        raise InvalidInput(f"{path}: {first['msg']}", code="invalid_message", field=path) from error
