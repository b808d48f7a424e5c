"""Retract, reset, adjust: a person's decision becomes an event of the contract, counted like all others, at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from services.scorer.domain.corrections import Correction, Retraction, check, event_type, properties
from services.scorer.domain.states.state import EventKey
from services.scorer.explaining import Explainer, Explanation
from services.scorer.leads import records
from services.scorer.leads import repository as lead_repository
from services.scorer.leads.records import RecordedEvent
from services.scorer.leads.stored_leads import Contended
from services.scorer.service import Scorer
from shared.clock import Clock
from shared.db.engine import Database
from shared.errors import InvalidInput, Refused
from shared.events.accepting import Accepted, as_accepted
from shared.events.engagement import (
    EVENT_VOIDED,
    EngagementAccepted,
    EngagementEvent,
    Identities,
    identity_digest,
)

SOURCE: Final = "leadflow"
_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class Corrected:
    """The event of a correction, whether it was there before, and where the lead stands now."""

    event: EngagementEvent
    repeated: bool
    explanation: Explanation


class Corrector:
    """Makes corrections. Each may be repeated with the same key: it is made once."""

    def __init__(self, database: Database, scorer: Scorer, explainer: Explainer, clock: Clock) -> None:
        self._database = database
        self._scorer = scorer
        self._explainer = explainer
        self._clock = clock

    async def correct(
        self,
        workspace: str,
        lead_id: UUID,
        correction: Correction,
        *,
        key: str | None,
        occurred_at: datetime | None = None,
    ) -> Corrected:
        """Let a correction count for the lead, since `occurred_at` or now; `key` names the request.

        Raises InvalidInput (`not_found`; InvalidDocument for what would have no effect; `conflict` for a key that
        named another request), and Refused where there is no model, or the event is retracted already.
        """
        now = self._clock.now()
        since = min(occurred_at or now, now)
        name = _name(correction, key or str(uuid4()))
        before = await self._stored(workspace, name)
        if before is None:
            await self._count(workspace, lead_id, correction, name, since=since, now=now)
        stored = before or await self._stored(workspace, name)
        explanation = await self._explainer.explain(workspace, lead_id)
        if stored is None or stored.owner != explanation.subject.id or not _is_of(stored.event, correction):
            raise InvalidInput("the key has named another request before", code="conflict", field="Idempotency-Key")
        return Corrected(stored.event, before is not None, explanation)

    async def _stored(self, workspace: str, name: EventKey) -> RecordedEvent | None:
        async with self._database.transaction(workspace) as connection:
            return await records.event_of(connection, workspace, name.source, name.id)

    async def _count(
        self,
        workspace: str,
        lead_id: UUID,
        correction: Correction,
        name: EventKey,
        *,
        since: datetime,
        now: datetime,
    ) -> None:
        explanation = await self._explainer.explain(workspace, lead_id)
        subject = explanation.subject
        if isinstance(correction, Retraction):
            await self._must_be_retractable(workspace, subject.id, correction)
        elif subject.active.version == 0:
            raise Refused("no model has been published in this workspace", code="no_model")
        check(subject.active.model, correction, occurred_at=since, now=now)
        names = await self._names(workspace, subject.id)
        event = EngagementEvent(
            id=name.id,
            source=name.source,
            type=event_type(correction),
            native_type=None,
            occurred_at=since,
            received_at=now,
            lead=names,
            properties=properties(correction),
            attributes={},
        )
        await self._count_at_last(as_accepted(_message(workspace, event)))

    async def _count_at_last(self, message: Accepted) -> None:
        """A lead that much happens to is often held by somebody else for a moment."""
        for _ in range(_TRIES - 1):
            try:
                return await self._scorer.count([message], reach=message.workspace)
            except Contended:
                continue
        return await self._scorer.count([message], reach=message.workspace)

    async def _must_be_retractable(self, workspace: str, lead: UUID, retraction: Retraction) -> None:
        target = await self._stored(workspace, EventKey(retraction.source, retraction.event_id))
        if target is None or target.owner != lead:
            raise InvalidInput("the lead has no such event", code="not_found", field="event_id")
        if target.event.type == EVENT_VOIDED:
            raise Refused("a retraction is final", code="final")
        if target.voided:
            raise Refused("the event is retracted already", code="already_retracted")

    async def _names(self, workspace: str, lead: UUID) -> Identities:
        """The lead's strongest name: one is enough to find it, and can never make it one with another."""
        async with self._database.transaction(workspace) as connection:
            names = (await lead_repository.names_of(connection, [lead])).get(lead, [])
        if not names:
            raise Refused("the lead has no name that an event could carry", code="no_names")
        return _identities(names)


def _name(correction: Correction, key: str) -> EventKey:
    """A retraction has the source of what it retracts; there its id keeps apart from the platform's own."""
    if isinstance(correction, Retraction):
        return EventKey(correction.source, f"leadflow-retraction/{key}")
    return EventKey(SOURCE, key)


def _is_of(event: EngagementEvent, correction: Correction) -> bool:
    return event.type == event_type(correction) and event.properties == properties(correction)


def _identities(names: Sequence[tuple[str, str]]) -> Identities:
    kind, value = min(names, key=lambda name: (_strength(name[0]), names.index(name)))
    return Identities(
        email=value if kind == "email" else None,
        external_ids={kind.removeprefix("external:"): value} if kind.startswith("external:") else {},
        anonymous_id=value if kind == "anonymous" else None,
    )


def _strength(kind: str) -> int:
    return {"email": 0, "anonymous": 2}.get(kind, 1)


def _message(workspace: str, event: EngagementEvent) -> EngagementAccepted:
    return EngagementAccepted(
        id=event.id,
        source=event.source,
        subject=identity_digest(workspace, event.lead),
        time=event.occurred_at,
        workspace=workspace,
        data=event,
    )
