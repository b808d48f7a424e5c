"""Model versions and which of them counts, statement by statement. Nothing here commits or decides."""

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


async def publish_model(connection: AsyncConnection, model: PublishedModel, digest: bytes) -> int:
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
            VALUES (:workspace, :version, :name, CAST(:document AS jsonb), :digest, :at, :by, :reason)
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


async def activate_model(
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
_ACTIVE = """
    JOIN (SELECT DISTINCT ON (workspace) workspace, version FROM scorer.activation ORDER BY workspace, id DESC)
         AS active USING (workspace, version)
"""


async def active_models(connection: AsyncConnection) -> dict[str, PublishedModel]:
    """The model version that counts, by workspace."""
    rows = await connection.execute(text(_MODEL + _ACTIVE))
    return {row.workspace: _model(row) for row in rows}


async def models_of(connection: AsyncConnection, workspace: str) -> list[PublishedModel]:
    """All versions, the newest first."""
    rows = await connection.execute(
        text(_MODEL + "WHERE model.workspace = :workspace ORDER BY version DESC"), {"workspace": workspace}
    )
    return [_model(row) for row in rows]


async def active_version(connection: AsyncConnection, workspace: str) -> int | None:
    row = await connection.execute(
        text("SELECT version FROM scorer.activation WHERE workspace = :workspace ORDER BY id DESC LIMIT 1"),
        {"workspace": workspace},
    )
    version: int | None = row.scalar_one_or_none()
    return version


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
