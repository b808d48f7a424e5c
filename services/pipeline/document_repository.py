"""Pipeline documents and which of them counts, statement by statement. Nothing here commits or decides."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic_core import from_json, to_json
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.events.json import Json


@dataclass(frozen=True, slots=True)
class PublishedDocument:
    """A version of a workspace's pipeline; versions never change, and at most one is active."""

    workspace: str
    version: int
    name: str
    document: Json
    active: bool
    published_at: datetime
    published_by: str


_COLUMNS = "workspace, version, name, CAST(body AS text) AS body, active, published_at, published_by"


async def lock(connection: AsyncConnection, workspace: str) -> None:
    """Let nobody else publish for this workspace until the transaction ends."""
    await connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended('pipeline ' || :workspace, 0))"),
        {"workspace": workspace},
    )


async def newest(connection: AsyncConnection, workspace: str) -> tuple[int, bytes] | None:
    """Number and digest of the newest version."""
    rows = await connection.execute(
        text(
            "SELECT version, digest FROM pipeline.document WHERE workspace = :workspace ORDER BY version DESC LIMIT 1"
        ),
        {"workspace": workspace},
    )
    row = rows.one_or_none()
    return None if row is None else (row.version, bytes(row.digest))


async def insert_active(connection: AsyncConnection, document: PublishedDocument, digest: bytes) -> None:
    """Store a version and let it alone be active; the caller holds the lock."""
    await connection.execute(
        text("UPDATE pipeline.document SET active = false WHERE workspace = :workspace AND active"),
        {"workspace": document.workspace},
    )
    await connection.execute(
        text("""
            INSERT INTO pipeline.document (workspace, version, name, body, digest, active, published_at, published_by)
            VALUES (:workspace, :version, :name, CAST(:body AS json), :digest, true, :at, :by)
        """),
        {
            "workspace": document.workspace,
            "version": document.version,
            "name": document.name,
            "body": to_json(document.document).decode(),
            "digest": digest,
            "at": document.published_at,
            "by": document.published_by,
        },
    )


async def active(connection: AsyncConnection, workspaces: Sequence[str]) -> dict[str, int]:
    """The active version of each workspace that has one."""
    rows = await connection.execute(
        text("""
            SELECT workspace, version FROM pipeline.document
            WHERE active AND workspace = ANY(CAST(:workspaces AS text[]))
        """),
        {"workspaces": list(workspaces)},
    )
    return {row.workspace: row.version for row in rows}


async def find(connection: AsyncConnection, workspace: str, version: int) -> PublishedDocument | None:
    rows = await connection.execute(
        text(f"SELECT {_COLUMNS} FROM pipeline.document WHERE workspace = :workspace AND version = :version"),  # noqa: S608
        {"workspace": workspace, "version": version},
    )
    row = rows.one_or_none()
    return None if row is None else _document(row)


async def all_of(connection: AsyncConnection, workspace: str) -> list[PublishedDocument]:
    """All versions, the newest first."""
    rows = await connection.execute(
        text(f"SELECT {_COLUMNS} FROM pipeline.document WHERE workspace = :workspace ORDER BY version DESC"),  # noqa: S608
        {"workspace": workspace},
    )
    return [_document(row) for row in rows]


def _document(row: Row[tuple[object, ...]]) -> PublishedDocument:
    return PublishedDocument(
        workspace=row.workspace,
        version=row.version,
        name=row.name,
        document=from_json(row.body),
        active=row.active,
        published_at=row.published_at,
        published_by=row.published_by,
    )
