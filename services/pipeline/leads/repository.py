"""Leads, their standing, history and due moments, statement by statement. Nothing here commits or decides."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from msgspec import convert
from msgspec.json import encode
from pydantic_core import from_json
from sqlalchemy.ext.asyncio import AsyncConnection

from services.pipeline.domain.lead import Lead
from services.pipeline.leads.telling import Line, Sequences, StayLine
from services.pipeline.sealed import history_data, message_bodies
from services.pipeline.sealed import leads as sealed_leads
from shared.db import routine
from shared.db.statements import text
from shared.events.json import Json
from shared.events.scores import ScoreChange
from shared.observability.tracing import TraceContext
from shared.sealing.data_keys import Item, sealing_of

LeadKey = tuple[str, str]
"""Workspace and id."""

# Not one that was erased, nor one of those whose rows an old backup has brought back.
_STANDS = "erased_at IS NULL AND id NOT IN (SELECT unnest(leads) FROM sealing.erasure WHERE workspace = :workspace)"


@dataclass(slots=True)
class LeadRow:
    """A lead as stored, held under its lock while a transaction works on it.

    Of an erased one that an old backup has brought back `has_remains`, which nobody can read.
    """

    lead: Lead
    scores_seen: int
    sequences: Sequences
    is_erased: bool = False
    has_remains: bool = False

    @property
    def key(self) -> LeadKey:
        return self.lead.workspace, self.lead.id


@dataclass(frozen=True, slots=True)
class Standing:
    """The newest message about a lead's scores, as it came."""

    key: LeadKey
    id: str
    message: bytes
    change: ScoreChange


_LEAD_COLUMNS = """
    workspace, CAST(id AS text) AS id, emails, CAST(external_ids AS text) AS external_ids,
    CAST(attributes AS text) AS attributes, CAST(state AS text) AS state,
    CAST(absorbed_by AS text) AS absorbed_by, sealed, scores_seen, thresholds_sent, stages_sent,
    erased_at IS NOT NULL AS is_erased
"""
_SEALED: Final = 7
_KEYS = "unnest(CAST(:workspaces AS text[]), CAST(:ids AS uuid[])) AS wanted (workspace, id)"


_CREATE = f"""
    INSERT INTO pipeline.lead (workspace, id)
    SELECT workspace, id FROM {_KEYS} ORDER BY workspace, id ON CONFLICT DO NOTHING
"""  # noqa: S608
_LOCK = f"""
    SELECT {_LEAD_COLUMNS} FROM pipeline.lead
    WHERE (workspace, id) IN (SELECT workspace, id FROM {_KEYS})
    ORDER BY pipeline.lead.workspace, pipeline.lead.id FOR UPDATE
"""  # noqa: S608
_WRITE = """
    UPDATE pipeline.lead SET emails = CAST(item.emails AS text[]),
        external_ids = CAST(item.external_ids AS jsonb), attributes = CAST(item.attributes AS jsonb),
        state = CAST(item.state AS json), sealed = item.sealed, absorbed_by = item.absorbed_by,
        scores_seen = item.scores_seen, thresholds_sent = item.thresholds_sent,
        stages_sent = item.stages_sent
    FROM unnest(
        CAST(:workspaces AS text[]), CAST(:ids AS uuid[]), CAST(:emails AS text[]),
        CAST(:external_ids AS text[]), CAST(:attributes AS text[]), CAST(:states AS text[]),
        CAST(:sealed AS bytea[]), CAST(:absorbed AS uuid[]), CAST(:seen AS bigint[]),
        CAST(:thresholds AS bigint[]), CAST(:sent AS bigint[])
    ) AS item (workspace, id, emails, external_ids, attributes, state, sealed, absorbed_by, scores_seen,
               thresholds_sent, stages_sent)
    WHERE lead.workspace = item.workspace AND lead.id = item.id
"""
_STAND = """
    INSERT INTO pipeline.standing (workspace, lead_id, message, curve)
    SELECT * FROM unnest(CAST(:workspaces AS text[]), CAST(:ids AS uuid[]), CAST(:messages AS bytea[]),
                         CAST(:curves AS bytea[]))
    ON CONFLICT (workspace, lead_id) DO UPDATE SET message = excluded.message, curve = excluded.curve
"""
_REMEMBER_MODEL = """
    INSERT INTO pipeline.scored_model (workspace, model, version, scores, default_score)
    VALUES (:workspace, :model, :version, :scores, :default_score)
    ON CONFLICT (workspace) DO UPDATE SET model = excluded.model, version = excluded.version,
        scores = excluded.scores, default_score = excluded.default_score
    WHERE scored_model.version < excluded.version OR scored_model.model <> excluded.model
"""
_ADD_LINES = """
    INSERT INTO pipeline.timeline (workspace, lead_id, at, kind, data, trace_id)
    SELECT workspace, id, at, kind, CAST(data AS json), trace_id
    FROM unnest(CAST(:workspaces AS text[]), CAST(:ids AS uuid[]), CAST(:moments AS timestamptz[]),
                CAST(:kinds AS text[]), CAST(:data AS text[]), CAST(:traces AS uuid[])) WITH ORDINALITY
         AS item (workspace, id, at, kind, data, trace_id, number)
    ORDER BY number
"""
_ADD_STAYS = """
    INSERT INTO pipeline.stay (workspace, lead_id, at, data)
    SELECT workspace, id, at, CAST(data AS json)
    FROM unnest(CAST(:workspaces AS text[]), CAST(:ids AS uuid[]), CAST(:moments AS timestamptz[]),
                CAST(:data AS text[])) WITH ORDINALITY AS item (workspace, id, at, data, number)
    ORDER BY number
"""
_WRITE_DUE = """
    INSERT INTO pipeline.due (workspace, lead_id, due_at)
    SELECT * FROM unnest(CAST(:workspaces AS text[]), CAST(:ids AS uuid[]), CAST(:moments AS timestamptz[]))
    ON CONFLICT (workspace, lead_id) DO UPDATE SET due_at = excluded.due_at
"""


async def create_missing(connection: AsyncConnection, keys: Iterable[LeadKey]) -> None:
    """Rows for leads never heard of, in a fixed order so that two transactions cannot wait for each other."""
    await routine.rows(connection, _CREATE, **_key_columns(keys))


async def lock_leads(connection: AsyncConnection, keys: Iterable[LeadKey]) -> dict[LeadKey, LeadRow]:
    """The rows of `keys`, locked in a fixed order until the transaction ends."""
    rows = await routine.rows(connection, _LOCK, **_key_columns(keys))
    return {row.key: row for row in await _lead_rows(connection, rows)}


async def read_lead(connection: AsyncConnection, key: LeadKey) -> LeadRow | None:
    """One lead, without a lock; None for one that was erased, too."""
    return (await read_leads(connection, key[0], [key[1]])).get(key[1])


async def read_leads(connection: AsyncConnection, workspace: str, ids: Sequence[str]) -> dict[str, LeadRow]:
    """Those of these leads that the workspace has and that were not erased, without a lock, by id."""
    rows = await connection.execute(
        text(f"""
            SELECT {_LEAD_COLUMNS} FROM pipeline.lead
            WHERE workspace = :workspace AND id = ANY(CAST(:ids AS uuid[])) AND erased_at IS NULL
        """),  # noqa: S608
        {"workspace": workspace, "ids": [UUID(lead_id) for lead_id in ids]},
    )
    return {row.lead.id: row for row in await _lead_rows(connection, rows.all()) if not row.is_erased}


async def leads_after(connection: AsyncConnection, workspace: str, after: str | None, limit: int) -> list[Lead]:
    """Up to `limit` leads that are still themselves, by id, without a lock."""
    rows = await connection.execute(
        text(f"""
            SELECT {_LEAD_COLUMNS} FROM pipeline.lead
            WHERE workspace = :workspace AND id > :after AND absorbed_by IS NULL AND {_STANDS}
            ORDER BY id LIMIT :limit
        """),  # noqa: S608
        {"workspace": workspace, "after": UUID(after) if after else UUID(int=0), "limit": limit},
    )
    return [row.lead for row in await _lead_rows(connection, rows.all())]


async def write_leads(connection: AsyncConnection, rows: Sequence[LeadRow]) -> None:
    """Write leads back; the caller holds their locks."""
    columns = await sealed_leads.stored(connection, [row.lead for row in rows])
    await routine.rows(
        connection,
        _WRITE,
        **_key_columns([row.key for row in rows]),
        # An array of arrays must be rectangular, so each travels as the text PostgreSQL reads it from.
        emails=[_array_text(each.emails) for each in columns],
        external_ids=[each.external_ids for each in columns],
        attributes=[each.attributes for each in columns],
        states=[each.state for each in columns],
        sealed=[each.sealed for each in columns],
        absorbed=[row.lead.absorbed_by for row in rows],
        seen=[row.scores_seen for row in rows],
        thresholds=[row.sequences.thresholds for row in rows],
        sent=[row.sequences.stages for row in rows],
    )


async def write_standings(
    connection: AsyncConnection, standings: Sequence[Standing], sealed: Mapping[str, bytes]
) -> None:
    """The newest scores of leads; `sealed` are messages by their ids that have been sealed already."""
    untold = [item for item in standings if item.id not in sealed]
    items = [Item(UUID(item.key[1]), item.key[0], item.message) for item in untold]
    found = await sealing_of(connection).seal(connection, items, message_bodies.SEALED_AS)
    messages = {**sealed, **{item.id: message for item, message in zip(untold, found, strict=True)}}
    await routine.rows(
        connection,
        _STAND,
        **_key_columns([item.key for item in standings]),
        messages=[messages[item.id] for item in standings],
        curves=[encode(item.change.forecast.curve) for item in standings],
    )


async def remember_model(connection: AsyncConnection, workspace: str, change: ScoreChange) -> None:
    """Which scores this workspace has: the last combined one is what lists are ordered by."""
    scores = change.forecast.curve.scores
    combined = [name for name, score in scores.items() if score.components]
    await routine.rows(
        connection,
        _REMEMBER_MODEL,
        workspace=workspace,
        model=change.model,
        version=change.model_version,
        scores=list(scores),
        default_score=combined[-1] if combined else next(iter(scores), "total"),
    )


async def add_lines(connection: AsyncConnection, lines: Sequence[tuple[LeadKey, Line, TraceContext | None]]) -> None:
    """Lines of timelines, each with the trace that it comes from."""
    await routine.rows(
        connection,
        _ADD_LINES,
        **_key_columns([key for key, _, _ in lines]),
        moments=[line.at for _, line, _ in lines],
        kinds=[line.kind for _, line, _ in lines],
        data=await history_data.sealed(connection, [(key, line.data) for key, line, _ in lines]),
        traces=[trace.trace_id if trace else None for _, _, trace in lines],
    )


async def add_stays(connection: AsyncConnection, stays: Sequence[tuple[LeadKey, StayLine]]) -> None:
    """Lines of stage histories."""
    await routine.rows(
        connection,
        _ADD_STAYS,
        **_key_columns([key for key, _ in stays]),
        moments=[stay.at for _, stay in stays],
        data=await history_data.sealed(connection, [(key, stay.data) for key, stay in stays]),
    )


async def hand_over(connection: AsyncConnection, absorbed: LeadKey, survivor: str) -> None:
    """The absorbed lead's history becomes the survivor's; nothing else of it remains but its row."""
    for table in ("timeline", "stay"):
        await connection.execute(
            text(
                f"UPDATE pipeline.{table} SET lead_id = :survivor "  # noqa: S608
                "WHERE workspace = :workspace AND lead_id = :absorbed"
            ),
            {"workspace": absorbed[0], "absorbed": UUID(absorbed[1]), "survivor": UUID(survivor)},
        )
    for table in ("standing", "hot_row", "due"):
        await _delete(connection, table, [absorbed])


async def write_due(connection: AsyncConnection, leads: Sequence[Lead]) -> None:
    """When something next comes to pass with these leads by itself, in place of what was written before."""
    moments = [(lead, lead.next_moment) for lead in leads]
    if over := [(lead.workspace, lead.id) for lead, moment in moments if moment is None]:
        await _delete(connection, "due", over)
    if due := [(lead, moment) for lead, moment in moments if moment is not None]:
        await routine.rows(
            connection,
            _WRITE_DUE,
            **_key_columns([(lead.workspace, lead.id) for lead, _ in due]),
            moments=[moment for _, moment in due],
        )


async def due_leads(connection: AsyncConnection, now: datetime, limit: int) -> list[LeadKey]:
    """Leads with whom something has come to pass by itself at `now`, the longest overdue first; without a lock."""
    rows = await connection.execute(
        text("""
            SELECT workspace, CAST(lead_id AS text) AS id FROM pipeline.due
            WHERE due_at <= :now ORDER BY due_at LIMIT :limit
        """),
        {"now": now, "limit": limit},
    )
    return [(row.workspace, row.id) for row in rows]


async def _delete(connection: AsyncConnection, table: str, keys: Sequence[LeadKey]) -> None:
    statement = (
        f"DELETE FROM pipeline.{table} USING {_KEYS} WHERE {table}.workspace = wanted.workspace "  # noqa: S608
        f"AND {table}.lead_id = wanted.id"
    )
    await routine.rows(connection, statement, **_key_columns(keys))


async def _lead_rows(connection: AsyncConnection, rows: Sequence[Sequence[Any]]) -> list[LeadRow]:
    """Rows of `_LEAD_COLUMNS` with their contents."""
    opened = iter(await sealed_leads.opened(connection, [row[_SEALED] for row in rows if row[_SEALED]]))
    return [_lead_row(row, next(opened) if row[_SEALED] else _plain(row)) for row in rows]


def _plain(row: Sequence[Any]) -> dict[str, Json]:
    _, _, emails, external_ids, attributes, state, *_ = row
    return {
        **(from_json(state) if state else {}),
        "emails": emails,
        "external_ids": from_json(external_ids),
        "attributes": from_json(attributes),
    }


def _lead_row(row: Sequence[Any], content: dict[str, Json] | None) -> LeadRow:
    """A row with its content; None: that of an erased lead."""
    workspace, lead_id, _, _, _, _, absorbed_by, _, scores_seen, thresholds_sent, stages_sent, is_erased = row
    return LeadRow(
        lead=convert({**(content or {}), "workspace": workspace, "id": lead_id, "absorbed_by": absorbed_by}, Lead),
        scores_seen=scores_seen,
        sequences=Sequences(thresholds_sent, stages_sent),
        is_erased=is_erased or content is None,
        has_remains=content is None,
    )


def owner_of(lead: Lead) -> str | None:
    """Whose lead it is: as the CRM says of the deal, else as an attribute says."""
    owner = lead.deal["owner"].value if "owner" in lead.deal else lead.attributes.get("owner")
    return owner if isinstance(owner, str) else None


def _array_text(values: Sequence[str]) -> str:
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in quoted) + "}"


def _key_columns(keys: Iterable[LeadKey]) -> dict[str, list[str]]:
    listed = list(keys)
    return {
        "workspaces": [workspace for workspace, _ in listed],
        "ids": [lead_id for _, lead_id in listed],
    }
