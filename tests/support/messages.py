"""Messages for tests: say what matters, the rest is something plausible."""

from datetime import UTC, datetime, timedelta
from typing import Any

from shared.events.accepting import Accepted, as_accepted
from shared.events.codec import encode
from shared.events.engagement import EngagementAccepted, EngagementEvent, Identities, identity_digest

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def an_event(
    id: str = "e1",  # noqa: A002 - the field's name
    type: str = "page_viewed",  # noqa: A002
    *,
    at: datetime = NOON,
    received: datetime | None = None,
    email: str | None = None,
    anonymous_id: str | None = None,
    external_ids: dict[str, str] | None = None,
    source: str = "api",
    workspace: str = "default",
    properties: dict[str, Any] | None = None,
    attributes: dict[str, Any] | None = None,
) -> Accepted:
    """An accepted event; of ann@acme.example unless somebody is named."""
    if email is None and anonymous_id is None and not external_ids:
        email = "ann@acme.example"
    event = EngagementEvent(
        id=id,
        source=source,
        type=type,
        native_type=None,
        occurred_at=at,
        received_at=received or at + timedelta(seconds=1),
        lead=Identities(email=email, external_ids=external_ids or {}, anonymous_id=anonymous_id),
        properties=properties or {},
        attributes=attributes or {},
    )
    return as_accepted(a_message(event, workspace))


def a_message(event: EngagementEvent, workspace: str = "default") -> EngagementAccepted:
    """The message that says that `event` was accepted."""
    return EngagementAccepted(
        id=event.id,
        source=event.source,
        subject=identity_digest(workspace, event.lead),
        time=event.occurred_at,
        workspace=workspace,
        data=event,
    )


def on_the_log(accepted: Accepted) -> bytes:
    """The same as a record of the log has it."""
    event = EngagementEvent.model_validate_json(accepted.body)
    return encode(a_message(event, accepted.workspace))
