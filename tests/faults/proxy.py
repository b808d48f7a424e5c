"""A link that can be broken: a proxy for TCP or Unix sockets that holds bytes back, half-opens, delays and cuts.

As in a network without a way through, what was sent meanwhile is not lost but late: it arrives once the link is
healed, unless the connection was given up by then.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from random import Random

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_CHUNK = 64 * 1024


class Mode(StrEnum):
    """What happens to bytes that come to a link."""

    PASS = "pass"
    BLACKHOLE = "blackhole"  # connections seem to open, nothing goes through in either direction
    HALF_OPEN = "half open"  # requests go through, answers do not
    DELAY = "delay"  # 200 ms, give or take 100, each way


@dataclass
class Link:
    """One link from clients to a server; `connect` opens a connection to the server.

    `met` counts what every mode did something to: a link that nobody used was not broken.
    """

    name: str
    connect: Callable[[], Awaitable[Streams]]
    random: Random
    mode: Mode = Mode.PASS
    met: Counter[Mode] = field(default_factory=Counter)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    _healed: asyncio.Event = field(default_factory=asyncio.Event)

    def break_(self, mode: Mode) -> None:
        """From now on bytes meet `mode`, those of old connections too."""
        self.mode = mode
        self._healed.clear()

    def heal(self) -> None:
        """Bytes go through again, those first that were held back."""
        self.mode = Mode.PASS
        self._healed.set()

    def cut(self) -> None:
        """Every connection of now ends abruptly."""
        for task in self._tasks:
            task.cancel()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer), name=f"link {self.name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream: asyncio.StreamWriter | None = None
        try:
            await self._way_through(is_answer=False)
            answers, upstream = await self.connect()
            pumps = [
                asyncio.create_task(self._pump(reader, upstream, is_answer=False)),
                asyncio.create_task(self._pump(answers, writer, is_answer=True)),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except OSError:
            return
        finally:
            for end in (writer, upstream):
                if end is not None:
                    end.transport.abort()
                    with suppress(OSError):
                        await end.wait_closed()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_answer: bool) -> None:
        while chunk := await source.read(_CHUNK):
            await self._way_through(is_answer=is_answer)
            if self.mode is Mode.DELAY:
                self.met[Mode.DELAY] += 1
                await asyncio.sleep(self.random.uniform(0.1, 0.3))
            sink.write(chunk)
            await sink.drain()

    async def _way_through(self, *, is_answer: bool) -> None:
        while self.mode is Mode.BLACKHOLE or (self.mode is Mode.HALF_OPEN and is_answer):
            self.met[self.mode] += 1
            await self._healed.wait()


@asynccontextmanager
async def tcp_link(name: str, random: Random, *, port: int, to_port: int) -> AsyncIterator[Link]:
    """A link from `port` to `to_port` of this machine."""
    link = Link(name, lambda: asyncio.open_connection("127.0.0.1", to_port), random)
    server = await asyncio.start_server(link.accept, "127.0.0.1", port)
    async with _serving(server, link):
        yield link


@asynccontextmanager
async def unix_link(name: str, random: Random, *, path: Path, to_path: Path) -> AsyncIterator[Link]:
    """A link between two Unix sockets."""
    link = Link(name, lambda: asyncio.open_unix_connection(str(to_path)), random)
    server = await asyncio.start_unix_server(link.accept, str(path))
    async with _serving(server, link):
        yield link


@asynccontextmanager
async def _serving(server: asyncio.Server, link: Link) -> AsyncIterator[None]:
    try:
        yield
    finally:
        server.close()
        await link.close()
