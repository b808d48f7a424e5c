"""Statements past SQLAlchemy belong to its transaction, and fail as its own do."""

import asyncpg
import pytest
from sqlalchemy import text

from shared.db import routine
from shared.db.engine import Database
from shared.db.reach import ALL_WORKSPACES
from shared.errors import DatabaseUnavailable
from tests.support.postgres import as_owner

pytestmark = pytest.mark.postgres


@pytest.fixture
async def notes(database: Database) -> Database:
    async with as_owner(database) as connection:
        await connection.execute(text("CREATE TABLE notes (id int PRIMARY KEY, words text)"))
        await connection.execute(text("GRANT ALL ON notes TO leadflow_worker"))
    return database


async def test_parameters_are_found_by_their_names_however_often_and_in_whatever_order(notes: Database) -> None:
    async with notes.transaction(ALL_WORKSPACES) as connection:
        found = await routine.rows(
            connection,
            "SELECT :second || :first || :second, '12:30'::time::text, CAST(:ids AS int[])",
            first="a",
            second="b",
            ids=[1, 2],
        )

    assert [tuple(row) for row in found] == [("bab", "12:30:00", [1, 2])]


async def test_what_a_transaction_wrote_either_way_stands_or_falls_together(notes: Database) -> None:
    insert = "INSERT INTO notes VALUES (:id, :words)"

    async def write(*, fails: bool) -> None:
        async with notes.transaction(ALL_WORKSPACES) as connection:
            await connection.execute(text(insert), {"id": 1 + fails, "words": "slowly"})
            await routine.rows(connection, insert, id=11 + fails, words="fast")
            if fails:
                raise KeyError

    await write(fails=False)
    with pytest.raises(KeyError):
        await write(fails=True)

    async with notes.transaction(ALL_WORKSPACES) as connection:
        kept = await routine.rows(connection, "SELECT id FROM notes ORDER BY id")
    assert [id_ for (id_,) in kept] == [1, 11]


async def test_what_postgresql_refuses_is_raised_as_it_says_it(notes: Database) -> None:
    async def write_twice() -> None:
        async with notes.transaction(ALL_WORKSPACES) as connection:
            await routine.rows(connection, "INSERT INTO notes SELECT 1 FROM generate_series(1, 2)")

    with pytest.raises(asyncpg.UniqueViolationError):
        await write_twice()


async def test_a_connection_that_the_server_ends_is_transient_and_the_pool_heals(notes: Database) -> None:
    async def lose_the_connection() -> None:
        async with notes.transaction(ALL_WORKSPACES) as connection:
            ((process,),) = await routine.rows(connection, "SELECT pg_backend_pid()")
            async with as_owner(notes) as other:
                await other.execute(text("SELECT pg_terminate_backend(:process, 5000)"), {"process": process})
            await routine.rows(connection, "SELECT 1")

    with pytest.raises(DatabaseUnavailable):
        await lose_the_connection()

    async with notes.transaction(ALL_WORKSPACES) as connection:
        assert [tuple(row) for row in await routine.rows(connection, "SELECT 1")] == [(1,)]


async def test_without_a_transaction_nothing_is_written(notes: Database) -> None:
    async with notes.engine.connect() as connection:
        with pytest.raises(AssertionError, match="a transaction has begun"):
            await routine.rows(connection, "INSERT INTO notes VALUES (1)")
