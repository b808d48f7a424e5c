"""An event as the core sees it: what happened and when, without who the lead is."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.events.accepting import AcceptedEvent
from shared.events.curve import microseconds
from shared.events.json import Json


@dataclass(frozen=True, slots=True)
class Event:
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
        occurred = microseconds(self.occurred_at)
        return occurred if self.received_at is None else min(occurred, microseconds(self.received_at))


def as_event(accepted: AcceptedEvent) -> Event:
    """What the core needs of an accepted event."""
    return Event(
        id=accepted.id,
        source=accepted.source,
        type=accepted.type,
        occurred_at=accepted.occurred_at,
        properties=accepted.properties,
        attributes=accepted.attributes,
        received_at=accepted.received_at,
    )
