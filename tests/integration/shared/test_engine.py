"""The unit of work on a real server."""

import asyncio

import asyncpg
import pytest
from sqlalchemy import text

from shared.db.engine import Database, async_url, is_transient
from shared.db.reach import ALL_WORKSPACES, Reach
from shared.errors import DatabaseUnavailable, Misconfigured
from tests.support.postgres import as_owner

pytestmark = pytest.mark.postgres


@pytest.fixture
async def notes(database: Database) -> Database:
    async with as_owner(database) as connection:
        await connection.execute(text("CREATE TABLE notes (id int PRIMARY KEY)"))
        await connection.execute(text("GRANT ALL ON notes TO leadflow_worker"))
    return database


async def count(database: Database) -> int:
    async with database.transaction(ALL_WORKSPACES) as connection:
        return int(await connection.scalar(text("SELECT count(*) FROM notes")) or 0)


async def test_a_transaction_that_ends_is_committed(notes: Database) -> None:
    async with notes.transaction(ALL_WORKSPACES) as connection:
        await connection.execute(text("INSERT INTO notes VALUES (1)"))

    assert await count(notes) == 1


async def test_a_transaction_that_raises_leaves_nothing(notes: Database) -> None:
    async def insert_and_fail() -> None:
        async with notes.transaction(ALL_WORKSPACES) as connection:
            await connection.execute(text("INSERT INTO notes VALUES (1)"))
            raise KeyError

    with pytest.raises(KeyError):
        await insert_and_fail()

    assert await count(notes) == 0


async def test_a_connection_that_the_server_ends_is_transient_and_the_pool_heals(notes: Database) -> None:
    async def lose_the_connection() -> None:
        async with notes.transaction(ALL_WORKSPACES) as connection, as_owner(notes) as owner:
            pid = await connection.scalar(text("SELECT pg_backend_pid()"))
            await owner.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            await connection.execute(text("SELECT 1"))

    with pytest.raises(DatabaseUnavailable):
        await lose_the_connection()

    assert await count(notes) == 0


async def test_an_error_of_the_work_itself_is_not_transient(notes: Database) -> None:
    with pytest.raises(Exception, match="duplicate key") as raised:
        async with notes.transaction(ALL_WORKSPACES) as connection:
            await connection.execute(text("INSERT INTO notes VALUES (1), (1)"))

    assert not is_transient(raised.value)


async def test_a_statement_longer_than_the_timeout_is_ended(database_url: str) -> None:
    hasty = Database(database_url, timeout_seconds=0.2)

    with pytest.raises(DatabaseUnavailable):
        async with hasty.transaction(ALL_WORKSPACES) as connection:
            await connection.execute(text("SELECT pg_sleep(5)"))

    await hasty.close()


async def test_check_answers_for_a_live_server_and_refuses_for_a_missing_one(database: Database) -> None:
    missing = Database("postgresql://nobody@127.0.0.1:1/none")

    await database.check()
    with pytest.raises(DatabaseUnavailable):
        await missing.check()

    await missing.close()


async def test_a_pool_with_no_connection_left_is_transient(database_url: str) -> None:
    small = Database(database_url, pool_size=1, timeout_seconds=0.3)

    async with small.transaction(ALL_WORKSPACES):
        with pytest.raises(DatabaseUnavailable):
            async with small.transaction(ALL_WORKSPACES):
                pass

    await small.close()


@pytest.mark.parametrize("url", ["sqlite:///x", "nonsense", "mysql://host/x"])
def test_a_url_that_is_not_postgresql_is_a_misconfiguration(url: str) -> None:
    with pytest.raises(Misconfigured):
        async_url(url)


@pytest.mark.parametrize("error", [ConnectionRefusedError(), ConnectionResetError(), TimeoutError()])
def test_bare_network_errors_are_transient(error: Exception) -> None:
    assert is_transient(error)


async def test_two_units_of_work_run_side_by_side(notes: Database) -> None:
    async def insert(number: int) -> None:
        async with notes.transaction(ALL_WORKSPACES) as connection:
            await connection.execute(text("INSERT INTO notes VALUES (:number)"), {"number": number})

    await asyncio.gather(*(insert(number) for number in range(20)))

    assert await count(notes) == 20


async def test_a_routine_is_planned_once_and_what_comes_after_it_as_ever(database_url: str) -> None:
    how = text("SHOW plan_cache_mode")
    database = Database(database_url, pool_size=1)
    async with database.transaction(ALL_WORKSPACES, is_routine=True) as connection:
        within = await connection.scalar(how)

    async with database.transaction(ALL_WORKSPACES) as connection:
        after = await connection.scalar(how)

    assert (within, after) == ("force_generic_plan", "auto")
    await database.close()


async def test_the_connection_that_was_used_last_is_used_next(database: Database) -> None:
    async def process_of(reach: Reach) -> int:
        async with database.transaction(reach) as connection:
            return int(await connection.scalar(text("SELECT pg_backend_pid()")) or 0)

    async with database.transaction("default"):
        await process_of("default")

    assert await process_of("default") == await process_of("default")


async def test_the_url_of_a_unix_socket_reaches_the_driver(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)

    assert await connection.fetchval("SELECT 1") == 1

    await connection.close()
