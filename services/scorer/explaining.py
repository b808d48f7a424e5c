"""Leads as people ask about them: read, never written, at any moment past or future.

A past moment is told as it is known today: events that came late count from when they happened, retracted ones
never did. What the folded state cannot answer is computed from the lead's stored events.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.scorer import metrics
from services.scorer.domain.counting.tally import attributes_at, curve_from, needs_history, settled_until, tally_of
from services.scorer.domain.counting.verdicts import Verdict, verdicts
from services.scorer.domain.identities.identity import IdentityKey
from services.scorer.domain.lead import ActiveModel, Lead, is_outdated, rebuilt
from services.scorer.domain.scores.course import course
from services.scorer.domain.scores.forecast import forecast_from
from services.scorer.domain.scores.ledger import ledger_from
from services.scorer.domain.scores.standing import positions, standing_at
from services.scorer.domain.scores.words import sentences
from services.scorer.domain.states.state import EventKey
from services.scorer.domain.what_if import lift as domain
from services.scorer.domain.what_if.lift import Lift
from services.scorer.leads import records, stored_leads
from services.scorer.leads.records import EventPlace, RecordedEvent
from services.scorer.models.versions import ModelBook
from shared.clock import Clock
from shared.db.engine import Database
from shared.errors import InvalidInput
from shared.events.curve import microseconds
from shared.events.json import Json
from shared.events.scores import LedgerEntry, Standing, ThresholdPosition

# A silent lead changes as often as it has bands and thresholds to fall through; more than this is no forecast.
_MOST_CHANGES = 100


@dataclass(frozen=True, slots=True)
class Subject:
    """A lead with a state that answers for the moments that were asked for.

    `asked` is the id by which it was asked for: another one where that lead has been merged into this one.
    """

    id: UUID
    asked: UUID
    lead: Lead
    active: ActiveModel


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where a lead stands at `at`, and why: the entries of a score add up to it, before rounding."""

    subject: Subject
    at: datetime
    standing: Standing
    thresholds: dict[str, ThresholdPosition]
    ledger: dict[str, tuple[LedgerEntry, ...]]
    words: dict[str, tuple[str, ...]]
    attributes: dict[str, Json]


@dataclass(frozen=True, slots=True)
class Outlook:
    """What becomes of a lead that stays silent from `at` on: each change of its standing, at its moment."""

    subject: Subject
    at: datetime
    standing: Standing
    changes: tuple[tuple[datetime, Standing], ...]
    points: tuple[tuple[datetime, Standing], ...]


@dataclass(frozen=True, slots=True)
class Advice:
    """How the lead would reach the next band of `score`, and thresholds that have to do with it."""

    subject: Subject
    at: datetime
    score: str
    standing: Standing
    lifts: tuple[Lift, ...]


@dataclass(frozen=True, slots=True)
class JudgedEvent:
    """A stored event, and what became of it under each rule that it matches."""

    recorded: RecordedEvent
    verdicts: tuple[Verdict, ...]


class Explainer:
    """Answers questions about single leads. All raise InvalidInput (`not_found`) for a lead there is not."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._models = ModelBook()

    async def named(self, workspace: str, kind: str, value: str) -> UUID:
        """The id of the lead that goes by a name."""
        async with self._database.transaction(workspace) as connection:
            found = await records.lead_named(connection, IdentityKey(workspace, kind, value))
        if found is None:
            raise InvalidInput("no lead goes by this name", code="not_found", field="name")
        return found

    async def explain(self, workspace: str, lead_id: UUID, at: datetime | None = None) -> Explanation:
        """Where the lead stands at a moment, now unless told otherwise, and why."""
        moment = at or self._clock.now()
        subject = await self._subject(workspace, lead_id, since=moment)
        return await asyncio.to_thread(_explanation, subject, moment)

    async def outlook(self, workspace: str, lead_id: UUID, until: datetime, count: int) -> Outlook:
        """What becomes of the lead if it stays silent from now on, with `count` points up to `until`."""
        now = self._clock.now()
        if until <= now:
            raise InvalidInput("must lie in the future", field="until")
        subject = await self._subject(workspace, lead_id, since=now)
        return await asyncio.to_thread(_outlook, subject, now, until, count)

    async def course(
        self, workspace: str, lead_id: UUID, moments: Sequence[datetime]
    ) -> tuple[Subject, list[tuple[datetime, Standing]]]:
        """Where the lead stands at each of `moments`, which ascend."""
        subject = await self._subject(workspace, lead_id, since=moments[0])
        return subject, await asyncio.to_thread(_course, subject, moments)

    async def lift(self, workspace: str, lead_id: UUID, score: str | None) -> Advice:
        """What would lift the lead, as of now."""
        now = self._clock.now()
        subject = await self._subject(workspace, lead_id, since=now)
        model = subject.active.model
        about = score or domain.default_score(model)
        if about is None or about not in model.scores:
            raise InvalidInput("is no score of the active model", code="unknown_score", field="score")
        return await asyncio.to_thread(_advice, subject, now, about)

    async def events(
        self, workspace: str, lead_id: UUID, *, before: EventPlace | None, event_type: str | None, limit: int
    ) -> tuple[Subject, list[JudgedEvent]]:
        """What is recorded for the lead, the newest first, and what each event is worth now."""
        async with self._database.transaction(workspace) as connection:
            subject = await self._find(connection, workspace, lead_id)
            leads = [subject.id, *await records.absorbed_by(connection, subject.id)]
            found = await records.events_of(connection, leads, before=before, event_type=event_type, limit=limit)
            if subject.lead.state.settled or is_outdated(subject.active, subject.lead):
                subject = await self._from_history(connection, subject)
        return subject, await asyncio.to_thread(_judged, subject, found, self._clock.now())

    async def latest_event(self, workspace: str, lead_id: UUID) -> RecordedEvent | None:
        """What the lead did last, as recorded."""
        async with self._database.transaction(workspace) as connection:
            subject = await self._find(connection, workspace, lead_id)
            leads = [subject.id, *await records.absorbed_by(connection, subject.id)]
            found = await records.events_of(connection, leads, before=None, event_type=None, limit=1)
        return found[0] if found else None

    async def _subject(self, workspace: str, lead_id: UUID, *, since: datetime) -> Subject:
        async with self._database.transaction(workspace) as connection:
            subject = await self._find(connection, workspace, lead_id)
            if _can_answer(subject, since):
                return subject
            return await self._from_history(connection, subject)

    async def _find(self, connection: AsyncConnection, workspace: str, lead_id: UUID) -> Subject:
        survivor = await records.survivor_of(connection, workspace, lead_id)
        if survivor is None:
            raise InvalidInput("there is no such lead", code="not_found", field="lead_id")
        lead = (await stored_leads.read(connection, [survivor]))[survivor]
        active = (await self._models.active(connection, [workspace]))[workspace]
        return Subject(survivor, lead_id, lead, active)

    async def _from_history(self, connection: AsyncConnection, subject: Subject) -> Subject:
        metrics.RECOMPUTES.labels("asked").inc()
        history = (await stored_leads.histories(connection, [subject.id]))[subject.id]
        lead = await asyncio.to_thread(rebuilt, subject.active, subject.lead, history)
        return Subject(subject.id, subject.asked, lead, subject.active)


def _can_answer(subject: Subject, since: datetime) -> bool:
    state = subject.lead.state
    if is_outdated(subject.active, subject.lead) or needs_history(subject.active.model, state):
        return False
    return microseconds(since) >= settled_until(state)


def _explanation(subject: Subject, at: datetime) -> Explanation:
    model, state = subject.active.model, subject.lead.state
    tally = tally_of(model, state)
    standing = standing_at(model, curve_from(model, tally, microseconds(at)), at)
    ledger = ledger_from(model, tally, microseconds(at))
    return Explanation(
        subject=subject,
        at=at,
        standing=standing,
        thresholds=positions(model, standing),
        ledger=ledger,
        words=sentences(model, ledger, at),
        attributes=attributes_at(state, at),
    )


def _outlook(subject: Subject, now: datetime, until: datetime, count: int) -> Outlook:
    model = subject.active.model
    tally = tally_of(model, subject.lead.state)
    curve = curve_from(model, tally, microseconds(now))
    step = (until - now) / max(1, count)
    moments = [now + step * number for number in range(1, count)] + ([until] if count else [])
    return Outlook(
        subject=subject,
        at=now,
        standing=standing_at(model, curve, now),
        changes=_changes(subject, now),
        points=tuple(course(model, curve, moments)),
    )


def _changes(subject: Subject, now: datetime) -> tuple[tuple[datetime, Standing], ...]:
    model = subject.active.model
    tally = tally_of(model, subject.lead.state)
    found: list[tuple[datetime, Standing]] = []
    at = now
    while len(found) < _MOST_CHANGES:
        forecast = forecast_from(model, curve_from(model, tally, microseconds(at)))
        if forecast.changes_at is None or forecast.becomes is None:
            break
        at = forecast.changes_at
        found.append((at, forecast.becomes))
    return tuple(found)


def _course(subject: Subject, moments: Sequence[datetime]) -> list[tuple[datetime, Standing]]:
    model = subject.active.model
    curve = curve_from(model, tally_of(model, subject.lead.state), microseconds(moments[0]))
    return list(course(model, curve, moments))


def _advice(subject: Subject, now: datetime, score: str) -> Advice:
    model, state = subject.active.model, subject.lead.state
    standing = standing_at(model, curve_from(model, tally_of(model, state), microseconds(now)), now)
    lifts = tuple(domain.lift(model, state, now, goal) for goal in domain.goals(model, standing, score))
    return Advice(subject=subject, at=now, score=score, standing=standing, lifts=lifts)


def _judged(subject: Subject, found: Sequence[RecordedEvent], now: datetime) -> list[JudgedEvent]:
    keys = {EventKey(one.event.source, one.event.id) for one in found}
    by_event = verdicts(subject.active.model, subject.lead.state, now, of=keys)
    return [
        JudgedEvent(one, () if one.voided else by_event[EventKey(one.event.source, one.event.id)]) for one in found
    ]
