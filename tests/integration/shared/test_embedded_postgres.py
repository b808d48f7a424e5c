"""The embedded server: owned by one process, joined by others, found again after every kind of end."""

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path

import asyncpg
import pytest

from shared.db.embedded_postgres import EmbeddedPostgres
from shared.errors import Misconfigured
from tests.support.waiting import wait_until

pytestmark = pytest.mark.postgres

START_AND_DIE = """
import asyncio, os, pathlib, signal, sys
from shared.db.embedded_postgres import EmbeddedPostgres
asyncio.run(EmbeddedPostgres(pathlib.Path(sys.argv[1])).start())
os.kill(os.getpid(), signal.SIGKILL)
"""


async def execute(url: str, statement: str) -> str:
    connection = await asyncpg.connect(url)
    try:
        return str(await connection.fetchval(statement))
    finally:
        await connection.close()


def server_pid(data_dir: Path) -> int:
    return int((data_dir / "postgresql" / "postmaster.pid").read_text().splitlines()[0])


async def answers(url: str) -> bool:
    try:
        return await execute(url, "SELECT 1") == "1"
    except (OSError, asyncpg.PostgresError):
        return False


async def refuses(url: str) -> bool:
    return not await answers(url)


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def leadflow_killed_while_running(data_dir: Path) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", START_AND_DIE, str(data_dir))
    assert await process.wait() == -signal.SIGKILL


async def test_data_survives_a_restart(tmp_path: Path) -> None:
    async with EmbeddedPostgres(tmp_path).running() as url:
        await execute(url, "CREATE TABLE kept AS SELECT 42 AS answer")

    async with EmbeddedPostgres(tmp_path).running() as url:
        assert await execute(url, "SELECT answer FROM kept") == "42"


async def test_the_server_ends_with_its_owner(tmp_path: Path) -> None:
    async with EmbeddedPostgres(tmp_path).running() as url:
        assert await answers(url)

    assert not await answers(url)
    assert not (tmp_path / "socket").exists()


async def test_a_second_leadflow_is_a_guest_and_leaves_the_server_running(tmp_path: Path) -> None:
    async with EmbeddedPostgres(tmp_path).running() as url:
        guest = EmbeddedPostgres(tmp_path)
        async with guest.running() as guest_url:
            assert not guest.owned
            assert guest_url == url

        assert await answers(url)


async def test_of_two_first_starts_at_once_one_owns_and_both_can_connect(tmp_path: Path) -> None:
    servers = [EmbeddedPostgres(tmp_path), EmbeddedPostgres(tmp_path)]

    urls = await asyncio.gather(*(server.start() for server in servers))

    assert [server.owned for server in servers].count(True) == 1
    assert [await execute(url, "SELECT 1") for url in urls] == ["1", "1"]
    for server in servers:
        await server.stop()


async def test_the_server_of_a_killed_leadflow_is_adopted(tmp_path: Path) -> None:
    await leadflow_killed_while_running(tmp_path)
    pid = server_pid(tmp_path)

    async with EmbeddedPostgres(tmp_path).running() as url:
        assert server_pid(tmp_path) == pid
        assert await answers(url)

    assert not await answers(url)


async def test_a_killed_server_is_started_again_with_all_it_acknowledged(tmp_path: Path) -> None:
    first = EmbeddedPostgres(tmp_path)
    url = await first.start()
    await execute(url, "CREATE TABLE kept AS SELECT 42 AS answer")
    os.kill(server_pid(tmp_path), signal.SIGKILL)
    await wait_until(lambda: refuses(url), "the server is gone")
    await first.stop()

    async with EmbeddedPostgres(tmp_path).running() as url:
        assert await execute(url, "SELECT answer FROM kept") == "42"


async def test_a_pid_file_that_names_a_stranger_is_stale(tmp_path: Path) -> None:
    async with EmbeddedPostgres(tmp_path).running():
        pid_file = tmp_path / "postgresql" / "postmaster.pid"
        _, *rest = pid_file.read_text().splitlines()
    stranger = await asyncio.create_subprocess_exec("sleep", "60")
    pid_file.write_text("\n".join([str(stranger.pid), *rest]) + "\n")

    async with EmbeddedPostgres(tmp_path).running() as url:
        assert await answers(url)

    assert stranger.returncode is None
    stranger.kill()
    await stranger.wait()


async def test_a_first_start_that_was_killed_half_way_is_begun_again(tmp_path: Path) -> None:
    draft = tmp_path / "postgresql.draft"
    draft.mkdir()
    (draft / "PG_VERSION").write_text("18\n")

    async with EmbeddedPostgres(tmp_path).running() as url:
        assert await answers(url)


@pytest.mark.parametrize("name", ["d" * 120, "with space, comma: and 'quote'"])
async def test_any_data_directory_serves(tmp_path: Path, name: str) -> None:
    async with EmbeddedPostgres(tmp_path / name).running() as url:
        socket_directory = Path(url.partition("host=")[2])

        assert await answers(url)
        assert mode_of(socket_directory) == 0o700

    assert not await answers(url)


async def test_nobodys_permissions_change(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    before = [(p.stat().st_mode, p.stat().st_uid) for p in (private, *private.parents)]

    async with EmbeddedPostgres(private / "data").running():
        pass

    assert [(p.stat().st_mode, p.stat().st_uid) for p in (private, *private.parents)] == before


async def test_it_listens_on_no_network_address_and_keeps_fsync(tmp_path: Path) -> None:
    async with EmbeddedPostgres(tmp_path).running() as url:
        assert await execute(url, "SELECT current_setting('listen_addresses')") == ""
        assert await execute(url, "SELECT current_setting('fsync')") == "on"
        assert await execute(url, "SELECT upper('ä')") == "Ä"


async def test_a_broken_cluster_is_told_with_the_end_of_the_servers_log(tmp_path: Path) -> None:
    async with EmbeddedPostgres(tmp_path).running():
        pass
    shutil.rmtree(tmp_path / "postgresql" / "global")

    with pytest.raises(Misconfigured, match=r"(?s)postgresql\.log ends with:.*could not open file"):
        await EmbeddedPostgres(tmp_path).start()


async def test_a_cluster_of_an_unknown_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "postgresql").mkdir()
    (tmp_path / "postgresql" / "PG_VERSION").write_text("9\n")

    with pytest.raises(Misconfigured, match="of PostgreSQL 9"):
        await EmbeddedPostgres(tmp_path).start()


@pytest.mark.parametrize("refusal", ["echo 'unshare: unshare failed: Operation not permitted' >&2; exit 1", None])
async def test_root_without_user_namespaces_gets_the_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: str | None
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    if refusal is not None:
        (programs / "unshare").write_text(f"#!/bin/sh\n{refusal}\n")
        (programs / "unshare").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    with pytest.raises(Misconfigured, match="LEADFLOW_DATABASE_URL"):
        await EmbeddedPostgres(tmp_path / "data").start()
