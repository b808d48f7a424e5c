"""What a record says, once its body and its headers agree on whose it is."""

from typing import Final

from shared.errors import InvalidInput
from shared.events.codec import AnyMessage, decode
from shared.log.protocol import ReceivedRecord

WORKSPACE_HEADER: Final = "workspace"


def message_of(record: ReceivedRecord) -> AnyMessage:
    """The message in a record. A record whose headers name no workspace is its body's.

    Raises InvalidInput for what is no message of leadflow's, and for one that its headers give to another workspace.
    """
    message = decode(record.value)
    said = record.headers.get(WORKSPACE_HEADER)
    if said is not None and said != message.workspace.encode():
        raise InvalidInput(
            "headers and body name different workspaces", code="workspace_mismatch", field=WORKSPACE_HEADER
        )
    return message
