"""The short way to PostgreSQL is as safe as the long one."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from shared.db.direct import DirectConnection
from shared.db.engine import Database
from shared.db.reach import ALL_WORKSPACES, WORKER_ROLE
from shared.errors import DatabaseUnavailable, Misconfigured
from tests.support.postgres import as_owner
from tests.support.waiting import wait_until

pytestmark = pytest.mark.postgres


@pytest.fixture
async def direct(database: Database) -> AsyncIterator[DirectConnection]:
    async with as_owner(database) as connection:
        await connection.execute(text("CREATE TABLE notes (id int PRIMARY KEY)"))
        await connection.execute(text("GRANT ALL ON notes TO leadflow_worker"))
    direct = DirectConnection(database.url, timeout_seconds=2.0)
    yield direct
    await direct.close()


async def add(direct: DirectConnection, *notes: int) -> None:
    async with direct.transaction() as connection:
        for note in notes:
            await connection.execute("INSERT INTO notes VALUES ($1)", note)


async def count(database: Database) -> int:
    async with database.transaction(ALL_WORKSPACES) as connection:
        return int(await connection.scalar(text("SELECT count(*) FROM notes")) or 0)


async def test_what_ends_is_committed_and_what_raises_leaves_nothing(
    direct: DirectConnection, database: Database
) -> None:
    await add(direct, 1)
    with pytest.raises(Exception, match="duplicate key"):
        await add(direct, 2, 1)

    await add(direct, 3)

    assert await count(database) == 2


async def test_it_is_the_worker_for_as_long_as_the_transaction_lasts(direct: DirectConnection) -> None:
    whose = "SELECT current_user, current_setting('leadflow.workspace', true)"
    async with direct.transaction() as connection:
        inside = await connection.fetchrow(whose)
    outside = await connection.fetchrow(whose)

    assert tuple(inside) == (WORKER_ROLE, "")
    assert outside["current_user"] != WORKER_ROLE


async def test_a_login_that_may_not_be_the_worker_is_told_what_to_do(
    direct: DirectConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.db.direct._BEGIN", "BEGIN; SELECT set_config('role', 'nobody', true)")

    with pytest.raises(Misconfigured, match="leadflow migrate"):
        await add(direct, 1)


async def test_a_session_that_the_server_ends_is_trouble_that_passes(
    direct: DirectConnection, database: Database
) -> None:
    async def lose_the_session() -> None:
        async with direct.transaction() as connection:
            await end(database, await connection.fetchval("SELECT pg_backend_pid()"))
            await connection.execute("INSERT INTO notes VALUES (1)")

    with pytest.raises(DatabaseUnavailable):
        await lose_the_session()
    await add(direct, 2)

    assert await count(database) == 1


async def test_a_session_that_ended_between_two_transactions_is_replaced(
    direct: DirectConnection, database: Database
) -> None:
    async with direct.transaction() as connection:
        pid = await connection.fetchval("SELECT pg_backend_pid()")

    await end(database, pid)
    await wait_until(connection.is_closed, "the driver knows")

    await add(direct, 1)
    assert await count(database) == 1


async def test_who_is_cancelled_leaves_nothing_behind(direct: DirectConnection, database: Database) -> None:
    reached = asyncio.Event()

    async def add_and_wait() -> None:
        async with direct.transaction() as connection:
            await connection.execute("INSERT INTO notes VALUES (1)")
            reached.set()
            await connection.execute("SELECT pg_sleep(60)")

    waiting = asyncio.create_task(add_and_wait())
    await reached.wait()

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    await wait_until(lambda: added(direct), "the place of the note is free again")
    assert await count(database) == 1


async def added(direct: DirectConnection) -> bool:
    try:
        await add(direct, 1)
    except DatabaseUnavailable:
        return False
    return True


async def test_a_server_that_is_not_there_is_trouble_that_passes() -> None:
    nowhere = DirectConnection("postgresql://nobody@127.0.0.1:1/none", timeout_seconds=1.0)

    with pytest.raises(DatabaseUnavailable):
        await add(nowhere, 1)


async def end(database: Database, pid: int) -> None:
    async with as_owner(database) as owner:
        await owner.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
