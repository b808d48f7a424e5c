"""What the doctor sees of what protects leads: data keys and the master keys over them, roles and row security."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.reach import APP_ROLE, WORKER_ROLE
from shared.sealing.data_keys import Sealing

MOST_OPENED = 10_000
"""Data keys that are opened for the look: all of them up to here, else the oldest and the newest."""

_KEYS = text("""
    SELECT wrapped_by, count(*) AS number, CAST((array_agg(id ORDER BY created_at DESC))[1] AS text) AS newest
    FROM sealing.data_key GROUP BY 1 ORDER BY 1 NULLS FIRST
""")
_OPENED = text("""
    (SELECT id, key, wrapped_by FROM sealing.data_key ORDER BY created_at LIMIT :half)
    UNION (SELECT id, key, wrapped_by FROM sealing.data_key ORDER BY created_at DESC LIMIT :half)
""")
_LOGIN = text("SELECT session_user, rolsuper OR rolbypassrls AS sees_all FROM pg_roles WHERE rolname = session_user")
_ROLES = text("""
    SELECT wanted.name, rolname IS NOT NULL AS exists, coalesce(rolsuper OR rolbypassrls, false) AS sees_all,
        CASE WHEN rolname IS NULL THEN false ELSE pg_has_role(session_user, rolname, 'MEMBER') END AS is_taken
    FROM unnest(CAST(:names AS text[])) AS wanted (name) LEFT JOIN pg_roles ON rolname = wanted.name ORDER BY 1
""")
_OPEN_TABLES = text("""
    SELECT format('%s.%s', nspname, relname) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relkind IN ('r', 'p') AND nspname IN ('access', 'ingest', 'scorer', 'pipeline')
        AND NOT (relrowsecurity AND relforcerowsecurity)
        AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = pg_class.oid AND attname = 'workspace'
            AND NOT attisdropped)
    ORDER BY 1
""")
_PLACE = text(
    "SELECT current_database() AS name, oid, pg_postmaster_start_time() AS since FROM pg_database "
    "WHERE datname = current_database()"
)
_NOT_OWNED = text("""
    SELECT count(*) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relkind IN ('r', 'p') AND nspname IN ('access', 'ingest', 'scorer', 'pipeline', 'log', 'sealing')
        AND NOT pg_has_role(current_user, relowner, 'USAGE')
""")


@dataclass(frozen=True, slots=True)
class KeysUnder:
    """Data keys under one master key, by its name; None: they stand as they are. `newest` is one of them."""

    master: str | None
    number: int
    newest: str


@dataclass(frozen=True, slots=True)
class Sealed:
    """The data keys, those that do not open although their master key is there, and what this process has."""

    keys: tuple[KeysUnder, ...]
    looked_at: int
    damaged: tuple[str, ...]
    masters: tuple[str, ...]
    on: bool

    @property
    def number(self) -> int:
        return sum(one.number for one in self.keys)


@dataclass(frozen=True, slots=True)
class Role:
    """A role that transactions take. `is_taken`: the login may take it."""

    name: str
    exists: bool
    sees_all: bool
    is_taken: bool


@dataclass(frozen=True, slots=True)
class Rights:
    """As whom services work, and tables whose workspaces nothing keeps apart."""

    login: str
    login_sees_all: bool
    roles: tuple[Role, ...]
    open_tables: tuple[str, ...]


async def sealed(connection: AsyncConnection, sealing: Sealing) -> Sealed:
    """What there is of data keys, with some of them opened."""
    keys = tuple(KeysUnder(row.wrapped_by, row.number, row.newest) for row in await connection.execute(_KEYS))
    masters = tuple(master.name for master in sealing.masters)
    opened = (await connection.execute(_OPENED, {"half": MOST_OPENED // 2})).all()
    there = [row for row in opened if row.wrapped_by is None or row.wrapped_by in masters]
    damaged = tuple(str(row.id) for row in there if not sealing.opens(row.id, bytes(row.key), row.wrapped_by))
    return Sealed(keys, len(there), damaged, masters, sealing.on)


async def rights(connection: AsyncConnection) -> Rights:
    """As the login itself, because the roles may be what is wrong."""
    login = (await connection.execute(_LOGIN)).one()
    found = await connection.execute(_ROLES, {"names": [APP_ROLE, WORKER_ROLE]})
    roles = tuple(Role(row.name, row.exists, row.sees_all, row.is_taken) for row in found)
    tables = (await connection.execute(_OPEN_TABLES)).scalars().all()
    return Rights(login.session_user, login.sees_all, roles, tuple(tables))


async def place(connection: AsyncConnection) -> tuple[object, ...]:
    """What tells one database from all others."""
    return tuple((await connection.execute(_PLACE)).one())


async def not_owned(connection: AsyncConnection) -> int:
    """How many tables of leadflow this login may not change."""
    return int(await connection.scalar(_NOT_OWNED) or 0)
