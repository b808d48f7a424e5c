"""Which version is in the shadow, statement by statement. Nothing here commits or decides."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class ShadowRun:
    """A version that is scored beside the active one of its workspace, from `started_at` on."""

    id: int
    workspace: str
    version: int
    started_at: datetime
    started_by: str
    reason: str


async def start(connection: AsyncConnection, run: ShadowRun) -> int:
    """Let a version be scored in the shadow; the caller has made sure that none is."""
    found = await connection.execute(
        text("""
            INSERT INTO scorer.shadow (workspace, version, started_at, started_by, reason)
            VALUES (:workspace, :version, :at, :by, :reason) RETURNING id
        """),
        {
            "workspace": run.workspace,
            "version": run.version,
            "at": run.started_at,
            "by": run.started_by,
            "reason": run.reason,
        },
    )
    return int(found.scalar_one())


async def end(
    connection: AsyncConnection, shadow_id: int, *, at: datetime, by: str, activation_id: int | None = None
) -> None:
    """End a shadow; with the activation that made its version the active one, if that is why."""
    await connection.execute(
        text("UPDATE scorer.shadow SET ended_at = :at, ended_by = :by, activation_id = :activation WHERE id = :id"),
        {"id": shadow_id, "at": at, "by": by, "activation": activation_id},
    )


async def running(connection: AsyncConnection, workspace: str) -> ShadowRun | None:
    """The version in the shadow, if there is one."""
    rows = await connection.execute(
        text("""
            SELECT id, workspace, version, started_at, started_by, reason FROM scorer.shadow
            WHERE workspace = :workspace AND ended_at IS NULL
        """),
        {"workspace": workspace},
    )
    row = rows.one_or_none()
    return None if row is None else ShadowRun(*row)
