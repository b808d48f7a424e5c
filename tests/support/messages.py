"""Messages for tests: say what matters, the rest is something plausible."""

from datetime import UTC, datetime, timedelta
from typing import Any

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
) -> EngagementAccepted:
    """An accepted event; of ann@acme.example unless somebody is named."""
    if email is None and anonymous_id is None and not external_ids:
        email = "ann@acme.example"
    lead = Identities(email=email, external_ids=external_ids or {}, anonymous_id=anonymous_id)
    event = EngagementEvent(
        id=id,
        source=source,
        type=type,
        native_type=None,
        occurred_at=at,
        received_at=received or at + timedelta(seconds=1),
        lead=lead,
        properties=properties or {},
        attributes=attributes or {},
    )
    return EngagementAccepted(
        id=id, source=source, subject=identity_digest(workspace, lead), time=at, workspace=workspace, data=event
    )
