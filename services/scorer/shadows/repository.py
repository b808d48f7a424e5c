"""The leads that versions in the shadow have, statement by statement. Nothing here commits or decides."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.scorer.leads.repository import STATE
from shared.events.json import Json
from shared.sealing.data_keys import Item, sealing_of


@dataclass(frozen=True, slots=True)
class ShadowRow:
    """A lead under a shadow: its folded state as JSON, and the last comparison, whose parts are JSON too."""

    lead_id: UUID
    workspace: str
    shadow_id: int
    state: bytes
    active_version: int
    compared_at: datetime
    due_at: datetime | None
    scores: Json
    bands: Json
    grades: tuple[str, ...]
    thresholds: Json
    widest: float


@dataclass(frozen=True, slots=True)
class Tallied:
    """How many leads two models see alike or not; `active` and `shadow` are bands, grades or positions."""

    name: str
    active: str | None
    shadow: str | None
    leads: int


@dataclass(frozen=True, slots=True)
class Spread:
    """How far a score is from itself under the other model, over all leads compared."""

    name: str
    leads: int
    differing: int
    mean: float
    largest: float


async def states(
    connection: AsyncConnection, shadow_ids: Sequence[int], leads: Iterable[UUID]
) -> dict[UUID, str | bytes]:
    """The states that these shadows have of leads; those yet to be reached are left out."""
    rows = await connection.execute(
        text("""
            SELECT lead_id, shadow_lead.state::text, shadow_lead.sealed_state FROM scorer.shadow_lead
            JOIN scorer.lead ON lead.id = lead_id AND lead.shadow_id = shadow_lead.shadow_id
            WHERE lead_id = ANY(CAST(:leads AS uuid[])) AND shadow_lead.shadow_id = ANY(CAST(:ids AS bigint[]))
        """),
        {"leads": list(leads), "ids": list(shadow_ids)},
    )
    stored = rows.all()
    opened = iter(
        await sealing_of(connection).open(connection, [row.sealed_state for row in stored if row.sealed_state], STATE)
    )
    found = {row.lead_id: next(opened) if row.sealed_state else row.state for row in stored}
    return {lead: state for lead, state in found.items() if state is not None}


async def save(connection: AsyncConnection, rows: Sequence[ShadowRow]) -> None:
    """Write what shadows make of leads; from now on they have these leads."""
    sealing = sealing_of(connection)
    items = [Item(row.lead_id, row.workspace, row.state) for row in rows]
    states = await sealing.seal(connection, items, STATE)
    nothing: list[bytes | None] = [None] * len(rows)
    await connection.execute(
        text("""
            INSERT INTO scorer.shadow_lead AS stored
                (lead_id, shadow_id, state, sealed_state, active_version, compared_at, due_at, scores, bands, grades,
                 thresholds, widest)
            SELECT lead_id, shadow_id, convert_from(state, 'UTF8')::jsonb, sealed_state, active_version, compared_at,
                   due_at, convert_from(scores, 'UTF8')::jsonb, convert_from(bands, 'UTF8')::jsonb,
                   ARRAY(SELECT jsonb_array_elements_text(convert_from(grades, 'UTF8')::jsonb)),
                   convert_from(thresholds, 'UTF8')::jsonb, widest
            FROM unnest(CAST(:leads AS uuid[]), CAST(:shadows AS bigint[]), CAST(:states AS bytea[]),
                        CAST(:sealed AS bytea[]), CAST(:versions AS integer[]), CAST(:compared AS timestamptz[]),
                        CAST(:due AS timestamptz[]), CAST(:scores AS bytea[]), CAST(:bands AS bytea[]),
                        CAST(:grades AS bytea[]), CAST(:thresholds AS bytea[]), CAST(:widest AS double precision[]))
                 AS item (lead_id, shadow_id, state, sealed_state, active_version, compared_at, due_at, scores, bands,
                          grades, thresholds, widest)
            ON CONFLICT (lead_id) DO UPDATE SET shadow_id = excluded.shadow_id, state = excluded.state,
                sealed_state = excluded.sealed_state, active_version = excluded.active_version,
                compared_at = excluded.compared_at, due_at = excluded.due_at, scores = excluded.scores,
                bands = excluded.bands, grades = excluded.grades, thresholds = excluded.thresholds,
                widest = excluded.widest
        """),
        {
            "leads": [row.lead_id for row in rows],
            "shadows": [row.shadow_id for row in rows],
            "states": nothing if sealing.on else states,
            "sealed": states if sealing.on else nothing,
            "versions": [row.active_version for row in rows],
            "compared": [row.compared_at for row in rows],
            "due": [row.due_at for row in rows],
            "scores": [to_json(row.scores) for row in rows],
            "bands": [to_json(row.bands) for row in rows],
            "grades": [to_json(row.grades) for row in rows],
            "thresholds": [to_json(row.thresholds) for row in rows],
            "widest": [row.widest for row in rows],
        },
    )
    await connection.execute(
        text("""
            UPDATE scorer.lead SET shadow_id = item.shadow_id
            FROM unnest(CAST(:leads AS uuid[]), CAST(:shadows AS bigint[])) AS item (lead_id, shadow_id)
            WHERE id = lead_id AND lead.shadow_id IS DISTINCT FROM item.shadow_id
        """),
        {"leads": [row.lead_id for row in rows], "shadows": [row.shadow_id for row in rows]},
    )


async def forget(connection: AsyncConnection, leads: Iterable[UUID]) -> None:
    """What shadows know of these leads is out of date: a running one computes them again from stored events."""
    ids = {"ids": list(leads)}
    await connection.execute(text("DELETE FROM scorer.shadow_lead WHERE lead_id = ANY(CAST(:ids AS uuid[]))"), ids)
    await connection.execute(
        text("""
            UPDATE scorer.lead SET shadow_id = NULL
            WHERE id = ANY(CAST(:ids AS uuid[])) AND shadow_id IS NOT NULL
        """),
        ids,
    )


_RUNNING = """
            WITH running AS (
                SELECT id, workspace, (SELECT version FROM scorer.activation
                                       WHERE activation.workspace = shadow.workspace
                                       ORDER BY activation.id DESC LIMIT 1) AS active
                FROM scorer.shadow WHERE ended_at IS NULL
            )"""


async def leads_behind(connection: AsyncConnection, limit: int) -> list[UUID]:
    """Leads that a running shadow has yet to reach, locked; the active model must have reached them first."""
    # One index range each; `+ 0` keeps the planner from the index on the version, which nearly all leads share.
    behind = " UNION ALL ".join(
        f"""
            (SELECT id FROM scorer.lead
             WHERE lead.workspace = running.workspace AND {condition} AND merged_into IS NULL
               AND model_version + 0 = active LIMIT :limit)
        """  # noqa: S608 - constants
        for condition in ("shadow_id IS NULL", "shadow_id < running.id", "shadow_id > running.id")
    )
    rows = await connection.execute(
        text(f"""
            {_RUNNING}
            SELECT lead.id FROM running
            CROSS JOIN LATERAL ({behind} LIMIT :limit) AS behind (lead_id)
            JOIN scorer.lead ON lead.id = lead_id
            LIMIT :limit FOR UPDATE OF lead SKIP LOCKED
        """),  # noqa: S608 - constants
        {"limit": limit},
    )
    return [row.id for row in rows]


async def leads_due(connection: AsyncConnection, now: datetime, limit: int) -> list[UUID]:
    """Leads whose standing has changed by itself since they were compared, the longest ago first, locked."""
    rows = await connection.execute(
        text(f"""
            {_RUNNING}
            SELECT lead.id FROM scorer.shadow_lead
            JOIN running ON running.id = shadow_lead.shadow_id
            JOIN scorer.lead ON lead.id = lead_id AND lead.shadow_id = running.id
            WHERE due_at <= :now AND model_version = active ORDER BY due_at LIMIT :limit
            FOR UPDATE OF lead SKIP LOCKED
        """),  # noqa: S608 - a constant
        {"now": now, "limit": limit},
    )
    return [row.id for row in rows]


async def ended(connection: AsyncConnection) -> int | None:
    """A shadow that has ended, of which rows are left that nobody can take over any more."""
    rows = await connection.execute(
        text("""
            SELECT shadow.id FROM scorer.shadow
            WHERE ended_at IS NOT NULL
              AND EXISTS (SELECT FROM scorer.shadow_lead WHERE shadow_id = shadow.id)
              AND NOT EXISTS (
                  SELECT FROM scorer.lead
                  WHERE shadow.activation_id = (SELECT max(id) FROM scorer.activation
                                                WHERE activation.workspace = shadow.workspace)
                    AND lead.workspace = shadow.workspace AND merged_into IS NULL
                    AND (model_version < version OR model_version > version OR model_version IS NULL))
            LIMIT 1
        """)
    )
    return rows.scalar_one_or_none()


async def clear(connection: AsyncConnection, shadow_id: int, limit: int) -> int:
    """Delete up to `limit` rows of a shadow; returns how many."""
    result = await connection.execute(
        text("""
            DELETE FROM scorer.shadow_lead WHERE lead_id IN (
                SELECT lead_id FROM scorer.shadow_lead WHERE shadow_id = :id
                LIMIT :limit FOR UPDATE SKIP LOCKED)
        """),
        {"id": shadow_id, "limit": limit},
    )
    return int(result.rowcount)


# What a report counts: the leads that a shadow has, compared with the version that is active now.
_COMPARED = "shadow_id = :shadow AND active_version = :active"


async def compared(connection: AsyncConnection, shadow_id: int, active: int) -> tuple[int, int]:
    """How many leads are compared, and how many of them are seen alike in band, grade and threshold positions."""
    rows = await connection.execute(
        text(f"""
            SELECT count(*) AS leads,
                   count(*) FILTER (WHERE bands = '{{}}' AND grades = '{{}}' AND thresholds = '{{}}') AS alike
            FROM scorer.shadow_lead WHERE {_COMPARED}
        """),  # noqa: S608 - a constant
        {"shadow": shadow_id, "active": active},
    )
    row = rows.one()
    return int(row.leads), int(row.alike)


async def spreads(connection: AsyncConnection, shadow_id: int, active: int) -> list[Spread]:
    """Per score that both models have."""
    rows = await connection.execute(
        text(f"""
            SELECT name, count(*) AS leads, count(*) FILTER (WHERE far > 0) AS differing, avg(far) AS mean,
                   max(far) AS largest
            FROM (SELECT name, abs((pair ->> 1)::float8 - (pair ->> 0)::float8) AS far
                  FROM scorer.shadow_lead CROSS JOIN jsonb_each(scores) AS score (name, pair)
                  WHERE {_COMPARED}) AS score
            GROUP BY name ORDER BY name
        """),  # noqa: S608 - a constant
        {"shadow": shadow_id, "active": active},
    )
    return [Spread(row.name, row.leads, row.differing, float(row.mean), float(row.largest)) for row in rows]


async def changed_bands(connection: AsyncConnection, shadow_id: int, active: int, limit: int) -> list[Tallied]:
    """Per score and pair of bands that differ, the commonest first."""
    return await _tallied(connection, "bands", shadow_id, active, limit=limit)


async def changed_positions(connection: AsyncConnection, shadow_id: int, active: int, limit: int) -> list[Tallied]:
    """Per threshold and pair of positions that differ, the commonest first."""
    return await _tallied(connection, "thresholds", shadow_id, active, limit=limit)


async def changed_grades(connection: AsyncConnection, shadow_id: int, active: int, limit: int) -> list[Tallied]:
    """Per pair of grades that differ, the commonest first."""
    rows = await connection.execute(
        text(f"""
            SELECT '' AS name, nullif(grades[1], '') AS active, nullif(grades[2], '') AS shadow, count(*) AS leads
            FROM scorer.shadow_lead WHERE {_COMPARED} AND grades <> '{{}}'
            GROUP BY 1, 2, 3 ORDER BY 4 DESC, 2, 3 LIMIT :limit
        """),  # noqa: S608 - a constant
        {"shadow": shadow_id, "active": active, "limit": limit},
    )
    return [_tally(row) for row in rows]


async def movers(connection: AsyncConnection, shadow_id: int, active: int, limit: int) -> list[UUID]:
    """The leads of which the two models' scores are farthest apart, as last compared."""
    rows = await connection.execute(
        text(f"""
            SELECT lead_id FROM scorer.shadow_lead WHERE {_COMPARED} AND widest > 0
            ORDER BY widest DESC, lead_id LIMIT :limit
        """),  # noqa: S608 - a constant
        {"shadow": shadow_id, "active": active, "limit": limit},
    )
    return [row.lead_id for row in rows]


async def _tallied(
    connection: AsyncConnection, column: str, shadow_id: int, active: int, *, limit: int
) -> list[Tallied]:
    rows = await connection.execute(
        text(f"""
            SELECT name, pair ->> 0 AS active, pair ->> 1 AS shadow, count(*) AS leads
            FROM scorer.shadow_lead CROSS JOIN jsonb_each({column}) AS differing (name, pair) WHERE {_COMPARED}
            GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3 LIMIT :limit
        """),  # noqa: S608 - constants
        {"shadow": shadow_id, "active": active, "limit": limit},
    )
    return [_tally(row) for row in rows]


def _tally(row: Row[tuple[object, ...]]) -> Tallied:
    return Tallied(row.name, row.active, row.shadow, row.leads)
