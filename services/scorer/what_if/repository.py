"""Simulations that were asked for, statement by statement. Nothing here commits or decides."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias, cast
from uuid import UUID

from pydantic_core import from_json, to_json
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.events.json import Json

Status: TypeAlias = Literal["waiting", "running", "done", "failed"]


@dataclass(frozen=True, slots=True)
class Job:
    """A simulation that was asked for. `attempts` counts how often it was begun; `leads` is None before that."""

    id: UUID
    workspace: str
    request: Json
    requested_at: datetime
    requested_by: str
    status: Status
    attempts: int
    started_at: datetime | None
    finished_at: datetime | None
    done: int
    leads: int | None
    result: Json
    error: str | None


_JOB = """
    id, workspace, request::text, requested_at, requested_by, status, attempts, started_at, finished_at, done, leads,
    error
"""


async def ask(connection: AsyncConnection, job: Job) -> None:
    await connection.execute(
        text("""
            INSERT INTO scorer.simulation (id, workspace, request, requested_at, requested_by, status)
            VALUES (:id, :workspace, CAST(:request AS json), :at, :by, 'waiting')
        """),
        {
            "id": job.id,
            "workspace": job.workspace,
            "request": to_json(job.request).decode(),
            "at": job.requested_at,
            "by": job.requested_by,
        },
    )


async def forget_old(connection: AsyncConnection, workspace: str, *, keep: int) -> None:
    """Delete all but the newest `keep` that are over."""
    await connection.execute(
        text("""
            DELETE FROM scorer.simulation WHERE id IN (
                SELECT id FROM scorer.simulation
                WHERE workspace = :workspace AND status IN ('done', 'failed')
                ORDER BY requested_at DESC, id OFFSET :keep
            )
        """),
        {"workspace": workspace, "keep": keep},
    )


async def take(connection: AsyncConnection, now: datetime, *, lost_before: datetime) -> Job | None:
    """The oldest that waits, or whose process was last heard of before `lost_before`; it is running from now on."""
    rows = await connection.execute(
        text(f"""
            UPDATE scorer.simulation
            SET status = 'running', attempts = attempts + 1, started_at = :now, alive_at = :now, done = 0
            WHERE id = (
                SELECT id FROM scorer.simulation
                WHERE status = 'waiting' OR (status = 'running' AND alive_at < :lost_before)
                ORDER BY requested_at LIMIT 1 FOR UPDATE SKIP LOCKED
            )
            RETURNING {_JOB}
        """),  # noqa: S608 - a constant of ours
        {"now": now, "lost_before": lost_before},
    )
    row = rows.one_or_none()
    return None if row is None else _job(row, None)


async def keep_alive(connection: AsyncConnection, job: Job, now: datetime, *, done: int, leads: int | None) -> bool:
    """Say that the job goes on, and how far it is; false if somebody else has it by now."""
    result = await connection.execute(
        text("""
            UPDATE scorer.simulation SET alive_at = :now, done = :done, leads = :leads
            WHERE id = :id AND attempts = :attempt AND status = 'running'
        """),
        {"id": job.id, "attempt": job.attempts, "now": now, "done": done, "leads": leads},
    )
    return bool(result.rowcount)


async def finish(connection: AsyncConnection, job: Job, now: datetime, *, result: Json, leads: int) -> None:
    """Its end, with the result over so many leads. Nothing, if somebody else has it by now."""
    await connection.execute(
        text("""
            UPDATE scorer.simulation
            SET status = 'done', finished_at = :now, result = CAST(:result AS json), done = :leads, leads = :leads
            WHERE id = :id AND attempts = :attempt AND status = 'running'
        """),
        {
            "id": job.id,
            "attempt": job.attempts,
            "now": now,
            "result": to_json(result).decode(),
            "leads": leads,
        },
    )


async def fail(connection: AsyncConnection, job: Job, now: datetime, error: str) -> None:
    """Its end without a result. Nothing, if somebody else has it by now."""
    await connection.execute(
        text("""
            UPDATE scorer.simulation SET status = 'failed', finished_at = :now, error = :error
            WHERE id = :id AND attempts = :attempt AND status = 'running'
        """),
        {"id": job.id, "attempt": job.attempts, "now": now, "error": error},
    )


async def give_back(connection: AsyncConnection, job: Job) -> None:
    """Let somebody else do the job, as if it had not been begun."""
    await connection.execute(
        text("""
            UPDATE scorer.simulation SET status = 'waiting', attempts = attempts - 1, alive_at = NULL, done = 0
            WHERE id = :id AND attempts = :attempt AND status = 'running'
        """),
        {"id": job.id, "attempt": job.attempts},
    )


async def job_of(connection: AsyncConnection, workspace: str, id_: UUID) -> Job | None:
    """A job of the workspace, with its result."""
    rows = await connection.execute(
        text(f"SELECT {_JOB}, result::text FROM scorer.simulation WHERE workspace = :workspace AND id = :id"),  # noqa: S608
        {"workspace": workspace, "id": id_},
    )
    row = rows.one_or_none()
    return None if row is None else _job(row, row.result)


async def jobs_of(connection: AsyncConnection, workspace: str) -> list[Job]:
    """All that are kept, the newest first, without their results."""
    rows = await connection.execute(
        text(
            f"SELECT {_JOB} FROM scorer.simulation WHERE workspace = :workspace ORDER BY requested_at DESC, id"  # noqa: S608
        ),
        {"workspace": workspace},
    )
    return [_job(row, None) for row in rows]


def _job(row: Row[tuple[object, ...]], result: str | None) -> Job:
    return Job(
        id=row.id,
        workspace=row.workspace,
        request=from_json(row.request),
        requested_at=row.requested_at,
        requested_by=row.requested_by,
        status=cast("Status", row.status),
        attempts=row.attempts,
        started_at=row.started_at,
        finished_at=row.finished_at,
        done=row.done,
        leads=row.leads,
        result=None if result is None else from_json(result),
        error=row.error,
    )
