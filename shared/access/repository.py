"""The keys as PostgreSQL holds them: digests, never secrets."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from secrets import token_bytes

from sqlalchemy import Row, text

from shared.access.keys import KEY_ID_BYTES, SECRET_BYTES, NewKey, mint
from shared.access.principal import Scope
from shared.db.engine import Database
from shared.db.quota import Quota
from shared.db.reach import ALL_WORKSPACES
from shared.errors import InvalidInput

_WORKSPACE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)
_LONGEST_NAME = 200
# A newer release may have stored scopes that this one does not know.
_SCOPES = frozenset(scope.value for scope in Scope)
_INSERT_WORKSPACE = text(
    "INSERT INTO access.workspace (id, created_at) VALUES (:workspace, :now) ON CONFLICT DO NOTHING"
)
_INSERT_KEY = text(
    "INSERT INTO access.api_key (key_id, workspace, name, scopes, digest, created_at, expires_at)"
    " VALUES (:key_id, :workspace, :name, :scopes, :digest, :now, :expires_at)"
)
_COLUMNS = "key_id, workspace, name, scopes, digest, created_at, expires_at, revoked_at"
_SELECT = text(f"SELECT {_COLUMNS} FROM access.api_key WHERE workspace = :workspace ORDER BY created_at, key_id")  # noqa: S608
_SELECT_LIVE = text(f"SELECT {_COLUMNS} FROM access.api_key WHERE revoked_at IS NULL")  # noqa: S608
_WORKSPACES = text("SELECT id FROM access.workspace ORDER BY id")
_REVOKE = text(
    "UPDATE access.api_key SET revoked_at = coalesce(revoked_at, :now)"
    " WHERE key_id = :key_id AND workspace = :workspace"
)
_QUOTA = Quota(
    things="keys",
    code="too_many_keys",
    count="SELECT count(*) FROM access.api_key WHERE workspace = :workspace"
    " AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > :now)",
    remedy="revoke one, or raise LEADFLOW_MOST_KEYS",
)


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key without its secret."""

    key_id: str
    workspace: str
    name: str
    scopes: frozenset[Scope]
    digest: bytes
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    def is_good(self, now: datetime) -> bool:
        """Whether it opens anything at `now`."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class KeyRepository:
    """Creates, lists and revokes keys."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self,
        workspace: str,
        *,
        name: str,
        scopes: Iterable[Scope],
        now: datetime,
        expires_at: datetime | None = None,
        environment: str = "live",
        most: int | None = None,
    ) -> NewKey:
        """A new key; its workspace is created if it is new too. The text is not kept anywhere.

        Raises InvalidInput for a workspace or a name that cannot be one, Refused when the workspace has `most` keys
        that open something.
        """
        _check(workspace, name)
        key = mint(token_bytes(KEY_ID_BYTES), token_bytes(SECRET_BYTES), environment=environment)
        row = {
            "key_id": key.key_id,
            "workspace": workspace,
            "name": name,
            "scopes": sorted(scopes),
            "digest": key.digest,
            "now": now,
            "expires_at": expires_at,
        }
        async with self._database.transaction(workspace) as connection:
            await _QUOTA.admit_one(connection, workspace, most=most, now=now)
            await connection.execute(_INSERT_WORKSPACE, {"workspace": workspace, "now": now})
            await connection.execute(_INSERT_KEY, row)
        return key

    async def workspaces(self) -> Sequence[str]:
        """Every workspace, by name."""
        async with self._database.transaction(ALL_WORKSPACES) as connection:
            return list(await connection.scalars(_WORKSPACES))

    async def of_workspace(self, workspace: str) -> Sequence[StoredKey]:
        """Every key of a workspace, revoked ones included, oldest first."""
        async with self._database.transaction(workspace) as connection:
            rows = await connection.execute(_SELECT, {"workspace": workspace})
            return [_stored(row) for row in rows]

    async def live(self) -> dict[str, StoredKey]:
        """Every key that is not revoked, by its id: what a KeyRing holds."""
        async with self._database.transaction(ALL_WORKSPACES) as connection:
            rows = await connection.execute(_SELECT_LIVE)
            return {row.key_id: _stored(row) for row in rows}

    async def revoke(self, key_id: str, *, workspace: str, now: datetime) -> None:
        """End a key for good. Raises InvalidInput(not_found) for a key the workspace does not have."""
        async with self._database.transaction(workspace) as connection:
            result = await connection.execute(_REVOKE, {"key_id": key_id, "workspace": workspace, "now": now})
        if result.rowcount == 0:
            raise InvalidInput("no such key in this workspace", code="not_found", field="key_id")


def _check(workspace: str, name: str) -> None:
    if _WORKSPACE.fullmatch(workspace) is None:
        raise InvalidInput("must have lower-case letters, digits and - only", field="workspace")
    if not (name.isprintable() and len(name) <= _LONGEST_NAME):
        raise InvalidInput(f"must be printable, up to {_LONGEST_NAME} characters", field="name")


def _stored(row: Row[tuple[object, ...]]) -> StoredKey:
    known = frozenset(Scope(scope) for scope in row.scopes if scope in _SCOPES)
    return StoredKey(
        key_id=row.key_id,
        workspace=row.workspace,
        name=row.name,
        scopes=known,
        digest=bytes(row.digest),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
