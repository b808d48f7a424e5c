"""Pipeline documents and which of them counts, statement by statement. Nothing here commits or decides."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic_core import from_json, to_json
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db import routine
from shared.db.statements import text
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
    reason: str


@dataclass(frozen=True, slots=True)
class Activation:
    """A version began to count. `id` tells the order; the newest is what counts."""

    id: int
    version: int
    activated_at: datetime
    activated_by: str
    reason: str


_LAST = 2**31 - 1
_COLUMNS = "workspace, version, name, CAST(body AS text) AS body, active, published_at, published_by, reason"

_ACTIVE = """
    SELECT workspace, version FROM pipeline.document WHERE active AND workspace = ANY(CAST(:workspaces AS text[]))
"""


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


async def insert(connection: AsyncConnection, document: PublishedDocument, digest: bytes) -> None:
    """Store a version that does not count yet; the caller holds the lock."""
    await connection.execute(
        text("""
            INSERT INTO pipeline.document
                (workspace, version, name, body, digest, active, published_at, published_by, reason)
            VALUES (:workspace, :version, :name, CAST(:body AS json), :digest, false, :at, :by, :reason)
        """),
        {
            "workspace": document.workspace,
            "version": document.version,
            "name": document.name,
            "body": to_json(document.document).decode(),
            "digest": digest,
            "at": document.published_at,
            "by": document.published_by,
            "reason": document.reason,
        },
    )


async def activate(
    connection: AsyncConnection, workspace: str, version: int, *, at: datetime, by: str, reason: str
) -> None:
    """Let this version alone count, and write that into the history; the caller holds the lock."""
    for statement in (
        "UPDATE pipeline.document SET active = false WHERE workspace = :workspace AND active",
        "UPDATE pipeline.document SET active = true WHERE workspace = :workspace AND version = :version",
        """
            INSERT INTO pipeline.activation (workspace, version, activated_at, activated_by, reason)
            VALUES (:workspace, :version, :at, :by, :reason)
        """,
    ):
        await connection.execute(
            text(statement), {"workspace": workspace, "version": version, "at": at, "by": by, "reason": reason}
        )


async def activations(
    connection: AsyncConnection, workspace: str, *, before: int | None, limit: int
) -> list[Activation]:
    """Which version counted since when, the newest first; those older than the activation `before`."""
    rows = await connection.execute(
        text("""
            SELECT id, version, activated_at, activated_by, reason FROM pipeline.activation
            WHERE workspace = :workspace AND id < :before ORDER BY id DESC LIMIT :limit
        """),
        {"workspace": workspace, "before": _LAST if before is None else before, "limit": limit},
    )
    return [Activation(row.id, row.version, row.activated_at, row.activated_by, row.reason) for row in rows]


async def replaced(connection: AsyncConnection, workspace: str, version: int) -> int | None:
    """The version that `version` has replaced when it last began to count."""
    found = await connection.scalar(
        text("""
            SELECT version FROM pipeline.activation WHERE workspace = :workspace AND id < (
                SELECT max(id) FROM pipeline.activation WHERE workspace = :workspace AND version = :version
            ) AND version <> :version ORDER BY id DESC LIMIT 1
        """),
        {"workspace": workspace, "version": version},
    )
    return None if found is None else int(found)


async def active(connection: AsyncConnection, workspaces: Sequence[str]) -> dict[str, int]:
    """The active version of each workspace that has one."""
    rows = await routine.rows(connection, _ACTIVE, workspaces=list(workspaces))
    return {row[0]: row[1] for row in rows}


async def find(connection: AsyncConnection, workspace: str, version: int) -> PublishedDocument | None:
    rows = await connection.execute(
        text(f"SELECT {_COLUMNS} FROM pipeline.document WHERE workspace = :workspace AND version = :version"),  # noqa: S608
        {"workspace": workspace, "version": version},
    )
    row = rows.one_or_none()
    return None if row is None else _document(row)


async def all_of(
    connection: AsyncConnection, workspace: str, *, before: int | None = None, limit: int = 1_000
) -> list[PublishedDocument]:
    """Versions, the newest first; those older than the version `before`."""
    rows = await connection.execute(
        text(
            f"SELECT {_COLUMNS} FROM pipeline.document WHERE workspace = :workspace AND version < :before "  # noqa: S608
            "ORDER BY version DESC LIMIT :limit"
        ),
        {"workspace": workspace, "before": _LAST if before is None else before, "limit": limit},
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
        reason=row.reason,
    )
