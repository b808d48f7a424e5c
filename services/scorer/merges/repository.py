"""Taking merges back, statement by statement. Nothing here commits or decides."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic_core import from_json, to_json
from sqlalchemy.ext.asyncio import AsyncConnection

from services.scorer.domain.identities.identity import IdentityKey
from services.scorer.domain.identities.separation import Merged, Names, names_of
from services.scorer.leads.repository import EVENT, SURVIVOR_NAMES, opened_bodies
from shared.db.statements import text
from shared.events.engagement import Identities
from shared.sealing.data_keys import Item, sealing_of


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
            SELECT survivor_names::text AS names, sealed_names FROM scorer.merge
            WHERE workspace = :workspace AND absorbed = :absorbed AND undone_at IS NULL
        """),
        {"workspace": workspace, "absorbed": absorbed},
    )
    row = rows.one_or_none()
    if row is None:
        return None
    names = row.names
    if row.sealed_names is not None:
        (names,) = await sealing_of(connection).open(connection, [row.sealed_names], SURVIVOR_NAMES)
    return None if names is None else [IdentityKey(workspace, kind, value) for kind, value in from_json(names)]


async def mentions(connection: AsyncConnection, workspace: str, leads: Collection[UUID]) -> list[tuple[str, Names]]:
    """The different names in events recorded for these leads, in the order of their first receipt.

    Each with the text by which `move_events` finds the events that carry them.
    """
    first: dict[str, tuple[datetime, Identities]] = {}
    for event in await _carriers(connection, leads):
        known = first.get(event.carries)
        if known is None or event.received_at < known[0]:
            first[event.carries] = (event.received_at, event.lead)
    ordered = sorted(first.items(), key=lambda item: (item[1][0], item[0]))
    return [(carries, names_of(workspace, lead)) for carries, (_, lead) in ordered]


async def move_events(
    connection: AsyncConnection, workspace: str, lead: UUID, carrying: Collection[str], *, to: UUID
) -> None:
    """Events of `lead` that carry these names are another lead's, and sealed with its key."""
    moving = [event for event in await _carriers(connection, [lead]) if event.carries in carrying]
    sealing = sealing_of(connection)
    contents = await sealing.seal(connection, [Item(to, workspace, event.body) for event in moving], EVENT)
    nothing: list[bytes | None] = [None] * len(moving)
    await connection.execute(
        text("""
            UPDATE scorer.event SET lead_id = :to, body = convert_from(item.body, 'UTF8')::jsonb, sealed = item.sealed
            FROM unnest(CAST(:sources AS text[]), CAST(:ids AS text[]), CAST(:bodies AS bytea[]),
                        CAST(:sealed AS bytea[])) AS item (source, event_id, body, sealed)
            WHERE workspace = :workspace AND event.source = item.source AND event.event_id = item.event_id
        """),
        {
            "workspace": workspace,
            "to": to,
            "sources": [event.source for event in moving],
            "ids": [event.event_id for event in moving],
            "bodies": nothing if sealing.on else contents,
            "sealed": contents if sealing.on else nothing,
        },
    )


@dataclass(frozen=True, slots=True)
class _Carrier:
    """A stored event and the names in it; `carries` is the same for events that carry the same."""

    source: str
    event_id: str
    received_at: datetime
    body: bytes
    lead: Identities
    carries: str


async def _carriers(connection: AsyncConnection, leads: Collection[UUID]) -> list[_Carrier]:
    rows = await connection.execute(
        text("""
            SELECT source, event_id, received_at, body::text AS body, sealed FROM scorer.event
            WHERE lead_id = ANY(CAST(:leads AS uuid[])) AND (body IS NOT NULL OR sealed IS NOT NULL)
        """),
        {"leads": list(leads)},
    )
    stored = rows.all()
    found = []
    for row, body in zip(
        stored, await opened_bodies(connection, [(row.body, row.sealed) for row in stored]), strict=True
    ):
        if body is not None:
            said = Identities.model_validate(from_json(body)["lead"])
            plain = body.encode() if isinstance(body, str) else body
            carries = to_json(said.keys()).decode()
            found.append(_Carrier(row.source, row.event_id, row.received_at, plain, said, carries))
    return found


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
