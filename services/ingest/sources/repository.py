"""The webhook sources as PostgreSQL holds them.

Secrets lie there as they are, because a digest cannot sign: whoever reads this table can forge webhooks.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Row, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.ingest.kinds.kind import Secret, Source
from shared.db.engine import Database
from shared.db.quota import Quota
from shared.db.reach import ALL_WORKSPACES
from shared.errors import InvalidInput

_COLUMNS = "id, workspace, kind, secrets, public_url, event_names, time_zone, tolerance_seconds"
_ALL = text(f"SELECT {_COLUMNS} FROM ingest.source")  # noqa: S608 - a constant
_OF_WORKSPACE = text(f"SELECT {_COLUMNS} FROM ingest.source WHERE workspace = :workspace ORDER BY id")  # noqa: S608
_INSERT = text(
    "INSERT INTO ingest.source (id, workspace, kind, secrets, public_url, event_names, time_zone,"
    " tolerance_seconds, created_at)"
    " VALUES (:id, :workspace, :kind, CAST(:secrets AS jsonb), :public_url,"
    " CAST(:event_names AS jsonb), :time_zone, :tolerance_seconds, :now)"
)
_LOCKED = text(f"SELECT {_COLUMNS} FROM ingest.source WHERE id = :id AND workspace = :workspace FOR UPDATE")  # noqa: S608
_UPDATE_SECRETS = text("UPDATE ingest.source SET secrets = CAST(:secrets AS jsonb) WHERE id = :id")
_UPDATE_MEANING = text(
    "UPDATE ingest.source SET event_names = CAST(:event_names AS jsonb), public_url = :public_url,"
    " time_zone = :time_zone WHERE id = :id"
)
_QUOTA = Quota(
    things="webhook sources",
    code="too_many_sources",
    count="SELECT count(*) FROM ingest.source WHERE workspace = :workspace",
    remedy="they stay for good, so raise LEADFLOW_INGEST_MOST_SOURCES",
)


class SourceRepository:
    """Creates, changes and lists sources."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, source: Source, *, now: datetime, most: int | None = None) -> None:
        """Store a new source. Raises Refused when its workspace has `most`, and InvalidInput(conflict) when the id
        is taken, in whatever workspace.
        """
        row = {
            "id": source.id,
            "workspace": source.workspace,
            "kind": source.kind,
            "secrets": json.dumps([_secret_row(secret) for secret in source.secrets]),
            "public_url": source.public_url,
            "event_names": json.dumps(dict(source.event_names)),
            "time_zone": source.time_zone,
            "tolerance_seconds": source.tolerance_seconds,
            "now": now,
        }
        try:
            async with self._database.transaction(source.workspace) as connection:
                await _QUOTA.admit_one(connection, source.workspace, most=most)
                await connection.execute(_INSERT, row)
        except IntegrityError as error:
            raise InvalidInput("this id is taken", code="conflict", field="id") from error

    async def change_secrets(self, source_id: str, workspace: str, change: Callable[[Source], Source]) -> Source:
        """Store the secrets that `change` gives a source. Raises InvalidInput(not_found), and what it raises."""
        async with self._database.transaction(workspace) as connection:
            changed = change(await _locked(connection, source_id, workspace))
            await connection.execute(_UPDATE_SECRETS, _secrets_row(changed))
        return changed

    async def change_meaning(self, source_id: str, workspace: str, change: Callable[[Source], Source]) -> Source:
        """Store the names, URL and zone that `change` gives a source. Raises InvalidInput(not_found), and its own."""
        async with self._database.transaction(workspace) as connection:
            changed = change(await _locked(connection, source_id, workspace))
            await connection.execute(_UPDATE_MEANING, _meaning_row(changed))
        return changed

    async def replace(self, source: Source) -> None:
        """Store the meaning and the secrets of a source that exists."""
        async with self._database.transaction(source.workspace) as connection:
            await connection.execute(_UPDATE_MEANING, _meaning_row(source))
            await connection.execute(_UPDATE_SECRETS, _secrets_row(source))

    async def of_workspace(self, workspace: str) -> Sequence[Source]:
        """The sources of one workspace, by id."""
        async with self._database.transaction(workspace) as connection:
            return [_source(row) for row in await connection.execute(_OF_WORKSPACE, {"workspace": workspace})]

    async def all(self) -> Mapping[str, Source]:
        """Every source, by id: what the snapshot holds."""
        async with self._database.transaction(ALL_WORKSPACES) as connection:
            return {row.id: _source(row) for row in await connection.execute(_ALL)}


async def _locked(connection: AsyncConnection, source_id: str, workspace: str) -> Source:
    rows = await connection.execute(_LOCKED, {"id": source_id, "workspace": workspace})
    row = rows.one_or_none()
    if row is None:
        raise InvalidInput("no such source in this workspace", code="not_found", field="source")
    return _source(row)


def _meaning_row(source: Source) -> dict[str, str | None]:
    return {
        "id": source.id,
        "event_names": json.dumps(dict(source.event_names)),
        "public_url": source.public_url,
        "time_zone": source.time_zone,
    }


def _secrets_row(source: Source) -> dict[str, str]:
    return {"id": source.id, "secrets": json.dumps([_secret_row(secret) for secret in source.secrets])}


def _secret_row(secret: Secret) -> dict[str, str | None]:
    return {
        "id": secret.id,
        "secret": secret.secret,
        "created_at": secret.created_at.isoformat(),
        "expires_at": secret.expires_at.isoformat() if secret.expires_at else None,
    }


def _source(row: Row[tuple[object, ...]]) -> Source:
    return Source(
        id=row.id,
        workspace=row.workspace,
        kind=row.kind,
        secrets=tuple(_secret(secret) for secret in row.secrets),
        public_url=row.public_url,
        event_names=row.event_names,
        time_zone=row.time_zone,
        tolerance_seconds=row.tolerance_seconds,
    )


def _secret(row: Mapping[str, str | None]) -> Secret:
    expires_at = row["expires_at"]
    return Secret(
        id=row["id"] or "",
        secret=row["secret"] or "",
        created_at=datetime.fromisoformat(row["created_at"] or ""),
        expires_at=datetime.fromisoformat(expires_at) if expires_at else None,
    )
