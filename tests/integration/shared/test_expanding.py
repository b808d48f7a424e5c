"""Migrations only add: processes of the release before go on while the database is already the next one's.

Each migration is applied to what the ones before it made, and the catalogue is compared: no table or column goes, no
type narrows, nothing that could be left out becomes compulsory, and nothing that could be written is refused.
"""

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.db.engine import Database
from shared.db.migrations import _config, check_migrated, migrate
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.postgres

VERSIONS = Path(__file__).parents[3] / "migrations" / "versions"
# The newest migration of the last release; what came before it was never rolled out beside another release. Goes
# up with each release.
RELEASED = "0020_failed_delivery"
# What a migration after that takes away or forbids, and why nothing of the release before needs it.
ALLOWED: Mapping[str, frozenset[str]] = {}

_COLUMNS = """
SELECT table_schema || '.' || table_name, column_name, data_type, is_nullable = 'YES',
    column_default IS NOT NULL OR is_identity = 'YES' OR is_generated = 'ALWAYS'
FROM information_schema.columns WHERE table_schema <> ALL(ARRAY['pg_catalog', 'information_schema'])
"""
_CONSTRAINTS = """
SELECT n.nspname || '.' || t.relname, c.conname || ' ' || pg_get_constraintdef(c.oid),
    ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attnum = ANY(c.conkey))
FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE c.contype <> 'n'
UNION ALL
SELECT n.nspname || '.' || t.relname, pg_get_indexdef(i.indexrelid),
    ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attnum = ANY(i.indkey))
FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE i.indisunique AND n.nspname <> ALL(ARRAY['pg_catalog', 'pg_toast'])
"""


@dataclass(frozen=True, slots=True)
class Column:
    type: str
    nullable: bool
    filled: bool


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Columns by table and name; what a row must satisfy, with the columns that it is about."""

    columns: Mapping[tuple[str, str], Column]
    demands: Mapping[tuple[str, str], frozenset[str]]

    @property
    def tables(self) -> frozenset[str]:
        return frozenset(table for table, _ in self.columns)


async def catalogue(connection: AsyncConnection) -> Catalogue:
    columns = await connection.execute(text(_COLUMNS))
    demands = await connection.execute(text(_CONSTRAINTS))
    return Catalogue(
        {(row[0], row[1]): Column(row[2], row[3], row[4]) for row in columns},
        {(row[0], row[1]): frozenset(row[2]) for row in demands},
    )


def taken_away(before: Catalogue, after: Catalogue) -> Iterator[str]:
    """What a process that knows only `before` could do, and can no longer."""
    for table in sorted(before.tables - after.tables):
        yield f"{table} is gone"
    for (table, name), column in after.columns.items():
        if table not in before.tables:
            continue
        known = before.columns.get((table, name))
        if known is None and not (column.nullable or column.filled):
            yield f"{table}.{name} is new and compulsory"
        if known is not None and known.type != column.type:
            yield f"{table}.{name} was {known.type} and is {column.type}"
        if known is not None and (known.nullable or known.filled) and not (column.nullable or column.filled):
            yield f"{table}.{name} has become compulsory"
    for table, name in before.columns:
        if table in after.tables and (table, name) not in after.columns:
            yield f"{table}.{name} is gone"
    for (table, demand), about in after.demands.items():
        known_columns = {name for known_table, name in before.columns if known_table == table}
        if table in before.tables and (table, demand) not in before.demands and about and about <= known_columns:
            yield f"{table} refuses more: {demand}"


@pytest.fixture
async def empty(postgres_server: PostgresServer) -> AsyncIterator[Database]:
    async with postgres_server.fresh_url(migrated=False) as url:
        database = Database(url)
        yield database
        await database.close()


def revisions_upwards() -> list[str]:
    script = ScriptDirectory.from_config(_config())
    return [revision.revision for revision in script.walk_revisions()][::-1]


def to(revision: str, connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


async def seen(database: Database) -> Catalogue:
    async with database.engine.connect() as connection:
        return await catalogue(connection)


async def test_a_migration_takes_nothing_away_from_the_release_before(empty: Database) -> None:
    upwards = revisions_upwards()
    async with empty.engine.connect() as connection:
        await connection.run_sync(lambda one: to(RELEASED, one))
    found: dict[str, frozenset[str]] = {}

    for revision in upwards[upwards.index(RELEASED) + 1 :]:
        before = await seen(empty)
        async with empty.engine.connect() as connection:
            await connection.run_sync(lambda one, revision=revision: to(revision, one))  # type: ignore[misc]
        found[revision] = frozenset(taken_away(before, await seen(empty)))

    assert {revision: faults for revision, faults in found.items() if faults} == ALLOWED


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DROP TABLE scorer.due", "scorer.due is gone"),
        ("ALTER TABLE scorer.lead DROP COLUMN partings", "scorer.lead.partings is gone"),
        ("ALTER TABLE scorer.lead RENAME COLUMN partings TO separations", "scorer.lead.partings is gone"),
        ("ALTER TABLE scorer.lead ADD COLUMN country text NOT NULL", "scorer.lead.country is new and compulsory"),
        (
            "ALTER TABLE scorer.lead ALTER COLUMN shadow_id SET NOT NULL",
            "scorer.lead.shadow_id has become compulsory",
        ),
        ("ALTER TABLE scorer.lead ALTER COLUMN partings DROP DEFAULT", "scorer.lead.partings has become compulsory"),
        (
            "ALTER TABLE scorer.lead ALTER COLUMN partings TYPE smallint",
            "scorer.lead.partings was integer and is smallint",
        ),
        ("ALTER TABLE scorer.lead ADD CONSTRAINT few CHECK (partings < 9)", "scorer.lead refuses more: few CHECK"),
        (
            "CREATE UNIQUE INDEX one_shadow ON scorer.lead (shadow_id)",
            "scorer.lead refuses more: CREATE UNIQUE INDEX one_shadow",
        ),
    ],
)
async def test_a_planted_contraction_is_found(database: Database, statement: str, said: str) -> None:
    before = await seen(database)

    async with database.engine.begin() as connection:
        await connection.execute(text(statement))
        after = await catalogue(connection)

    assert [fault[: len(said)] for fault in taken_away(before, after) if fault.startswith(said)] == [said]


async def test_adding_is_no_contraction(database: Database) -> None:
    before = await seen(database)

    async with database.engine.begin() as connection:
        await connection.execute(text("CREATE TABLE scorer.country (name text PRIMARY KEY)"))
        await connection.execute(text("ALTER TABLE scorer.lead ADD COLUMN country text UNIQUE"))
        await connection.execute(text("ALTER TABLE scorer.lead ADD COLUMN visits integer NOT NULL DEFAULT 0"))
        after = await catalogue(connection)

    assert list(taken_away(before, after)) == []


@pytest.mark.parametrize("path", sorted(VERSIONS.glob("2*.py")), ids=lambda path: path.stem)
def test_a_migration_waits_for_a_lock_for_a_bounded_time(path: Path) -> None:
    assert re.search(r"lock_timeout", path.read_text(encoding="utf-8"))


async def test_a_release_starts_on_the_database_of_the_next_one_and_leaves_it_as_it_is(database: Database) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999_of_the_next_release'"))

    await check_migrated(database)
    await migrate(database)

    async with database.engine.connect() as connection:
        assert await connection.scalar(text("SELECT version_num FROM alembic_version")) == "9999_of_the_next_release"
