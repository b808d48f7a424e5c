"""Rebuilds and how far each of their parts has come, statement by statement. Nothing here commits or decides."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class Run:
    """A rebuild that was begun."""

    id: int
    workspace: str
    model_version: int
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Bounds:
    """The leads of a part: after `after` and up to `upto`, either None for no bound; there were `leads` of them."""

    after: UUID | None
    upto: UUID | None
    leads: int


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a rebuild: those of its leads up to `last` are done."""

    number: int
    bounds: Bounds
    last: UUID | None
    done: int
    repaired: int
    told: int
    finished: bool


async def take_turn(connection: AsyncConnection, workspace: str) -> bool:
    """Whether no other rebuild of the workspace goes on; then none can until this transaction ends."""
    turn = await connection.execute(
        text("SELECT pg_try_advisory_xact_lock(hashtextextended('rebuild ' || :workspace, 0))"),
        {"workspace": workspace},
    )
    return bool(turn.scalar_one())


async def unended(connection: AsyncConnection, workspace: str) -> Run | None:
    rows = await connection.execute(
        text("""
            SELECT id, workspace, model_version, started_at FROM scorer.rebuild
            WHERE workspace = :workspace AND ended_at IS NULL
        """),
        {"workspace": workspace},
    )
    row = rows.one_or_none()
    return None if row is None else Run(row.id, row.workspace, row.model_version, row.started_at)


async def begin(
    connection: AsyncConnection, workspace: str, version: int, bounds: Sequence[Bounds], now: datetime
) -> None:
    """A new rebuild with these parts."""
    rows = await connection.execute(
        text("""
            INSERT INTO scorer.rebuild (workspace, model_version, started_at)
            VALUES (:workspace, :version, :now) RETURNING id
        """),
        {"workspace": workspace, "version": version, "now": now},
    )
    await connection.execute(
        text("""
            INSERT INTO scorer.rebuild_part (rebuild_id, part, after_id, upto_id, leads)
            SELECT :id, part, after_id, upto_id, leads
            FROM unnest(CAST(:afters AS uuid[]), CAST(:uptos AS uuid[]), CAST(:leads AS bigint[]))
                 WITH ORDINALITY AS item (after_id, upto_id, leads, part)
        """),
        {
            "id": rows.scalar_one(),
            "afters": [part.after for part in bounds],
            "uptos": [part.upto for part in bounds],
            "leads": [part.leads for part in bounds],
        },
    )


async def end(connection: AsyncConnection, run_id: int, now: datetime, *, abandoned: bool) -> None:
    await connection.execute(
        text("UPDATE scorer.rebuild SET ended_at = :now, abandoned = :abandoned WHERE id = :id"),
        {"id": run_id, "now": now, "abandoned": abandoned},
    )


async def split(connection: AsyncConnection, workspace: str, parts: int) -> list[Bounds]:
    """The workspace's leads in at most `parts` of about the same size, without bounds at both ends."""
    rows = await connection.execute(
        text("""
            SELECT upto, leads FROM (
                SELECT part, (array_agg(id ORDER BY id DESC))[1] AS upto, count(*) AS leads
                FROM (SELECT id, ntile(:parts) OVER (ORDER BY id) AS part FROM scorer.lead
                      WHERE workspace = :workspace AND merged_into IS NULL) AS numbered
                GROUP BY part
            ) AS parts ORDER BY part
        """),
        {"workspace": workspace, "parts": parts},
    )
    found = rows.all()
    edges: list[UUID | None] = [None, *(row.upto for row in found[:-1]), None]
    return [Bounds(edges[index], edges[index + 1], row.leads) for index, row in enumerate(found)]


async def parts_of(connection: AsyncConnection, run_id: int) -> list[Part]:
    rows = await connection.execute(
        text("""
            SELECT part, after_id, upto_id, last_id, leads, done, repaired, told, finished
            FROM scorer.rebuild_part WHERE rebuild_id = :id ORDER BY part
        """),
        {"id": run_id},
    )
    return [
        Part(
            number=row.part,
            bounds=Bounds(row.after_id, row.upto_id, row.leads),
            last=row.last_id,
            done=row.done,
            repaired=row.repaired,
            told=row.told,
            finished=row.finished,
        )
        for row in rows
    ]


async def save_part(connection: AsyncConnection, run_id: int, part: Part) -> None:
    """How far a part has come, in the transaction that brought it there."""
    await connection.execute(
        text("""
            UPDATE scorer.rebuild_part
            SET last_id = :last, done = :done, repaired = :repaired, told = :told, finished = :finished
            WHERE rebuild_id = :id AND part = :part
        """),
        {
            "id": run_id,
            "part": part.number,
            "last": part.last,
            "done": part.done,
            "repaired": part.repaired,
            "told": part.told,
            "finished": part.finished,
        },
    )
