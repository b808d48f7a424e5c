"""The use cases of the pipeline: take in what the scorer says, move a lead for a person, tell what time did."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from services.pipeline import metrics
from services.pipeline.documents.versions import PipelineBook
from services.pipeline.domain import lead as domain
from services.pipeline.domain.facts import Moved, MoveRefused
from services.pipeline.domain.lead import Lead
from services.pipeline.domain.stages import Move
from services.pipeline.erasure import erasing
from services.pipeline.leads import repository as lead_repository
from services.pipeline.leads.repository import LeadKey, LeadRow
from services.pipeline.subscriptions.fanout import fan_out_for
from services.pipeline.work import Work, begin
from shared.clock import Clock
from shared.db.engine import Database
from shared.db.outbox import Outbox
from shared.db.reach import ALL_WORKSPACES
from shared.errors import InvalidInput, Refused
from shared.events.scores import LeadErased, LeadEventsRecorded, LeadMerged, LeadScoreChanged, LeadUnmerged
from shared.observability import tracing
from shared.observability.metrics import END_TO_END
from shared.observability.tracing import TraceContext

_EMITTED = END_TO_END.labels("emitted")

ScorerMessage = LeadEventsRecorded | LeadScoreChanged | LeadMerged | LeadUnmerged | LeadErased


@dataclass(frozen=True, slots=True)
class Received:
    """A message of the scorer with the bytes it came in, where it comes from, and since when that is here."""

    message: ScorerMessage
    body: bytes
    trace: TraceContext | None = None
    received_at: datetime | None = None


class PipelineService:
    """Everything that changes a lead goes through here, one transaction at a time.

    `on_told` is called after a commit that told something: the feed has grown, and subscribers wait.
    """

    def __init__(self, database: Database, clock: Clock, outbox: Outbox, *, on_told: Callable[[], None]) -> None:
        self._database = database
        self._clock = clock
        self._outbox = outbox
        self._book = PipelineBook()
        self._on_told = on_told
        self._thresholds: set[str] = set()

    async def take_in(self, batch: Sequence[Received]) -> None:
        """Let messages of the scorer, in the order of the log, have their effects once."""
        if not batch:
            return
        with metrics.TRANSACTION_SECONDS.time():
            async with self._database.transaction(ALL_WORKSPACES) as connection:
                work = await self._begin(connection, [key for item in batch for key in _leads_of(item.message)])
                erased = _erased(work, batch)
                outcomes = [_take_in(work, item, erased) for item in batch]
                await work.write()
        for item, outcome in zip(batch, outcomes, strict=True):
            metrics.MESSAGES.labels(outcome).inc()
            if outcome == "handled":
                self._observe(item.message)
        self._committed(work)

    async def move(self, workspace: str, lead_id: str, move: Move) -> Lead:
        """Move a lead for a person. Raises InvalidInput (not_found), or Refused with the guard's code.

        A refusal is committed too: it is a line of the timeline.
        """
        async with self._database.transaction(workspace) as connection:
            if await lead_repository.read_lead(connection, (workspace, lead_id)) is None:
                raise InvalidInput("there is no such lead", code="not_found", field="id")
            work = await self._begin(connection, [(workspace, lead_id)])
            row = work.survivor_of((workspace, lead_id))
            if row.is_erased:
                raise InvalidInput("there is no such lead", code="not_found", field="id")
            active = work.pipeline_of(row)
            if active is None:
                raise Refused("no pipeline has been published", code="no_pipeline")
            now = self._clock.now()
            work.because_of(tracing.request(), lead_id)
            lead, begun = domain.begun(row.lead, active.pipeline, now)
            lead, fact = domain.after_request(lead, move, active.pipeline, now)
            lead = replace(lead, word_at=now) if isinstance(fact, Moved) else lead
            work.unfold(row, lead, [*begun, fact])
            await work.write()
        self._committed(work)
        if isinstance(fact, MoveRefused):
            raise Refused(fact.message, code=fact.code)
        return lead

    async def tell_what_time_did(self, limit: int) -> int:
        """Tell what has come to pass by itself by now: stays overdue, evidence expired; returns how many leads."""
        now = self._clock.now()
        async with self._database.transaction(ALL_WORKSPACES) as connection:
            keys = await lead_repository.due_leads(connection, now, limit)
            if not keys:
                return 0
            work = await self._begin(connection, keys)
            delays = [delay for key in keys for delay in _tell_moments(work, key, now)]
            await work.write()
        for delay in delays:
            metrics.DUE_DELAY.observe(delay.total_seconds())
        self._committed(work)
        return len(keys)

    async def erase(self, workspace: str, lead_ids: Sequence[str]) -> None:
        """Erase these leads; what was told of them before, and is still on its way, brings none back."""
        async with self._database.transaction(ALL_WORKSPACES) as connection:
            keys = [(workspace, lead_id) for lead_id in lead_ids]
            await lead_repository.create_missing(connection, sorted(keys))
            rows = await lead_repository.lock_leads(connection, sorted(keys))
            await erasing.erase(connection, rows.values(), self._clock.now())

    async def _begin(self, connection: AsyncConnection, keys: Sequence[LeadKey]) -> Work:
        fan_out = await fan_out_for(connection, {workspace for workspace, _ in keys}, self._clock.now())
        return await begin(connection, self._book, fan_out, outbox=self._outbox, keys=keys)

    def _observe(self, message: ScorerMessage) -> None:
        match message:
            case LeadEventsRecorded(data=recorded):
                now = self._clock.now()
                for event in recorded.events:
                    _EMITTED.observe(max(0.0, (now - event.received_at).total_seconds()))
            case LeadScoreChanged(data=changed):
                for threshold in changed.thresholds.keys() - self._thresholds:
                    metrics.initialise_threshold(threshold)
                self._thresholds |= changed.thresholds.keys()
            case _:
                pass

    def _committed(self, work: Work) -> None:
        work.count()
        self._outbox.wake()
        if work.fan_out.told:
            self._on_told()


def _leads_of(message: ScorerMessage) -> list[LeadKey]:
    keys = [(message.workspace, message.data.lead.id)]
    if isinstance(message, LeadMerged):
        keys.append((message.workspace, message.data.absorbed))
    if isinstance(message, LeadErased):
        keys += [(message.workspace, absorbed) for absorbed in message.data.absorbed]
    return keys


def _erased(work: Work, batch: Sequence[Received]) -> set[LeadKey]:
    """The leads that are erased, or will be by this batch: of those nothing else is heard any more."""
    told = [item.message for item in batch if isinstance(item.message, LeadErased)]
    return {key for key, row in work.rows.items() if row.is_erased} | {
        key for message in told for key in _leads_of(message)
    }


def _take_in(work: Work, received: Received, erased: Collection[LeadKey]) -> str:
    message = received.message
    row = work.rows[message.workspace, message.data.lead.id]
    if message.data.sequence <= row.scores_seen:
        return "repeated"
    work.because_of(received.trace, row.lead.id, received.received_at)
    if isinstance(message, LeadErased):
        row.scores_seen = message.data.sequence
        work.erase(row, [work.rows[key] for key in _leads_of(message)[1:]])
        work.fan_out.add(message, received.body)
        return "handled"
    if row.key in erased:
        return "erased"
    row.scores_seen = message.data.sequence
    work.touch(row)
    if work.survivor_of(row.key).key in erased and not isinstance(message, LeadUnmerged):
        return "erased"
    match message:
        case LeadEventsRecorded():
            _take_in_events(work, row, message)
        case LeadScoreChanged():
            _take_in_score(work, row, message, received.body)
            # What another model merely recomputed is no news to subscribers; the thresholds it crosses are.
            if message.data.cause != "model":
                work.fan_out.add(message, received.body)
        case LeadMerged():
            if (message.workspace, message.data.absorbed) not in erased:
                _take_in_merge(work, row, message)
            work.fan_out.add(message, received.body)
        case LeadUnmerged():
            _take_in_unmerge(work, row, message)
            work.fan_out.add(message, received.body)
    return "handled"


def _take_in_events(work: Work, row: LeadRow, message: LeadEventsRecorded) -> None:
    survivor = work.survivor_of(row.key)
    active = work.pipeline_of(row)
    unfold = domain.after_events if survivor is row else domain.after_absorbed_events
    lead, facts = unfold(survivor.lead, message.data, active.pipeline if active else None)
    work.unfold(survivor, lead, facts)


def _take_in_score(work: Work, row: LeadRow, message: LeadScoreChanged, body: bytes) -> None:
    survivor = work.survivor_of(row.key)
    if survivor is not row:
        work.unfold(survivor, *domain.after_absorbed_score(survivor.lead, message.data))
        return
    active = work.pipeline_of(row)
    work.stand(message, body)
    work.unfold(row, *domain.after_score(row.lead, message.data, active.pipeline if active else None))


def _take_in_merge(work: Work, row: LeadRow, message: LeadMerged) -> None:
    absorbed = work.rows[message.workspace, message.data.absorbed]
    survivor = work.survivor_of(row.key)
    if absorbed.lead.absorbed_by is not None or survivor is absorbed or _is_undone(absorbed.lead, message):
        return
    active = work.pipeline_of(row)
    lead, facts = domain.after_merge(
        survivor.lead, absorbed.lead, message.data, pipeline=active.pipeline if active else None, at=message.time
    )
    work.absorb(absorbed, domain.gone(absorbed.lead, survivor.lead.id), survivor.lead.id)
    work.unfold(survivor, lead, facts)


def _is_undone(absorbed: Lead, message: LeadMerged) -> bool:
    """The two leads' messages come by different ways: a merge may be heard of after it has been taken back."""
    return absorbed.restored_at is not None and message.time <= absorbed.restored_at


def _take_in_unmerge(work: Work, row: LeadRow, message: LeadUnmerged) -> None:
    lead, facts = domain.after_unmerge(row.lead, message.data, message.time)
    work.unfold(row, lead, facts)
    work.reconsider_due(row)


def _tell_moments(work: Work, key: LeadKey, now: datetime) -> list[timedelta]:
    """Tell of one lead under its lock: it may have moved since it was looked for."""
    row = work.rows[key]
    if row.is_erased:
        return []
    active = work.pipeline_of(row)
    lead, facts = domain.after_moments(row.lead, active.pipeline if active else None, now)
    if facts:
        work.because_of(None, row.lead.id)
    work.unfold(row, lead, facts)
    work.reconsider_due(row)
    return [now - fact.at for fact in facts]
