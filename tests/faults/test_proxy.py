"""Links break as they say: what was held back arrives once they are healed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from tests.faults.proxy import Link, Mode, unix_link
from tests.support.waiting import wait_until


class Server:
    """Keeps what it hears and answers each line in capitals."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                self.heard.append(line)
                writer.write(line.upper())
        except OSError:
            return
        finally:
            writer.transport.abort()


@asynccontextmanager
async def a_link(directory: Path) -> AsyncIterator[tuple[Link, Server, asyncio.StreamReader, asyncio.StreamWriter]]:
    server = Server()
    listening = await asyncio.start_unix_server(server.serve, str(directory / "far"))
    async with unix_link("test", Random(1), path=directory / "near", to_path=directory / "far") as link:
        reader, writer = await asyncio.open_unix_connection(str(directory / "near"))
        try:
            yield link, server, reader, writer
        finally:
            writer.transport.abort()
    listening.close()


@pytest.mark.parametrize("mode", [Mode.BLACKHOLE, Mode.HALF_OPEN])
async def test_what_is_held_back_arrives_when_the_link_is_healed(mode: Mode, tmp_path: Path) -> None:
    async with a_link(tmp_path) as (link, server, reader, writer):
        writer.write(b"one\n")
        assert await reader.readline() == b"ONE\n"

        link.break_(mode)
        writer.write(b"two\n")
        await wait_until(lambda: link.met[mode] > 0, "bytes are held back", timeout_seconds=30)
        assert server.heard == ([b"one\n"] if mode is Mode.BLACKHOLE else [b"one\n", b"two\n"])
        link.heal()

        assert await reader.readline() == b"TWO\n"


async def test_a_cut_ends_the_connections_of_now(tmp_path: Path) -> None:
    async with a_link(tmp_path) as (link, _, reader, writer):
        writer.write(b"one\n")
        assert await reader.readline() == b"ONE\n"

        link.cut()

        assert await reader.readline() == b""
