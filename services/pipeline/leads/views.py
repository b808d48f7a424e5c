"""What people ask of a lead: where it stands now, why, and how it came there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import exp2, fsum
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.pipeline.documents.versions import ActivePipeline
from services.pipeline.domain import qualification
from services.pipeline.domain.lead import Lead
from services.pipeline.domain.qualification import Verdict
from services.pipeline.leads import repository
from services.pipeline.leads.hot_list import values_at
from services.pipeline.leads.repository import LeadKey
from services.pipeline.sealed import history_data, message_bodies
from shared.events.codec import decode
from shared.events.curve import published
from shared.events.json import Json
from shared.events.scores import LeadScoreChanged, LedgerEntry, ScoreChange, Standing
from shared.events.stages import Evidence


@dataclass(frozen=True, slots=True)
class LeadView:
    """A lead and its newest scores; None before the scorer has said anything of them."""

    lead: Lead
    change: ScoreChange | None

    def standing_at(self, now: datetime) -> Standing | None:
        """Scores at `now` by the curve; bands and grade as announced, or as forecast once that is due."""
        if self.change is None:
            return None
        forecast = self.change.forecast
        is_due = forecast.changes_at is not None and forecast.becomes is not None and now >= forecast.changes_at
        standing = forecast.becomes if is_due and forecast.becomes else self.change.current
        scores = values_at(forecast.curve, now)
        return Standing(scores=scores, bands=standing.bands, grade=standing.grade)


@dataclass(frozen=True, slots=True)
class AgedEntry:
    """A reason, and what it is worth now."""

    entry: LedgerEntry
    worth_now: float | None


@dataclass(frozen=True, slots=True)
class ScoreLedger:
    """A score now and why. `withheld`: what limits take or give, and what has expired since it was told."""

    value: float
    entries: tuple[AgedEntry, ...]
    withheld: float


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """A line of a timeline or a stage history; `id` makes equal moments distinct."""

    id: int
    at: datetime
    kind: str
    data: dict[str, Json]
    trace_id: str | None = None


@dataclass(frozen=True, slots=True)
class HistoryPlace:
    """Where the page before ended."""

    at: datetime
    id: int


async def lead_view(connection: AsyncConnection, key: LeadKey) -> LeadView | None:
    """The lead, or who has absorbed it; None for one that the workspace does not have."""
    row = await repository.read_lead(connection, key)
    while row is not None and row.lead.absorbed_by is not None:
        row = await repository.read_lead(connection, (key[0], row.lead.absorbed_by))
    if row is None:
        return None
    changes = await changes_of(connection, key[0], [row.lead.id])
    return LeadView(row.lead, changes.get(row.lead.id))


async def changes_of(connection: AsyncConnection, workspace: str, lead_ids: Sequence[str]) -> dict[str, ScoreChange]:
    """The newest scores of these leads, those that have any."""
    rows = await connection.execute(
        text("""
            SELECT CAST(lead_id AS text) AS id, message FROM pipeline.standing
            WHERE workspace = :workspace AND lead_id = ANY(CAST(:ids AS uuid[]))
        """),
        {"workspace": workspace, "ids": [UUID(lead_id) for lead_id in lead_ids]},
    )
    found: dict[str, ScoreChange] = {}
    stored = rows.all()
    messages = await message_bodies.opened(connection, [row.message for row in stored])
    for row, body in zip(stored, messages, strict=True):
        if body is None:
            continue
        message = decode(body)
        assert isinstance(message, LeadScoreChanged), "only these are stored"
        found[row.id] = message.data
    return found


async def leads_of(connection: AsyncConnection, workspace: str, lead_ids: Sequence[str]) -> dict[str, Lead]:
    """Leads by id."""
    found = await repository.read_leads(connection, workspace, lead_ids)
    return {id_: row.lead for id_, row in found.items()}


async def timeline(
    connection: AsyncConnection, key: LeadKey, *, before: HistoryPlace | None, limit: int
) -> list[HistoryLine]:
    """What happened with a lead, the newest first."""
    return await _history(connection, "timeline", key, before=before, limit=limit)


async def stays(
    connection: AsyncConnection, key: LeadKey, *, before: HistoryPlace | None, limit: int
) -> list[HistoryLine]:
    """The stages a lead came to, the newest first."""
    return await _history(connection, "stay", key, before=before, limit=limit)


def qualification_at(
    lead: Lead, active: ActivePipeline | None, now: datetime
) -> tuple[Verdict, tuple[Evidence, ...]]:
    """The verdict and its evidence at `now`: what has expired by then is evidence no more."""
    if active is None:
        return lead.verdict, ()
    policy, fields = active.pipeline.policy, lead.fields()
    basis = qualification.rebased(policy, fields, lead.basis, now)
    evidence = qualification.evidence(policy, basis, lead.words, now)
    return qualification.verdict(policy, fields, evidence), evidence


def ledger_at(change: ScoreChange, now: datetime) -> dict[str, ScoreLedger]:
    """Per score, the reasons with what each is worth at `now`; they and `withheld` add up to its value."""
    values = values_at(change.forecast.curve, now)
    return {
        score: _score_ledger(entries, values, values[score], age_seconds=(now - change.at).total_seconds())
        for score, entries in change.ledger.items()
        if score in values
    }


def _score_ledger(
    entries: Sequence[LedgerEntry], values: Mapping[str, float], value: float, *, age_seconds: float
) -> ScoreLedger:
    aged = tuple(AgedEntry(entry, _worth_at(entry, values, max(0.0, age_seconds))) for entry in entries)
    withheld = value - fsum(item.worth_now for item in aged if item.worth_now is not None)
    return ScoreLedger(value, aged, published(withheld))


def _worth_at(entry: LedgerEntry, values: Mapping[str, float], age_seconds: float) -> float | None:
    """None for what a limit withheld: only the sum of those can be told without the rules."""
    if entry.kind in {"group_clamp", "score_clamp"}:
        return None
    if entry.kind == "component" and entry.name is not None and entry.points is not None:
        return entry.points * values.get(entry.name, 0.0)
    if entry.half_life_seconds is None:
        return entry.worth
    return entry.worth * exp2(-age_seconds / entry.half_life_seconds)


async def _history(
    connection: AsyncConnection, table: str, key: LeadKey, *, before: HistoryPlace | None, limit: int
) -> list[HistoryLine]:
    kind = "kind, trace_id" if table == "timeline" else "'stage' AS kind, CAST(NULL AS uuid) AS trace_id"
    clause = "AND (at, id) < (:at, :line)" if before else ""
    rows = await connection.execute(
        text(f"""
            SELECT id, at, {kind}, CAST(data AS text) AS data FROM pipeline.{table}
            WHERE workspace = :workspace AND lead_id = :id {clause}
            ORDER BY at DESC, id DESC LIMIT :limit
        """),  # noqa: S608 constants of ours
        {
            "workspace": key[0],
            "id": UUID(key[1]),
            "limit": limit,
            **({"at": before.at, "line": before.id} if before else {}),
        },
    )
    found = rows.all()
    data = await history_data.opened(connection, [row.data for row in found])
    return [_line(row, said) for row, said in zip(found, data, strict=True)]


def _line(row: Row[tuple[object, ...]], data: dict[str, Json]) -> HistoryLine:
    trace_id = row.trace_id.hex if row.trace_id else None
    return HistoryLine(row.id, row.at, row.kind, data, trace_id)
