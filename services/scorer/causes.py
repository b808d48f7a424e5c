"""Where the changes of a batch come from: the traces and times of receipt of its events, lead by lead."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

from services.scorer.leads.repository import EventKey
from shared.events.accepting import Accepted
from shared.events.topics import LEAD_SCORES
from shared.observability import tracing
from shared.observability.tracing import TraceContext

Traces = Mapping[EventKey, TraceContext]
"""Where events come from."""

UNTRACED: Traces = MappingProxyType({})


class Causes:
    """For each lead of a batch the traces of the events that changed it, in their order, and when they came."""

    def __init__(self, traces: Traces = UNTRACED) -> None:
        self._traces = traces
        self._by_lead: dict[UUID, list[TraceContext]] = {}
        self._received_at: dict[UUID, datetime] = {}

    def add(self, lead_id: UUID, message: Accepted) -> None:
        """The lead changed because of `message`."""
        received_at = message.data.received_at
        self._received_at[lead_id] = min(received_at, self._received_at.get(lead_id, received_at))
        if (trace := self._traces.get(event_key(message))) is not None:
            self._by_lead.setdefault(lead_id, []).append(trace)

    def received_at(self, lead_id: UUID) -> datetime | None:
        """When the first of the events was received that changed the lead; None: no event did."""
        return self._received_at.get(lead_id)

    def follow(self, lead_id: UUID) -> TraceContext:
        """Go on in the trace of the last event, with links to the others. Without any: in that of the request in
        hand if a person made one, else in a new one, because only time has passed.
        """
        found = self._by_lead.get(lead_id, ())
        return tracing.follow(
            "score lead",
            "producer",
            parent=found[-1] if found else tracing.request(),
            links=found[:-1],
            attributes={"leadflow.lead": str(lead_id), "messaging.destination.name": LEAD_SCORES.name},
        )


def event_key(message: Accepted) -> EventKey:
    """What makes the event of `message` the same event."""
    return EventKey(message.workspace, message.data.source, message.data.id)
