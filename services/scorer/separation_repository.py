"""Taking merges back, statement by statement. Nothing here commits or decides."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic_core import from_json, to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.scorer.domain.identity import IdentityKey
from services.scorer.domain.separation import Merged, Names, names_of
from shared.events.engagement import Identities


@dataclass(frozen=True, slots=True)
class Decision:
    """Who merges leads, or takes a merge back, and why."""

    at: datetime
    actor: str
    reason: str


async def lock_family(connection: AsyncConnection, workspace: str, survivor: UUID) -> dict[UUID, UUID | None]:
    """The lead and all that are part of it, locked, each with whom it is merged into."""
    rows = await connection.execute(
        text("""
            SELECT id, merged_into FROM scorer.lead
            WHERE workspace = :workspace AND (id = :survivor OR merged_into = :survivor)
            ORDER BY id FOR UPDATE
        """),
        {"workspace": workspace, "survivor": survivor},
    )
    return {row.id: row.merged_into for row in rows}


async def merges_among(connection: AsyncConnection, leads: Collection[UUID]) -> list[Merged]:
    """The merges between these leads that stand."""
    rows = await connection.execute(
        text("""
            SELECT survivor, absorbed FROM scorer.merge
            WHERE survivor = ANY(CAST(:leads AS uuid[])) AND absorbed = ANY(CAST(:leads AS uuid[]))
              AND undone_at IS NULL
        """),
        {"leads": list(leads)},
    )
    return [Merged(row.survivor, row.absorbed) for row in rows]


async def survivor_names(connection: AsyncConnection, workspace: str, absorbed: UUID) -> list[IdentityKey] | None:
    """The names that the survivor had when it absorbed this lead; None where nobody noted them."""
    rows = await connection.execute(
        text("""
            SELECT survivor_names::text AS names FROM scorer.merge
            WHERE workspace = :workspace AND absorbed = :absorbed AND undone_at IS NULL
        """),
        {"workspace": workspace, "absorbed": absorbed},
    )
    row = rows.one_or_none()
    if row is None or row.names is None:
        return None
    return [IdentityKey(workspace, kind, value) for kind, value in from_json(row.names)]


async def mentions(connection: AsyncConnection, workspace: str, leads: Collection[UUID]) -> list[tuple[str, Names]]:
    """The different names in events recorded for these leads, in the order of their first receipt.

    Each with the text by which `move_events` finds the events that carry them.
    """
    rows = await connection.execute(
        text("""
            SELECT (body -> 'lead')::text AS lead FROM scorer.event
            WHERE lead_id = ANY(CAST(:leads AS uuid[])) AND body IS NOT NULL
            GROUP BY 1 ORDER BY min(received_at), 1
        """),
        {"leads": list(leads)},
    )
    return [(row.lead, names_of(workspace, Identities.model_validate_json(row.lead))) for row in rows]


async def move_events(connection: AsyncConnection, lead: UUID, carrying: Sequence[str], to: UUID) -> None:
    """Events of `lead` that carry these names are another lead's."""
    await connection.execute(
        text("""
            UPDATE scorer.event SET lead_id = :to
            WHERE lead_id = :lead AND (body -> 'lead')::text = ANY(CAST(:carrying AS text[]))
        """),
        {"lead": lead, "carrying": list(carrying), "to": to},
    )


async def move_names(connection: AsyncConnection, names: Iterable[IdentityKey], to: UUID) -> None:
    """These names are another lead's."""
    rows = [name._asdict() for name in sorted(names)]
    await connection.execute(
        text("""
            UPDATE scorer.identity SET lead_id = :to
            FROM json_to_recordset(CAST(:names AS json)) AS name (workspace text, kind text, value text)
            WHERE identity.workspace = name.workspace AND identity.kind = name.kind AND identity.value = name.value
        """),
        {"names": to_json(rows).decode(), "to": to},
    )


async def restore(
    connection: AsyncConnection, workspace: str, survivor: UUID, restored: UUID, *, with_it: Collection[UUID]
) -> None:
    """Make `restored` a lead of its own, with those that are part of it; both states are to be computed anew."""
    parameters = {
        "workspace": workspace,
        "survivor": survivor,
        "restored": restored,
        "parts": [lead for lead in with_it if lead != restored],
    }
    for statement in (
        "UPDATE scorer.lead SET merged_into = NULL WHERE id = :restored",
        "UPDATE scorer.lead SET merged_into = :restored WHERE id = ANY(CAST(:parts AS uuid[]))",
        "UPDATE scorer.lead SET partings = partings + 1 WHERE id = :survivor",
        "UPDATE scorer.lead SET shadow_id = NULL WHERE id IN (:survivor, :restored)",
        "DELETE FROM scorer.shadow_lead WHERE lead_id IN (:survivor, :restored)",
    ):
        await connection.execute(text(statement), parameters)


async def record(
    connection: AsyncConnection, workspace: str, survivor: UUID, restored: UUID, decision: Decision
) -> None:
    """Remember that the merge is undone, and that the two are never to become one by themselves."""
    one, other = sorted((survivor, restored))
    parameters = {
        "workspace": workspace,
        "restored": restored,
        "one": one,
        "other": other,
        "at": decision.at,
        "by": decision.actor,
        "reason": decision.reason,
    }
    for statement in (
        """UPDATE scorer.merge SET undone_at = :at, undone_by = :by, undone_because = :reason
           WHERE workspace = :workspace AND absorbed = :restored AND undone_at IS NULL""",
        """INSERT INTO scorer.separation (workspace, one, other, separated_at, separated_by, reason)
           VALUES (:workspace, :one, :other, :at, :by, :reason) ON CONFLICT DO NOTHING""",
    ):
        await connection.execute(text(statement), parameters)


async def separations(connection: AsyncConnection, leads: Collection[UUID]) -> list[tuple[UUID, UUID]]:
    """The pairs of these leads that are set apart, themselves or by what is part of them."""
    rows = await connection.execute(
        text("""
            WITH part AS (
                SELECT id, coalesce(merged_into, id) AS survivor FROM scorer.lead
                WHERE id = ANY(CAST(:leads AS uuid[])) OR merged_into = ANY(CAST(:leads AS uuid[]))
            )
            SELECT DISTINCT one.survivor AS one, other.survivor AS other
            FROM scorer.separation JOIN part AS one ON one.id = separation.one
                 JOIN part AS other ON other.id = separation.other
            WHERE one.survivor <> other.survivor
        """),
        {"leads": list(leads)},
    )
    return [(row.one, row.other) for row in rows]


async def forget_separations(connection: AsyncConnection, ones: Collection[UUID], others: Collection[UUID]) -> None:
    """Leads of `ones` are no longer set apart from those of `others`."""
    await connection.execute(
        text("""
            DELETE FROM scorer.separation
            WHERE (one = ANY(CAST(:ones AS uuid[])) AND other = ANY(CAST(:others AS uuid[])))
               OR (one = ANY(CAST(:others AS uuid[])) AND other = ANY(CAST(:ones AS uuid[])))
        """),
        {"ones": list(ones), "others": list(others)},
    )


async def note_decision(connection: AsyncConnection, survivor: UUID, absorbed: UUID, decision: Decision) -> None:
    """The merge that was just made is a person's decision."""
    await connection.execute(
        text("""
            UPDATE scorer.merge SET merged_by = :by, because = :reason
            WHERE survivor = :survivor AND absorbed = :absorbed AND undone_at IS NULL
        """),
        {"survivor": survivor, "absorbed": absorbed, "by": decision.actor, "reason": decision.reason},
    )


async def partings(connection: AsyncConnection, leads: Collection[UUID]) -> dict[UUID, int]:
    """How often names were taken from each of these leads."""
    rows = await connection.execute(
        text("SELECT id, partings FROM scorer.lead WHERE id = ANY(CAST(:leads AS uuid[]))"), {"leads": list(leads)}
    )
    return {row.id: row.partings for row in rows}
