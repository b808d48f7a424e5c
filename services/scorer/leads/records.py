"""What is known of single leads: their rows, their names, their events, page by page. Nothing here writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.scorer.domain.identities.identity import IdentityKey
from services.scorer.leads import repository
from shared.events.engagement import EngagementEvent


@dataclass(frozen=True, slots=True)
class EventPlace:
    """Where a page of events ended."""

    occurred_at: datetime
    source: str
    id: str


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event as stored, and whether it was retracted. `owner` is the lead that has it now, `trace_id` the trace in
    which it came.
    """

    event: EngagementEvent
    voided: bool
    owner: UUID
    trace_id: str | None = None


async def survivor_of(connection: AsyncConnection, workspace: str, lead_id: UUID) -> UUID | None:
    """The lead, or who has absorbed it; None for one that the workspace does not have.

    Nor has it one whose key is gone: an old backup has brought back what was erased.
    """
    found = await stored_survivor_of(connection, workspace, lead_id)
    if found is None or await repository.read_leads(connection, [found]):
        return found
    return None


async def stored_survivor_of(connection: AsyncConnection, workspace: str, lead_id: UUID) -> UUID | None:
    """The lead, or who has absorbed it, even if nobody can read it any more."""
    rows = await connection.execute(
        text("SELECT coalesce(merged_into, id) AS id FROM scorer.lead WHERE id = :id AND workspace = :workspace"),
        {"id": lead_id, "workspace": workspace},
    )
    row = rows.one_or_none()
    return None if row is None else UUID(str(row.id))


async def lead_named(connection: AsyncConnection, name: IdentityKey) -> UUID | None:
    """The lead that goes by this name, unless it was erased and an old backup has brought it back."""
    known = (await repository.known_identities(connection, [name])).get(name)
    return None if known is None else await survivor_of(connection, name.workspace, known.id)


async def absorbed_by(connection: AsyncConnection, survivor: UUID) -> list[UUID]:
    """Every lead that is part of this one by now, in the order of their ids."""
    rows = await connection.execute(
        text("SELECT id FROM scorer.lead WHERE merged_into = :survivor ORDER BY id"), {"survivor": survivor}
    )
    return [row.id for row in rows]


async def event_of(connection: AsyncConnection, workspace: str, source: str, event_id: str) -> RecordedEvent | None:
    """One stored event; None for one that never came, though it may have been retracted already."""
    rows = await connection.execute(
        text("""
            SELECT event.body::text AS body, sealed, voided, trace_id,
                coalesce(lead.merged_into, lead.id) AS owner
            FROM scorer.event JOIN scorer.lead ON lead.id = event.lead_id
            WHERE event.workspace = :workspace AND source = :source AND event_id = :id
        """),
        {"workspace": workspace, "source": source, "id": event_id},
    )
    found = await _recorded(connection, rows.all())
    return found[0] if found else None


async def events_of(
    connection: AsyncConnection,
    leads: Sequence[UUID],
    *,
    before: EventPlace | None,
    event_type: str | None,
    limit: int,
) -> list[RecordedEvent]:
    """Events recorded for any of these leads, the newest first; events alike in time by source and id."""
    place = "AND (occurred_at, source, event_id) < (:at, :source, :id)" if before else ""
    of_type = "AND type = :type" if event_type else ""
    rows = await connection.execute(
        text(f"""
            SELECT event.body::text AS body, sealed, voided, trace_id,
                coalesce(lead.merged_into, lead.id) AS owner
            FROM scorer.event JOIN scorer.lead ON lead.id = event.lead_id
            WHERE event.lead_id = ANY(CAST(:leads AS uuid[]))
              AND (body IS NOT NULL OR sealed IS NOT NULL) {place} {of_type}
            ORDER BY occurred_at DESC, source DESC, event_id DESC LIMIT :limit
        """),  # noqa: S608 - constants of ours
        {
            "leads": list(leads),
            "limit": limit,
            **({"at": before.occurred_at, "source": before.source, "id": before.id} if before else {}),
            **({"type": event_type} if event_type else {}),
        },
    )
    return await _recorded(connection, rows.all())


async def _recorded(connection: AsyncConnection, rows: Sequence[Row[tuple[object, ...]]]) -> list[RecordedEvent]:
    bodies = await repository.opened_bodies(connection, [(row.body, row.sealed) for row in rows])
    return [
        RecordedEvent(EngagementEvent.model_validate_json(body), row.voided, row.owner, _hex(row.trace_id))
        for row, body in zip(rows, bodies, strict=True)
        if body is not None
    ]


def _hex(trace_id: UUID | None) -> str | None:
    return None if trace_id is None else trace_id.hex
