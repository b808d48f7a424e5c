"""One unit of work: leads held under their locks, facts gathered, everything written in one transaction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncConnection

from services.pipeline import metrics
from services.pipeline.documents.versions import ActivePipeline, PipelineBook
from services.pipeline.domain.facts import Crossed, Fact, Moved, MoveRefused
from services.pipeline.domain.lead import Lead
from services.pipeline.domain.past import after_facts
from services.pipeline.domain.reports.row import is_reported_otherwise, report_row
from services.pipeline.erasure import erasing
from services.pipeline.erasure import repository as erasure_repository
from services.pipeline.leads import hot_rows
from services.pipeline.leads import repository as lead_repository
from services.pipeline.leads.repository import LeadKey, LeadRow, Standing
from services.pipeline.leads.telling import Line, StayLine, tell
from services.pipeline.reports import rows as report_rows
from services.pipeline.subscriptions.fanout import FanOut
from shared.db.outbox import Outbox, Outgoing
from shared.events.codec import encode
from shared.events.scores import LeadScoreChanged
from shared.events.topics import ENGAGEMENT_EVENTS
from shared.observability import tracing
from shared.observability.tracing import TraceContext


@dataclass(slots=True)
class Work:
    """What a transaction has in hand; `write` puts it down. Lives no longer than its connection's transaction."""

    connection: AsyncConnection
    pipelines: Mapping[str, ActivePipeline]
    fan_out: FanOut
    outbox: Outbox
    rows: dict[LeadKey, LeadRow]
    _touched: set[LeadKey] = field(default_factory=set)
    _before: dict[LeadKey, Lead] = field(init=False)
    _due: set[LeadKey] = field(default_factory=set)
    _outgoing: list[Outgoing] = field(default_factory=list)
    _lines: list[tuple[LeadKey, Line, TraceContext | None]] = field(default_factory=list)
    _stays: list[tuple[LeadKey, StayLine]] = field(default_factory=list)
    _standings: dict[LeadKey, Standing] = field(default_factory=dict)
    _merges: list[tuple[LeadKey, str]] = field(default_factory=list)
    _facts: list[Fact] = field(default_factory=list)
    _erased: list[tuple[LeadRow, Sequence[LeadRow]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._before = {key: row.lead for key, row in self.rows.items()}

    def survivor_of(self, key: LeadKey) -> LeadRow:
        """The row of the lead, or of who has absorbed it by now."""
        row = self.rows[key]
        while row.lead.absorbed_by is not None:
            row = self.rows[key[0], row.lead.absorbed_by]
        return row

    def pipeline_of(self, row: LeadRow) -> ActivePipeline | None:
        """The active pipeline of the lead's workspace."""
        return self.pipelines.get(row.lead.workspace)

    def because_of(self, trace: TraceContext | None, lead_id: str, received_at: datetime | None = None) -> None:
        """What is told from now on goes on in this trace; without one, in a new one. An event that was received at
        `received_at` is why, if one is.
        """
        self.fan_out.received_at = received_at
        self.fan_out.trace = tracing.follow(
            "tell lead", "producer", parent=trace, attributes={"leadflow.lead": lead_id}
        )

    def unfold(self, row: LeadRow, lead: Lead, facts: Sequence[Fact]) -> None:
        """The lead is now `lead`, because `facts` came to pass."""
        if lead.next_moment != row.lead.next_moment:
            self._due.add(row.key)
        past = after_facts(lead.past, facts)
        if past is not lead.past:
            lead = replace(lead, past=past)
        row.lead = lead
        told = tell(lead, facts, self.pipeline_of(row), row.sequences, now=self.fan_out.now)
        self._touched.add(row.key)
        self._facts += facts
        self._outgoing += [replace(outgoing, trace=self.fan_out.trace) for outgoing in told.outgoing]
        self._lines += [(row.key, line, self.fan_out.trace) for line in told.lines]
        self._stays += [(row.key, stay) for stay in told.stays]
        for outgoing in told.outgoing:
            if outgoing.topic is ENGAGEMENT_EVENTS:
                continue
            self.fan_out.add(outgoing.message, encode(outgoing.message))

    def touch(self, row: LeadRow) -> None:
        """Write the row back although nothing came to pass for its lead."""
        self._touched.add(row.key)

    def reconsider_due(self, row: LeadRow) -> None:
        """Write the lead's due moment anew, whatever it was."""
        self._due.add(row.key)

    def stand(self, message: LeadScoreChanged, body: bytes) -> None:
        """The newest scores of the lead."""
        key = (message.workspace, message.data.lead.id)
        self._standings[key] = Standing(key, message.id, body, message.data)

    def absorb(self, absorbed: LeadRow, lead: Lead, survivor: str) -> None:
        """The lead of `absorbed` is no more."""
        absorbed.lead = lead
        self._touched.add(absorbed.key)
        self._standings.pop(absorbed.key, None)
        self._merges.append((absorbed.key, survivor))

    def erase(self, row: LeadRow, absorbed: Sequence[LeadRow]) -> None:
        """The lead is erased, with those that were part of it; nothing else comes to pass with any of them."""
        self._erased.append((row, absorbed))

    async def write(self) -> None:
        """Put everything down, in few statements however many leads there are."""
        for row, parts in self._erased:
            await erasing.erase(self.connection, (row, *parts), self.fan_out.now)
            await erasure_repository.note_seen(self.connection, row)
        rows = [self.rows[key] for key in sorted(self._touched)]
        if rows:
            await lead_repository.write_leads(self.connection, rows)
            await self._write_reported(rows)
        if self._due:
            await lead_repository.write_due(self.connection, [self.rows[key].lead for key in sorted(self._due)])
        if self._standings:
            await self._write_standings(list(self._standings.values()))
        await self._write_hot_rows(rows)
        if self._lines:
            await lead_repository.add_lines(self.connection, self._lines)
        if self._stays:
            await lead_repository.add_stays(self.connection, self._stays)
        for absorbed, survivor in self._merges:
            await lead_repository.hand_over(self.connection, absorbed, survivor)
        await self.outbox.append(self.connection, self._outgoing)
        await self.fan_out.write(self.connection)

    def count(self) -> None:
        """Let the metrics see what was written; after the commit, so that they count it once."""
        for fact in self._facts:
            match fact:
                case Crossed():
                    outcome = "suppressed" if fact.crossing.suppressed else "emitted"
                    metrics.count_crossing(fact.threshold, fact.crossing.direction, outcome)
                case Moved():
                    metrics.count_move(fact.from_stage, fact.to.id)
                case MoveRefused():
                    metrics.MOVES_REFUSED.labels(fact.code, fact.by).inc()
                case _:
                    pass

    async def _write_reported(self, rows: Sequence[LeadRow]) -> None:
        """Most events leave a lead as it is for reports: then its row there is not touched."""
        touched = [row for row in rows if is_reported_otherwise(self._before[row.key], row.lead)]
        found = [(row.key, report_row(row.lead)) for row in touched]
        changed = [(key, row) for key, row in found if row and row != report_row(self._before[key])]
        if changed:
            await report_rows.write(self.connection, changed)
        if gone := [key for key, row in found if row is None]:
            await report_rows.delete(self.connection, gone)

    async def _write_hot_rows(self, rows: Sequence[LeadRow]) -> None:
        """Only of leads that have new scores, or stand elsewhere than before."""
        changed = [
            (row.lead, self._standings[row.key].change if row.key in self._standings else None)
            for row in rows
            if row.lead.absorbed_by is None
            and (row.key in self._standings or _stands_elsewhere(self._before[row.key], row.lead))
        ]
        if changed:
            await hot_rows.write(self.connection, changed)

    async def _write_standings(self, standings: Sequence[Standing]) -> None:
        await lead_repository.write_standings(self.connection, standings, await self.fan_out.sealed(self.connection))
        newest = {item.key[0]: item.change for item in sorted(standings, key=lambda item: item.change.model_version)}
        for workspace, change in sorted(newest.items()):
            await lead_repository.remember_model(self.connection, workspace, change)


def _stands_elsewhere(before: Lead, now: Lead) -> bool:
    return before.absorbed_by is not None or hot_rows.place_of(before) != hot_rows.place_of(now)


async def begin(
    connection: AsyncConnection, book: PipelineBook, fan_out: FanOut, *, outbox: Outbox, keys: Iterable[LeadKey]
) -> Work:
    """Take the leads of `keys` in hand, and whoever has absorbed one of them.

    Survivors are found only under the lock, so theirs are taken second; should two transactions meet there,
    PostgreSQL ends one, which is transient, and its batch comes again.
    """
    wanted = set(keys)
    rows: dict[LeadKey, LeadRow] = {}
    while missing := sorted(wanted - rows.keys()):
        rows |= await lead_repository.lock_leads(connection, missing)
        if unheard_of := [key for key in missing if key not in rows]:
            await lead_repository.create_missing(connection, unheard_of)
        wanted |= {
            (row.lead.workspace, row.lead.absorbed_by) for row in rows.values() if row.lead.absorbed_by is not None
        }
    pipelines = await book.active(connection, {workspace for workspace, _ in rows})
    return Work(connection, pipelines, fan_out, outbox, rows)
