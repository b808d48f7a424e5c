"""Rows of leads for reports: written where a lead has become another as far as reports see it."""

from collections.abc import Sequence
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy.ext.asyncio import AsyncConnection

from services.pipeline.domain.reports.row import ReportRow
from services.pipeline.reports.marks import marks
from shared.db import routine
from shared.db.statements import text
from shared.sealing.data_keys import sealing_of

LeadKey = tuple[str, str]

STEP = ">"
"""Stands between the stages of a path: no id of a stage has it."""

_PLAIN = {
    "seen_at": "timestamptz",
    "entered_at": "timestamptz",
    "since": "timestamptz",
    "due_at": "timestamptz",
    "closed_at": "timestamptz",
    "qualified_at": "timestamptz",
    "amount": "double precision",
    "probability": "double precision",
    "close_date": "date",
    "currency": "text",
    "stage": "text",
    "outcome": "text",
    "owner": "text",
    "model": "text",
    "source": "text",
    "medium": "text",
    "campaign": "text",
    "last_source": "text",
    "last_medium": "text",
    "last_campaign": "text",
    "path": "text",
}
# An array of arrays must be rectangular and JSON has no array type, so these travel as text.
_AS_TEXT = {"entered": "integer[]", "spent": "integer[]", "thresholds": "text[]", "facts": "jsonb", "marks": "jsonb"}
_COLUMNS = (*_PLAIN, *_AS_TEXT)
_WRITE = f"""
    INSERT INTO pipeline.lead_report (workspace, lead_id, {", ".join(_COLUMNS)})
    SELECT workspace, lead_id, {", ".join(_PLAIN)}, {
    ", ".join(f"CAST({name} AS {kind})" for name, kind in _AS_TEXT.items())
}
    FROM unnest(CAST(:workspaces AS text[]), CAST(:ids AS uuid[]), {
    ", ".join(f"CAST(:{name} AS {_PLAIN.get(name, 'text')}[])" for name in _COLUMNS)
}) AS item (workspace, lead_id, {", ".join(_COLUMNS)})
    ON CONFLICT (workspace, lead_id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)}
"""  # noqa: S608 names of ours


async def write(connection: AsyncConnection, rows: Sequence[tuple[LeadKey, ReportRow]]) -> None:
    """Write rows in place of those before; the caller holds the locks of their leads."""
    sealing = sealing_of(connection)
    keys: dict[str, bytes] = {}
    if sealing.on:
        for workspace in sorted({workspace for (workspace, _), _ in rows}):
            keys[workspace] = await sealing.names_key(connection, workspace)
    columns = [_columns(row, keys.get(workspace)) for (workspace, _), row in rows]
    await routine.rows(
        connection,
        _WRITE,
        workspaces=[workspace for (workspace, _), _ in rows],
        ids=[lead_id for (_, lead_id), _ in rows],
        **{name: [row[name] for row in columns] for name in _COLUMNS},
    )


async def delete(connection: AsyncConnection, keys: Sequence[LeadKey]) -> None:
    """Leads that are no more count no more."""
    await connection.execute(
        text("""
            DELETE FROM pipeline.lead_report USING unnest(CAST(:workspaces AS text[]), CAST(:ids AS uuid[]))
                AS gone (workspace, id)
            WHERE lead_report.workspace = gone.workspace AND lead_report.lead_id = gone.id
        """),
        {"workspaces": [workspace for workspace, _ in keys], "ids": [UUID(lead_id) for _, lead_id in keys]},
    )


def _columns(row: ReportRow, names_key: bytes | None) -> dict[str, object]:
    plain: dict[str, object] = {name: getattr(row, name) for name in _PLAIN}
    return {
        **plain,
        "path": STEP.join(row.path),
        "entered": _array(row.entered_seconds),
        "spent": _array(row.spent_seconds),
        "thresholds": _text_array(row.thresholds),
        "facts": to_json(dict(row.facts)).decode() if names_key is None else "{}",
        "marks": None if names_key is None else to_json(marks(names_key, row.facts)).decode(),
    }


def _array(values: Sequence[int | None]) -> str:
    return "{" + ",".join("NULL" if value is None else str(value) for value in values) + "}"


def _text_array(values: Sequence[str]) -> str:
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in quoted) + "}"
