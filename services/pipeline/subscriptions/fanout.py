"""Who is told: every message goes to the feed, and meets every enabled subscription of its workspace, once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.pipeline.delivery.operational import DISABLED, OperationalMessage
from services.pipeline.domain.subscription import passes
from services.pipeline.feed import entries as feed
from services.pipeline.feed.entries import Told
from services.pipeline.sealed import message_bodies
from services.pipeline.subscriptions.repository import Subscription, enabled_of
from shared.db import routine
from shared.events.envelope import Message
from shared.events.json import Json
from shared.events.scores import LeadErased
from shared.observability.tracing import TraceContext
from shared.sealing.data_keys import Item, sealing_of

DELIVERED_TYPES = (
    "lead.score_changed",
    "lead.merged",
    "lead.unmerged",
    "lead.erased",
    "lead.threshold_entered",
    "lead.threshold_left",
    "lead.qualified",
    "lead.disqualified",
    "lead.qualification_reopened",
    "lead.stage_changed",
    "lead.stalled",
)
# Only who names them gets them: they are about webhooks and not about leads.
OPERATIONAL_TYPES = (DISABLED,)

_KEEP = """
    INSERT INTO pipeline.webhook_message (id, type, body, created_at, traceparent, tracestate)
    SELECT id, type, body, CAST(:now AS timestamptz), traceparent, tracestate
    FROM unnest(CAST(:ids AS text[]), CAST(:types AS text[]), CAST(:bodies AS bytea[]),
                CAST(:traces AS text[]), CAST(:states AS text[]))
         AS item (id, type, body, traceparent, tracestate)
    ON CONFLICT DO NOTHING
"""
_DELIVER = """
    INSERT INTO pipeline.delivery (subscription_id, message_id, lead_id, state, next_at, created_at)
    SELECT subscription_id, message_id, lead_id, 'pending', greatest(CAST(:now AS timestamptz), (
        SELECT first.next_at FROM pipeline.delivery AS first
        WHERE first.subscription_id = item.subscription_id AND first.lead_id = item.lead_id
            AND first.state = 'pending' ORDER BY first.id LIMIT 1
    )), CAST(:now AS timestamptz)
    FROM unnest(CAST(:subscriptions AS uuid[]), CAST(:messages AS text[]), CAST(:leads AS text[]))
         WITH ORDINALITY AS item (subscription_id, message_id, lead_id, number)
    ORDER BY number
    ON CONFLICT DO NOTHING
"""
_AWAIT = """
    INSERT INTO pipeline.undelivered (message_id, received_at)
    SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:moments AS timestamptz[]))
    ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message on its way to one subscriber; deliveries about one lead keep their order."""

    subscription_id: UUID
    message_id: str
    lead_id: str


@dataclass(slots=True)
class FanOut:
    """Gathers what one transaction tells, and the deliveries of it.

    `trace` is where what is added comes from, `received_at` when the event was received from which it follows.
    """

    subscriptions: Mapping[str, Sequence[Subscription]]
    now: datetime
    deliveries: list[Delivery] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    trace: TraceContext | None = None
    received_at: datetime | None = None
    _bodies: dict[str, "_Body"] = field(default_factory=dict)
    _sealed: dict[str, bytes] = field(default_factory=dict)

    def add(self, message: Message, body: bytes) -> None:
        """Tell `body`, the message exactly as it is on the log, to the feed and to whoever subscribed to it."""
        kind = str(getattr(message, "type", ""))
        self.told.append(Told(message.workspace, message.id, kind, message.subject))
        owner = None if isinstance(message, LeadErased) else (UUID(message.subject), message.workspace)
        self._bodies[message.id] = _Body(kind, body, owner, self.trace, self.received_at)
        listening = [item for item in self.subscriptions.get(message.workspace, ()) if _hears(item, kind)]
        fields = _fields(message) if any(item.filter for item in listening) else {}
        for subscription in listening:
            if passes(subscription.filter, fields):
                self.deliveries.append(Delivery(subscription.id, message.id, message.subject))

    def announce(self, message: OperationalMessage) -> None:
        """Tell something about webhooks themselves to whoever subscribed to it; it is nothing for the feed."""
        for subscription in self.subscriptions.get(message.workspace, ()):
            if message.type in subscription.event_types and passes(subscription.filter, message.fields):
                self.add_for(Delivery(subscription.id, message.id, message.subject), message.type, message.body)

    def add_for(self, delivery: Delivery, kind: str, body: bytes) -> None:
        """Deliver `body`, of the type `kind` and about no lead, to one subscription."""
        self.deliveries.append(delivery)
        self._bodies[delivery.message_id] = _Body(kind, body, None, self.trace, None)

    async def write(self, connection: AsyncConnection) -> None:
        """Write messages, deliveries and, last, the feed; a message that was fanned out before is not again.

        What must wait behind another message about its lead is not looked at before that one is tried again.
        """
        if not self._bodies:
            return
        sealed = await self.sealed(connection)
        await routine.rows(
            connection,
            _KEEP,
            ids=list(self._bodies),
            types=[body.kind for body in self._bodies.values()],
            bodies=[sealed.get(id_, body.content) for id_, body in self._bodies.items()],
            traces=[str(body.trace) if body.trace else None for body in self._bodies.values()],
            states=[body.trace.state or None if body.trace else None for body in self._bodies.values()],
            now=self.now,
        )
        if self.deliveries:
            await routine.rows(
                connection,
                _DELIVER,
                subscriptions=[item.subscription_id for item in self.deliveries],
                messages=[item.message_id for item in self.deliveries],
                leads=[item.lead_id for item in self.deliveries],
                now=self.now,
            )
        await self._write_undelivered(connection)
        await feed.append(connection, self.told, self.now)

    async def sealed(self, connection: AsyncConnection) -> Mapping[str, bytes]:
        """The bodies about leads, by the ids of their messages: each is sealed once, with the key of its lead."""
        about = {id_: (body, body.owner) for id_, body in self._bodies.items() if id_ not in self._sealed}
        items = {id_: Item(*owner, body.content) for id_, (body, owner) in about.items() if owner is not None}
        sealed = await sealing_of(connection).seal(connection, list(items.values()), message_bodies.SEALED_AS)
        self._sealed.update(zip(items, sealed, strict=True))
        return self._sealed

    async def _write_undelivered(self, connection: AsyncConnection) -> None:
        """What follows from events and has receivers: from the events' receipt to the first delivery is measured."""
        received = {item.message_id: self._bodies[item.message_id].received_at for item in self.deliveries}
        waiting = {id_: moment for id_, moment in received.items() if moment is not None}
        if waiting:
            await routine.rows(connection, _AWAIT, ids=list(waiting), moments=list(waiting.values()))


@dataclass(frozen=True, slots=True)
class _Body:
    """What is told, and the lead with its workspace that it is about, if it says anything about one."""

    kind: str
    content: bytes
    owner: tuple[UUID, str] | None
    trace: TraceContext | None
    received_at: datetime | None


async def fan_out_for(connection: AsyncConnection, workspaces: Iterable[str], now: datetime) -> FanOut:
    """A FanOut that knows the subscriptions of these workspaces as of this transaction."""
    return FanOut(await enabled_of(connection, workspaces), now)


def _hears(subscription: Subscription, kind: str) -> bool:
    """Who names no type hears all that later releases may add."""
    return kind in subscription.event_types or (not subscription.event_types and kind in DELIVERED_TYPES)


def _fields(message: Message) -> dict[str, Json]:
    fields: dict[str, Json] = message.model_dump(mode="json")
    return fields
