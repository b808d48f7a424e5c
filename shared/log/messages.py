"""What a record says, once its body and its headers agree on whose it is."""

from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.json import Decoder

from shared.errors import InvalidInput
from shared.events.codec import AnyMessage, decode
from shared.log.protocol import ReceivedRecord

WORKSPACE_HEADER: Final = "workspace"
RECEIVED_HEADER: Final = "received-at"
"""When the first of the events was received from which a message of the scorer follows."""


class _Owned(Struct):
    """The one field of a message that is looked at here; the rest is passed over."""

    workspace: str


_OWNED: Final = Decoder(_Owned)


def workspace_of(value: bytes) -> bytes:
    """Whose a message of ours is, as it goes into the header."""
    return _OWNED.decode(value).workspace.encode()


def message_of(record: ReceivedRecord) -> AnyMessage:
    """The message in a record. A record whose headers name no workspace is its body's.

    Raises InvalidInput for what is no message of leadflow's, and for one that its headers give to another workspace.
    """
    message = decode(record.value)
    if not is_owned_by(record, message.workspace):
        raise InvalidInput(
            "headers and body name different workspaces", code="workspace_mismatch", field=WORKSPACE_HEADER
        )
    return message


def is_owned_by(record: ReceivedRecord, workspace: str) -> bool:
    """Whether its headers agree, as far as they say anything."""
    return record.headers.get(WORKSPACE_HEADER) in {None, workspace.encode()}


def received_at_of(record: ReceivedRecord) -> datetime | None:
    """When the first event of a message was received, as far as its headers say."""
    said = record.headers.get(RECEIVED_HEADER)
    if said is None:
        return None
    try:
        moment = datetime.fromisoformat(said.decode("latin-1"))
    except ValueError:
        return None
    return moment if moment.tzinfo else None
