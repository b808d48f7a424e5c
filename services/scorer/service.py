"""What the scorer does: counts events, tells what time alone changed, and follows a newly activated model.

Each is one transaction: what was stored, what the state became, and what is to be told stand or fall together.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from services.scorer import metrics
from services.scorer.causes import UNTRACED, Causes, Traces, event_key
from services.scorer.domain.counting.tally import HistoryNeeded
from services.scorer.domain.identities.identity import IdentityKey, KnownLead, Person, resolve
from services.scorer.domain.identities.separation import partners
from services.scorer.domain.lead import (
    ActiveModel,
    Happening,
    Lead,
    Outcome,
    happen,
    happen_stepwise,
    is_outdated,
    part,
    pass_time,
    rebuilt,
)
from services.scorer.domain.steps import Steps, at_once, side_by_side
from services.scorer.erasure import erasing
from services.scorer.erasure.erasing import Asked
from services.scorer.leads import repository as lead_repository
from services.scorer.leads import sealed_names, stored_leads
from services.scorer.leads.remembered_leads import RememberedLeads, Written
from services.scorer.leads.repository import EventKey, StoredEvent
from services.scorer.leads.stored_leads import Contended
from services.scorer.merges import repository as merge_repository
from services.scorer.merges import separating
from services.scorer.merges.repository import Decision
from services.scorer.merges.separating import Parted
from services.scorer.models.versions import ModelBook
from services.scorer.shadows.following import Changed, Shadows
from shared.clock import Clock
from shared.db.engine import Database
from shared.db.outbox import Outbox, Outgoing
from shared.db.reach import ALL_WORKSPACES, Reach
from shared.events.accepting import Accepted, digest_of
from shared.events.engagement import EVENT_VOIDED
from shared.events.scores import LeadMerged, LeadScoreChanged
from shared.events.topics import LEAD_SCORES
from shared.failpoints import reach
from shared.observability.metrics import END_TO_END
from shared.observability.tracing import TraceContext
from shared.sealing.erasures import Erasure

_SCORED = END_TO_END.labels("scored")

Note = Callable[[AsyncConnection, Sequence[bool]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Done:
    """What a transaction came to, once it is committed: what is told, and leads as they are stored."""

    told: Sequence[Outgoing] = ()
    written: Written | None = None


class Scorer:
    """The use cases of the scorer. Each may be repeated: what was done once is not done again.

    All raise TransientError when PostgreSQL is in trouble or another transaction was faster; then nothing was done.
    """

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        clock: Clock,
        *,
        new_id: Callable[[], UUID] = uuid4,
        remembered: RememberedLeads | None = None,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._clock = clock
        self._new_id = new_id
        self._models = ModelBook()
        self._shadows = Shadows(database, clock, self._models)
        self._remembered = remembered or RememberedLeads()

    async def count(
        self,
        messages: Sequence[Accepted],
        *,
        reach: Reach,
        note: Note | None = None,
        traces: Traces = UNTRACED,
    ) -> None:
        """Count each event once, whoever brings it how often; all are of workspaces within `reach`.

        `note` is told in the same transaction which of them were new. What is told goes on in their `traces`.
        """
        with metrics.TRANSACTION.time():
            async with self._database.transaction(reach) as connection:
                fresh, repetitions = await self._without_duplicates(connection, messages)
                counted, done = await self._count_fresh(connection, fresh, traces) if fresh else ([], _Done())
                if note is not None:
                    new = {id(message) for message in counted}
                    await note(connection, [id(message) in new for message in messages])
        self._committed(done)
        self._observe(counted, [*repetitions, *["erased"] * (len(fresh) - len(counted))])

    async def tell_what_time_did(self, limit: int) -> int:
        """Tell the changes whose moment has come, of up to `limit` leads; returns how many leads those were."""
        now = self._clock.now()
        async with self._database.transaction(ALL_WORKSPACES) as connection:
            due = await lead_repository.leads_due(connection, now, limit)
            leads = (await stored_leads.take(connection, due, self._remembered)).leads

            def update(active: ActiveModel, lead: Lead, id_: UUID, _is_rebuilt: bool) -> Steps[Outcome]:
                yield
                # What was due under another version never comes; that another one counts now is the news.
                if is_outdated(active, leads[id_]):
                    return happen(active, lead, Happening(), now, is_rebuilt=True)
                return pass_time(active, lead, now)

            done = await self._update(connection, leads, update, {})
        self._committed(done)
        return len(leads)

    async def follow_active_models(self, limit: int) -> int:
        """Recompute up to `limit` leads whose scores are of a model that no longer counts; returns how many."""
        async with self._database.transaction(ALL_WORKSPACES) as connection:
            behind = await lead_repository.leads_behind(connection, limit)
            leads = await stored_leads.lock(connection, behind)
            done = await self._let_happen(connection, leads, {})
        self._committed(done)
        return len(leads)

    async def follow_shadows(self, limit: int) -> int:
        """What versions in the shadow need behind the events, up to `limit` leads of each kind; returns how many."""
        return await self._shadows.work(limit)

    async def merge(self, workspace: str, lead_id: UUID, absorbed: UUID, *, actor: str, reason: str) -> UUID:
        """Make two leads one because a person says so, even if they were set apart; returns the survivor.

        Raises InvalidInput (`not_found`), Refused (`same_lead`).
        """
        decision = Decision(self._clock.now(), actor, reason)
        async with self._database.transaction(workspace) as connection:
            survivor, gone = await separating.join(connection, workspace, lead_id, absorbed, decision)
            leads = await stored_leads.lock(connection, [survivor])
            done = await self._let_happen(connection, leads, {survivor: Happening(absorbed=(gone,))})
        self._committed(done)
        return survivor

    async def unmerge(self, workspace: str, lead_id: UUID, absorbed: UUID, *, actor: str, reason: str) -> Parted:
        """Make two leads of one again: `absorbed`, which had become part of the lead, gets back what is its own.

        Raises InvalidInput (`not_found`), Refused (`not_merged`).
        """
        now = self._clock.now()
        async with self._database.transaction(workspace) as connection:
            parted = await separating.part(connection, workspace, lead_id, absorbed, Decision(now, actor, reason))
            leads = await stored_leads.lock(connection, (parted.survivor, parted.restored))

            def update(active: ActiveModel, lead: Lead, id_: UUID, is_rebuilt: bool) -> Steps[Outcome]:
                if not is_rebuilt:
                    raise HistoryNeeded("its events are others now")
                yield
                return part(active, lead, parted.parting(id_), now)

            done = await self._update(connection, leads, update, {})
        self._committed(done)
        metrics.UNMERGES.inc()
        return parted

    async def erase(self, workspace: str, lead_id: UUID, *, actor: str) -> Erasure:
        """Erase a lead and all that had become part of it, for good; what is left for other services to do.

        Raises InvalidInput (`not_found`).
        """
        asked = Asked(self._new_id(), self._clock.now(), actor)
        async with self._database.transaction(workspace) as connection:
            erasure, messages = await erasing.erase(connection, workspace, lead_id, asked)
            told = [Outgoing(LEAD_SCORES, str(erasure.lead_id), message) for message in messages]
            await self._outbox.append(connection, told)
        self._remembered.forget(erasure.leads)
        self._committed(_Done(told))
        metrics.ERASURES.inc()
        return erasure

    async def _without_duplicates(
        self, connection: AsyncConnection, messages: Sequence[Accepted]
    ) -> tuple[list[Accepted], list[str]]:
        """The events that are new here, and what each of the others is."""
        first: dict[EventKey, Accepted] = {}
        for message in messages:
            first.setdefault(event_key(message), message)
        known = await lead_repository.known_events(connection, list(first))
        repetitions: list[str] = []
        for message in messages:
            key = event_key(message)
            if key in known:
                repetitions.append(_repetition(known[key], message))
            elif first[key] is not message:
                repetitions.append(_repetition(digest_of(first[key].body), message))
        return [message for key, message in first.items() if key not in known], repetitions

    async def _count_fresh(
        self, connection: AsyncConnection, fresh: Sequence[Accepted], traces: Traces
    ) -> tuple[Sequence[Accepted], _Done]:
        """Those of the events that count, and what that came to."""
        now = self._clock.now()
        people = await self._who(connection, [_names(message) for message in fresh])
        # After the names: a lead that is erased in between is found by one of the two, or cannot be locked.
        counted = await erasing.without_forgotten(connection, fresh)
        if len(counted) < len(fresh):
            people = await self._who(connection, [_names(message) for message in counted])
        leads = await self._lock(connection, [known for person in people for known in person.leads])
        survivors = await self._settle_identities(connection, people, now)
        owners = {index: survivors[place] for place, person in enumerate(people) for index in person.mentions}
        await _store(connection, [(message, owners[index]) for index, message in enumerate(counted)], traces)
        reach("events-stored-states-not")
        happenings = {survivors[place]: _happening(person, counted, leads) for place, person in enumerate(people)}
        causes = Causes(traces)
        for index, message in enumerate(counted):
            causes.add(owners[index], message)
        await self._retract(connection, counted, happenings, causes)
        unchanged = {
            survivor: leads[survivor]
            for person, survivor in zip(people, survivors, strict=True)
            if len(person.leads) == 1 and not person.unknown
        }
        touched = {**unchanged, **await stored_leads.lock(connection, happenings.keys() - unchanged.keys())}
        return counted, await self._let_happen(connection, touched, happenings, causes)

    async def _who(
        self, connection: AsyncConnection, mentions: Sequence[Sequence[IdentityKey]]
    ) -> tuple[Person, ...]:
        """The persons behind the mentions. Whoever is new or to be merged is locked, and looked at again after."""
        names = {name for mention in mentions for name in mention}
        locked: set[IdentityKey] = set()
        while True:
            people = await self._resolve(
                connection, mentions, await lead_repository.known_identities(connection, names)
            )
            contested = {name for person in people if not person.is_settled for name in person.names}
            if contested <= locked:
                return people
            await lead_repository.lock_identities(connection, contested)
            locked |= contested

    async def _resolve(
        self,
        connection: AsyncConnection,
        mentions: Sequence[Sequence[IdentityKey]],
        known: Mapping[IdentityKey, KnownLead],
    ) -> tuple[Person, ...]:
        """Who is who; leads that are set apart are looked for only where some would become one."""
        people = resolve(mentions, known)
        meeting = {lead.id for person in people if len(person.leads) > 1 for lead in person.leads}
        apart = await merge_repository.separations(connection, meeting) if meeting else []
        return resolve(mentions, known, partners(apart)) if apart else people

    async def _lock(self, connection: AsyncConnection, known: Sequence[KnownLead]) -> Mapping[UUID, Lead]:
        """The leads that names led to. Raises Contended if they may lead elsewhere by now, or nowhere."""
        locked = await stored_leads.take(connection, {lead.id for lead in known}, self._remembered)
        if any(lead.id not in locked.leads for lead in known):
            raise Contended("a lead was erased meanwhile")
        if any(locked.partings[lead.id] != lead.partings for lead in known):
            raise Contended("names of a lead were given to another one meanwhile")
        return locked.leads

    async def _settle_identities(
        self, connection: AsyncConnection, people: Sequence[Person], now: datetime
    ) -> list[UUID]:
        """Create, merge and name leads; returns the surviving lead of each person."""
        survivors = [person.leads[0].id if person.leads else self._new_id() for person in people]
        together = list(zip(people, survivors, strict=True))
        created = [(id_, _workspace(person)) for person, id_ in together if not person.leads]
        await lead_repository.create_leads(connection, created, now)
        for person, survivor in together:
            if len(person.leads) > 1:
                absorbed = [known.id for known in person.leads[1:]]
                await lead_repository.merge_leads(connection, _workspace(person), survivor, absorbed, now)
        learnt = [(name, survivor) for person, survivor in together for name in sorted(person.unknown)]
        await sealed_names.learn(connection, learnt, now)
        return survivors

    async def _retract(
        self,
        connection: AsyncConnection,
        fresh: Sequence[Accepted],
        happenings: dict[UUID, Happening],
        causes: Causes,
    ) -> None:
        for message in fresh:
            target = message.data.properties.get("event_id")
            if message.data.type != EVENT_VOIDED or not isinstance(target, str):
                continue
            key = EventKey(message.workspace, message.data.source, target)
            for owner in await lead_repository.void_events(connection, [key]):
                happenings[owner] = happenings.get(owner, Happening()).with_retraction(message.data)
                causes.add(owner, message)

    async def _let_happen(
        self,
        connection: AsyncConnection,
        leads: Mapping[UUID, Lead],
        happenings: Mapping[UUID, Happening],
        causes: Causes | None = None,
    ) -> _Done:
        now = self._clock.now()

        def update(active: ActiveModel, lead: Lead, id_: UUID, is_rebuilt: bool) -> Steps[Outcome]:
            return happen_stepwise(active, lead, happenings.get(id_, Happening()), now, is_rebuilt=is_rebuilt)

        return await self._update(connection, leads, update, happenings, causes)

    async def _update(
        self,
        connection: AsyncConnection,
        leads: Mapping[UUID, Lead],
        update: Callable[[ActiveModel, Lead, UUID, bool], Steps[Outcome]],
        happenings: Mapping[UUID, Happening],
        causes: Causes | None = None,
    ) -> _Done:
        """Apply `update` to each lead, on its folded state where that can answer, else on its whole history.

        Returns what that comes to once the transaction is committed.
        """
        if not leads:
            return _Done()
        chosen = await self._models.chosen(connection, (lead.workspace for lead in leads.values()))
        apart = [lead for id_, lead in leads.items() if id_ not in happenings or not happenings[id_].absorbed]
        inherited = await self._shadows.inherited(connection, chosen, apart)

        def begun() -> Iterator[tuple[UUID, Steps[Outcome]]]:
            for id_, lead in leads.items():
                active = chosen[lead.workspace].active
                if id_ in inherited:
                    translated = replace(lead, version=active.version, state=inherited[id_])
                    yield id_, update(active, translated, id_, True)
                elif not is_outdated(active, lead):
                    yield id_, update(active, lead, id_, False)

        outcomes = side_by_side(begun(), without=HistoryNeeded)
        unanswered = [id_ for id_ in leads if id_ not in outcomes]
        histories = await stored_leads.histories(connection, unanswered) if unanswered else {}
        for id_, history in histories.items():
            lead, active = leads[id_], chosen[leads[id_].workspace].active
            metrics.RECOMPUTES.labels("model" if is_outdated(active, lead) else "history").inc()
            outcomes[id_] = at_once(update(active, rebuilt(active, lead, history), id_, True))
        as_of = self._remembered.forgotten
        mark, sizes = await stored_leads.save(connection, leads, outcomes)
        await self._shadows.follow(connection, chosen, _changed(leads, outcomes, happenings))
        told = _outgoing(outcomes, causes or Causes())
        await self._outbox.append(connection, told)
        after = {id_: outcome.lead for id_, outcome in outcomes.items()}
        return _Done(told, Written(mark, after, sizes, as_of))

    def _committed(self, done: _Done) -> None:
        """Memory and metrics follow the commit: what a failed transaction did is done, and counted, again."""
        if done.written is not None:
            self._remembered.remember(done.written)
        self._outbox.wake()
        changes = [item.message.data for item in done.told if isinstance(item.message, LeadScoreChanged)]
        for cause, count in Counter(change.cause for change in changes).items():
            metrics.SCORE_CHANGES.labels(cause).inc(count)
        for change in changes:
            if change.cause == "time":
                metrics.DUE_DELAY.observe(max(0.0, (self._clock.now() - change.at).total_seconds()))
        metrics.MERGES.inc(sum(isinstance(item.message, LeadMerged) for item in done.told))

    def _observe(self, fresh: Sequence[Accepted], repetitions: Sequence[str]) -> None:
        now = self._clock.now()
        metrics.EVENTS.labels("scored").inc(len(fresh))
        for repetition in repetitions:
            metrics.EVENTS.labels(repetition).inc()
        for message in fresh:
            _SCORED.observe(max(0.0, (now - message.data.received_at).total_seconds()))


async def _store(connection: AsyncConnection, owned: Sequence[tuple[Accepted, UUID]], traces: Traces) -> None:
    stored = [_stored(message, owner, traces.get(event_key(message))) for message, owner in owned]
    if await lead_repository.store_events(connection, stored) != len(stored):
        raise Contended("another scorer stored one of these events meanwhile")


def _happening(person: Person, fresh: Sequence[Accepted], leads: Mapping[UUID, Lead]) -> Happening:
    return Happening(
        events=tuple(fresh[index].data for index in person.mentions),
        absorbed=tuple(leads[known.id] for known in person.leads[1:]),
    )


def _changed(
    leads: Mapping[UUID, Lead], outcomes: Mapping[UUID, Outcome], happenings: Mapping[UUID, Happening]
) -> dict[UUID, Changed]:
    """What a shadow has to follow: leads to whom something happened, and those that another version has now."""
    return {
        id_: Changed(
            outcome.lead, happenings.get(id_, Happening()), is_new=id_ in happenings and leads[id_].version is None
        )
        for id_, outcome in outcomes.items()
        if id_ in happenings or leads[id_].version != outcome.lead.version
    }


def _outgoing(outcomes: Mapping[UUID, Outcome], causes: Causes) -> list[Outgoing]:
    told: list[Outgoing] = []
    for id_, outcome in outcomes.items():
        if outcome.messages:
            trace, received_at = causes.follow(id_), causes.received_at(id_)
            told += [Outgoing(LEAD_SCORES, str(id_), message, trace, received_at) for message in outcome.messages]
    return told


def _names(message: Accepted) -> list[IdentityKey]:
    return [IdentityKey(message.workspace, kind, value) for kind, value in message.data.lead.keys()]  # noqa: SIM118


def _workspace(person: Person) -> str:
    return next(iter(person.names)).workspace


def _stored(message: Accepted, owner: UUID, trace: TraceContext | None) -> StoredEvent:
    event = message.data
    return StoredEvent(
        key=event_key(message),
        lead_id=owner,
        type=event.type,
        occurred_at=event.occurred_at,
        received_at=event.received_at,
        body=message.body,
        digest=digest_of(message.body),
        trace_id=trace.trace_id if trace else None,
    )


def _repetition(digest: bytes | None, message: Accepted) -> str:
    if digest is None:
        return "retracted"
    return "duplicate" if digest == digest_of(message.body) else "conflict"
