"""Model versions and which of them counts, statement by statement. Nothing here commits or decides."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic_core import from_json, to_json
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db import routine
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


@dataclass(frozen=True, slots=True)
class Draft:
    """A document that somebody works on, by a name within its workspace; nothing says that it is valid."""

    workspace: str
    name: str
    document: Json
    changed_at: datetime
    changed_by: str


@dataclass(frozen=True, slots=True)
class Activation:
    """The decision that a version counts, from `activated_at` until the next one."""

    id: int
    version: int
    activated_at: datetime
    activated_by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Choice:
    """What scores the leads of a workspace: the active version, and the one in its shadow if there is any.

    `inherited` is the shadow that ended when its version became the active one: where a lead is still of another
    version, its state under that shadow is the one to go on with.
    """

    version: int | None
    shadow_id: int | None
    shadow_version: int | None
    inherited: int | None


async def lock_choice(connection: AsyncConnection, workspace: str) -> None:
    """Keep others from publishing and from choosing versions in this workspace until the transaction ends."""
    await connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended('model ' || :workspace, 0))"), {"workspace": workspace}
    )


async def newest(connection: AsyncConnection, workspace: str) -> tuple[int, bytes] | None:
    """Number and digest of the newest version."""
    rows = await connection.execute(
        text("SELECT version, digest FROM scorer.model WHERE workspace = :workspace ORDER BY version DESC LIMIT 1"),
        {"workspace": workspace},
    )
    row = rows.one_or_none()
    return None if row is None else (row.version, bytes(row.digest))


async def insert(connection: AsyncConnection, model: PublishedModel, digest: bytes) -> None:
    """Store a version; the caller holds the lock on the choice."""
    await connection.execute(
        text("""
            INSERT INTO scorer.model (workspace, version, name, document, digest, published_at, published_by, reason)
            VALUES (:workspace, :version, :name, CAST(:document AS json), :digest, :at, :by, :reason)
        """),
        {
            "workspace": model.workspace,
            "version": model.version,
            "name": model.name,
            "document": to_json(model.document).decode(),
            "digest": digest,
            "at": model.published_at,
            "by": model.published_by,
            "reason": model.reason,
        },
    )


async def activate(
    connection: AsyncConnection, workspace: str, version: int, *, at: datetime, by: str, reason: str
) -> int:
    """Let a published version count from now on; returns the id of the decision."""
    found = await connection.execute(
        text("""
            INSERT INTO scorer.activation (workspace, version, activated_at, activated_by, reason)
            VALUES (:workspace, :version, :at, :by, :reason) RETURNING id
        """),
        {"workspace": workspace, "version": version, "at": at, "by": by, "reason": reason},
    )
    return int(found.scalar_one())


async def activations(
    connection: AsyncConnection, workspace: str, *, before: int | None = None, limit: int
) -> list[Activation]:
    """Decisions on which version counts, the newest first; with `before`, those older than that one."""
    rows = await connection.execute(
        text("""
            SELECT id, version, activated_at, activated_by, reason FROM scorer.activation
            WHERE workspace = :workspace AND (CAST(:before AS bigint) IS NULL OR id < :before)
            ORDER BY id DESC LIMIT :limit
        """),
        {"workspace": workspace, "before": before, "limit": limit},
    )
    return [Activation(*row) for row in rows]


async def choices(connection: AsyncConnection, workspaces: Sequence[str]) -> dict[str, Choice]:
    """What scores the leads of each of these workspaces, as of one moment."""
    found = await routine.rows(
        connection,
        """
            SELECT item.workspace, active.version, running.id, running.version, promoted.id
            FROM unnest(CAST(:workspaces AS text[])) AS item (workspace)
            LEFT JOIN LATERAL (SELECT id, version FROM scorer.activation
                               WHERE activation.workspace = item.workspace
                               ORDER BY id DESC LIMIT 1) AS active ON true
            LEFT JOIN scorer.shadow AS running ON running.workspace = item.workspace AND running.ended_at IS NULL
            LEFT JOIN scorer.shadow AS promoted ON promoted.activation_id = active.id
        """,
        workspaces=list(workspaces),
    )
    return {workspace: Choice(*choice) for workspace, *choice in found}


async def save_draft(connection: AsyncConnection, draft: Draft) -> None:
    """Store a draft, in place of one by the same name."""
    await connection.execute(
        text("""
            INSERT INTO scorer.draft (workspace, name, document, changed_at, changed_by)
            VALUES (:workspace, :name, CAST(:document AS json), :at, :by)
            ON CONFLICT (workspace, name) DO UPDATE SET
                document = excluded.document, changed_at = excluded.changed_at, changed_by = excluded.changed_by
        """),
        {
            "workspace": draft.workspace,
            "name": draft.name,
            "document": to_json(draft.document).decode(),
            "at": draft.changed_at,
            "by": draft.changed_by,
        },
    )


async def draft_of(connection: AsyncConnection, workspace: str, name: str) -> Draft | None:
    rows = await connection.execute(
        text(_DRAFT + "WHERE workspace = :workspace AND name = :name"), {"workspace": workspace, "name": name}
    )
    row = rows.one_or_none()
    return None if row is None else _draft(row)


async def drafts_of(
    connection: AsyncConnection, workspace: str, *, after: str | None = None, limit: int | None = None
) -> list[Draft]:
    """Drafts by name; with `after`, those whose names come later than that one."""
    rows = await connection.execute(
        text(
            _DRAFT + "WHERE workspace = :workspace AND (CAST(:after AS text) IS NULL OR name > :after)"
            " ORDER BY name LIMIT :limit"
        ),
        {"workspace": workspace, "after": after, "limit": limit},
    )
    return [_draft(row) for row in rows]


async def delete_draft(connection: AsyncConnection, workspace: str, name: str) -> bool:
    """Whether there was one."""
    result = await connection.execute(
        text("DELETE FROM scorer.draft WHERE workspace = :workspace AND name = :name"),
        {"workspace": workspace, "name": name},
    )
    return bool(result.rowcount)


_DRAFT = "SELECT workspace, name, document::text, changed_at, changed_by FROM scorer.draft "
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


async def models_of(
    connection: AsyncConnection, workspace: str, *, before: int | None = None, limit: int | None = None
) -> list[PublishedModel]:
    """Versions, the newest first; with `before`, those older than that one."""
    rows = await connection.execute(
        text(
            _MODEL + "WHERE model.workspace = :workspace AND (CAST(:before AS integer) IS NULL OR version < :before)"
            " ORDER BY version DESC LIMIT :limit"
        ),
        {"workspace": workspace, "before": before, "limit": limit},
    )
    return [_model(row) for row in rows]


def _draft(row: Row[tuple[object, ...]]) -> Draft:
    return Draft(row.workspace, row.name, from_json(row.document), row.changed_at, row.changed_by)


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
