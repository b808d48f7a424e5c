"""Erasures: which leads, and which services have yet to do their part. Statement by statement; nothing commits.

The names of an erased lead are here for the seconds that it takes; the ids stay, so that what a backup brings back
can be erased again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from pydantic_core import from_json, to_json
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

Part = Literal["scorer", "pipeline", "ingest"]
PARTS: Final[tuple[Part, ...]] = ("scorer", "pipeline", "ingest")

_COLUMNS = "id, workspace, lead_id, leads, CAST(names AS text) AS names, asked_at, asked_by, done, completed_at"


@dataclass(frozen=True, slots=True)
class Erasure:
    """A lead that was erased, with those that had become part of it: `leads` are all of them.

    `names` are (kind, value) pairs by which it went, until every service has done its part.
    """

    id: UUID
    workspace: str
    lead_id: UUID
    leads: tuple[UUID, ...]
    names: tuple[tuple[str, str], ...]
    asked_at: datetime
    asked_by: str
    done: tuple[Part, ...] = ()
    completed_at: datetime | None = None

    @property
    def values(self) -> tuple[str, ...]:
        """The names without their kinds."""
        return tuple(value for _, value in self.names)


async def begin(connection: AsyncConnection, erasure: Erasure) -> None:
    """Let every service know that it has a part to do."""
    await connection.execute(
        text("""
            INSERT INTO sealing.erasure (id, workspace, lead_id, leads, names, asked_at, asked_by)
            VALUES (:id, :workspace, :lead, :leads, CAST(:names AS jsonb), :at, :by)
        """),
        {
            "id": erasure.id,
            "workspace": erasure.workspace,
            "lead": erasure.lead_id,
            "leads": list(erasure.leads),
            "names": to_json(erasure.names).decode(),
            "at": erasure.asked_at,
            "by": erasure.asked_by,
        },
    )


async def last_of(connection: AsyncConnection, workspace: str, lead_id: UUID) -> Erasure | None:
    """The last erasure of this lead, under its own id or as part of another."""
    rows = await connection.execute(
        text(f"""
            SELECT {_COLUMNS} FROM sealing.erasure
            WHERE workspace = :workspace AND (lead_id = :lead OR CAST(:lead AS uuid) = ANY(leads))
            ORDER BY asked_at DESC LIMIT 1
        """),  # noqa: S608 - a constant
        {"workspace": workspace, "lead": lead_id},
    )
    row = rows.one_or_none()
    return None if row is None else _erasure(row)


async def going_on(connection: AsyncConnection, part: Part, limit: int) -> list[Erasure]:
    """The oldest erasures of which this part is still to be done."""
    rows = await connection.execute(
        text(f"""
            SELECT {_COLUMNS} FROM sealing.erasure
            WHERE completed_at IS NULL AND NOT (CAST(:part AS text) = ANY(done)) ORDER BY asked_at LIMIT :limit
        """),  # noqa: S608 - a constant
        {"part": part, "limit": limit},
    )
    return [_erasure(row) for row in rows]


async def all_of(connection: AsyncConnection, workspace: str) -> list[Erasure]:
    """Every erasure of the workspace, the oldest first."""
    rows = await connection.execute(
        text(f"SELECT {_COLUMNS} FROM sealing.erasure WHERE workspace = :workspace ORDER BY asked_at, id"),  # noqa: S608
        {"workspace": workspace},
    )
    return [_erasure(row) for row in rows]


async def finish(connection: AsyncConnection, erasure: Erasure, part: Part, now: datetime) -> Erasure:
    """This part is done; with the last one the names go."""
    rows = await connection.execute(
        text(f"""
            UPDATE sealing.erasure SET done = added.done,
                names = CASE WHEN added.done @> CAST(:parts AS text[]) THEN NULL ELSE names END,
                completed_at = CASE WHEN added.done @> CAST(:parts AS text[])
                                    THEN coalesce(completed_at, CAST(:now AS timestamptz)) END
            FROM (SELECT id, CASE WHEN CAST(:part AS text) = ANY(done) THEN done
                                  ELSE done || CAST(:part AS text) END AS done
                  FROM sealing.erasure WHERE id = :id FOR UPDATE) AS added
            WHERE erasure.id = added.id
            RETURNING {_qualified()}
        """),  # noqa: S608 - a constant
        {"id": erasure.id, "part": part, "parts": list(PARTS), "now": now},
    )
    row = rows.one_or_none()
    return replace(erasure, done=(*erasure.done, part)) if row is None else _erasure(row)


def _qualified() -> str:
    names = ("id", "workspace", "lead_id", "leads", "asked_at", "asked_by", "done", "completed_at")
    return ", ".join([*(f"erasure.{name}" for name in names), "CAST(erasure.names AS text) AS names"])


def _erasure(row: Row[tuple[object, ...]]) -> Erasure:
    return Erasure(
        id=row.id,
        workspace=row.workspace,
        lead_id=row.lead_id,
        leads=tuple(row.leads),
        names=() if row.names is None else _names(from_json(row.names)),
        asked_at=row.asked_at,
        asked_by=row.asked_by,
        done=tuple(part for part in PARTS if part in row.done),
        completed_at=row.completed_at,
    )


def _names(pairs: Sequence[Sequence[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((kind, value) for kind, value in pairs)
