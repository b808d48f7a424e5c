"""Everything that the scorer holds about one lead: its names, its events as they came, merges."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.scorer.leads import records, sealed_names
from services.scorer.leads.records import EventPlace, RecordedEvent

_PAGE = 500


@dataclass(frozen=True, slots=True)
class LeadName:
    """A name by which a lead goes."""

    kind: str
    value: str
    learnt_at: datetime


@dataclass(frozen=True, slots=True)
class Joined:
    """Two leads became one, and perhaps two again; who decided so and why, where it was a person."""

    survivor: str
    absorbed: str
    merged_at: datetime
    merged_by: str | None
    because: str | None
    undone_at: datetime | None
    undone_by: str | None
    undone_because: str | None


@dataclass(frozen=True, slots=True)
class Holding:
    """What the scorer holds about a lead beside its scores."""

    created_at: datetime
    absorbed: tuple[UUID, ...]
    names: tuple[LeadName, ...]
    merges: tuple[Joined, ...]
    events: tuple[RecordedEvent, ...]


async def holding(connection: AsyncConnection, workspace: str, survivor: UUID) -> Holding:
    """All that is held about the lead and what became part of it; the oldest events first."""
    absorbed = await records.absorbed_by(connection, survivor)
    family = [survivor, *absorbed]
    events = [event async for event in _events(connection, family)]
    created_at = await connection.scalar(
        text("SELECT min(created_at) FROM scorer.lead WHERE id = ANY(CAST(:ids AS uuid[]))"), {"ids": family}
    )
    assert isinstance(created_at, datetime), "the caller has found the lead"
    names = await _names(connection, family)
    merges = await _merges(connection, workspace, family)
    return Holding(created_at, tuple(absorbed), names, merges, tuple(reversed(events)))


async def names_held(connection: AsyncConnection, survivor: UUID) -> list[str]:
    """The names of the lead and of what became part of it, without their kinds."""
    family = [survivor, *await records.absorbed_by(connection, survivor)]
    return [name.value for name in await _names(connection, family)]


async def _events(connection: AsyncConnection, leads: Sequence[UUID]) -> AsyncIterator[RecordedEvent]:
    before: EventPlace | None = None
    while page := await records.events_of(connection, leads, before=before, event_type=None, limit=_PAGE):
        for event in page:
            yield event
        last = page[-1].event
        before = EventPlace(last.occurred_at, last.source, last.id)


async def _names(connection: AsyncConnection, leads: Sequence[UUID]) -> tuple[LeadName, ...]:
    stored = sorted(await sealed_names.of_leads(connection, leads), key=lambda name: name.learnt_at)
    return tuple(LeadName(name.kind, name.value, name.learnt_at) for name in stored)


async def _merges(connection: AsyncConnection, workspace: str, leads: Sequence[UUID]) -> tuple[Joined, ...]:
    rows = await connection.execute(
        text("""
            SELECT survivor::text, absorbed::text, merged_at, merged_by, because, undone_at, undone_by, undone_because
            FROM scorer.merge
            WHERE workspace = :workspace
                AND (survivor = ANY(CAST(:ids AS uuid[])) OR absorbed = ANY(CAST(:ids AS uuid[])))
            ORDER BY merged_at, id
        """),
        {"workspace": workspace, "ids": list(leads)},
    )
    return tuple(Joined(*row) for row in rows)
