"""An event as the core sees it: what happened and when, without who the lead is."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from shared.events.accepting import AcceptedEvent
from shared.events.curve import microseconds
from shared.events.json import Json


class Event(Struct, frozen=True, gc=False):
    """One deduplicated event of one lead. `(source, id)` is its identity; all times are aware."""

    id: str
    source: str
    type: str
    occurred_at: datetime
    properties: Mapping[str, Json]
    attributes: Mapping[str, Json]
    received_at: datetime | None = None

    @property
    def at_us(self) -> int:
        """When it counts as having happened: a time after its receipt is taken as the receipt."""
        if self.received_at is None or self.occurred_at <= self.received_at:
            return microseconds(self.occurred_at)
        return microseconds(self.received_at)


def as_event(accepted: AcceptedEvent) -> Event:
    """What the core needs of an accepted event."""
    return Event(
        accepted.id,
        accepted.source,
        accepted.type,
        accepted.occurred_at,
        accepted.properties,
        accepted.attributes,
        accepted.received_at,
    )
