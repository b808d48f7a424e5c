"""Model versions and which of them counts, statement by statement. Nothing here commits or decides."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic_core import from_json, to_json
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.events.json import Json


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """A version of a workspace's model; versions never change."""

    workspace: str
    version: int
    name: str
    document: Json
    published_at: datetime
    published_by: str
    reason: str


async def publish(connection: AsyncConnection, model: PublishedModel, digest: bytes) -> int:
    """Store a version after the newest; the same document as the newest is that version again."""
    await connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended('model ' || :workspace, 0))"),
        {"workspace": model.workspace},
    )
    newest = (
        await connection.execute(
            text(
                "SELECT version, digest FROM scorer.model WHERE workspace = :workspace ORDER BY version DESC LIMIT 1"
            ),
            {"workspace": model.workspace},
        )
    ).one_or_none()
    if newest is not None and newest.digest == digest:
        return int(newest.version)
    version = 1 if newest is None else int(newest.version) + 1
    await connection.execute(
        text("""
            INSERT INTO scorer.model (workspace, version, name, document, digest, published_at, published_by, reason)
            VALUES (:workspace, :version, :name, CAST(:document AS json), :digest, :at, :by, :reason)
        """),
        {
            "workspace": model.workspace,
            "version": version,
            "name": model.name,
            "document": to_json(model.document).decode(),
            "digest": digest,
            "at": model.published_at,
            "by": model.published_by,
            "reason": model.reason,
        },
    )
    return version


async def activate(
    connection: AsyncConnection, workspace: str, version: int, *, at: datetime, by: str, reason: str
) -> None:
    await connection.execute(
        text("""
            INSERT INTO scorer.activation (workspace, version, activated_at, activated_by, reason)
            VALUES (:workspace, :version, :at, :by, :reason)
        """),
        {"workspace": workspace, "version": version, "at": at, "by": by, "reason": reason},
    )


_MODEL = """
    SELECT model.workspace, model.version, name, document::text, published_at, published_by, model.reason
    FROM scorer.model AS model
"""


async def active_versions(connection: AsyncConnection, workspaces: Sequence[str]) -> dict[str, int]:
    """The version that counts, by workspace; those without any are left out."""
    rows = await connection.execute(
        text("""
            SELECT workspace, (SELECT version FROM scorer.activation WHERE activation.workspace = item.workspace
                               ORDER BY id DESC LIMIT 1) AS version
            FROM unnest(CAST(:workspaces AS text[])) AS item (workspace)
        """),
        {"workspaces": list(workspaces)},
    )
    return {row.workspace: row.version for row in rows if row.version is not None}


async def model_of(connection: AsyncConnection, workspace: str, version: int) -> PublishedModel | None:
    rows = await connection.execute(
        text(_MODEL + "WHERE model.workspace = :workspace AND model.version = :version"),
        {"workspace": workspace, "version": version},
    )
    row = rows.one_or_none()
    return None if row is None else _model(row)


async def models_of(connection: AsyncConnection, workspace: str) -> list[PublishedModel]:
    """All versions, the newest first."""
    rows = await connection.execute(
        text(_MODEL + "WHERE model.workspace = :workspace ORDER BY version DESC"), {"workspace": workspace}
    )
    return [_model(row) for row in rows]


def _model(row: Row[tuple[object, ...]]) -> PublishedModel:
    return PublishedModel(
        workspace=row.workspace,
        version=row.version,
        name=row.name,
        document=from_json(row.document),
        published_at=row.published_at,
        published_by=row.published_by,
        reason=row.reason,
    )
