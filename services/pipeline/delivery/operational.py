"""Messages about webhooks themselves: a test, and that a subscription was disabled. No topic has them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic_core import to_json

from shared.events.envelope import rfc3339
from shared.events.json import Json

TESTED = "subscription.tested"
DISABLED = "subscription.disabled"


@dataclass(frozen=True, slots=True)
class OperationalMessage:
    """A CloudEvent about the subscription `subject`; `body` is what is signed and sent."""

    id: str
    type: str
    workspace: str
    subject: str
    fields: Mapping[str, Json]

    @property
    def body(self) -> bytes:
        return to_json(self.fields)


def tested(message_id: UUID, subscription_id: UUID, *, workspace: str, at: datetime) -> OperationalMessage:
    """A harmless message that says nothing but that it arrived."""
    return _message(TESTED, message_id, subscription_id, workspace=workspace, at=at, data={})


def disabled(
    message_id: UUID, subscription_id: UUID, *, workspace: str, at: datetime, data: Mapping[str, Json]
) -> OperationalMessage:
    """Nothing is sent to the subscription any more; `data` says why, and since when it failed."""
    return _message(DISABLED, message_id, subscription_id, workspace=workspace, at=at, data=data)


def _message(
    kind: str, message_id: UUID, subscription_id: UUID, *, workspace: str, at: datetime, data: Mapping[str, Json]
) -> OperationalMessage:
    subject = str(subscription_id)
    fields: dict[str, Json] = {
        "specversion": "1.0",
        "id": str(message_id),
        "source": "/leadflow/pipeline",
        "subject": subject,
        "type": kind,
        "time": rfc3339(at),
        "datacontenttype": "application/json",
        "workspace": workspace,
        "data": {"subscription": subject, **data},
    }
    return OperationalMessage(str(message_id), kind, workspace, subject, fields)
