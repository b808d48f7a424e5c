"""Which connection a request takes, and what becomes of it afterwards."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import httpcore

from services.pipeline.delivery.address import AddressGuard
from services.pipeline.delivery.connections import Connections
from tests.support.waiting import wait_until

OPEN = AddressGuard(allow_private=True, allow_http=True)


@dataclass
class Host:
    """A receiver that counts who has come, and who has left. With `hangs_up` it ends connections after an answer."""

    hangs_up: bool = False
    port: int = 0
    came: int = 0
    left: int = 0
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> httpcore.URL:
        return httpcore.URL(f"http://127.0.0.1:{self.port}/")

    @property
    def inside(self) -> int:
        return self.came - self.left

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                await self.answers.wait()
                writer.write(b"HTTP/1.1 204 Done\r\n\r\n")
                await writer.drain()
                if self.hangs_up:
                    break
        writer.transport.abort()
        self.left += 1


@asynccontextmanager
async def hosting(*, hangs_up: bool = False, answers: bool = True) -> AsyncIterator[Host]:
    host = Host(hangs_up)
    if answers:
        host.answers.set()
    async with await asyncio.start_server(host.serve, "127.0.0.1", 0) as server:
        host.port = server.sockets[0].getsockname()[1]
        yield host
        await wait_until(lambda: host.inside == 0, "everybody has left")


@asynccontextmanager
async def connecting(*, most: int = 8, keepalive_seconds: float = 30) -> AsyncIterator[Connections]:
    connections = Connections(OPEN, most=most, trust=None, keepalive_seconds=keepalive_seconds)
    try:
        yield connections
    finally:
        await connections.close()


async def call(connections: Connections, host: Host) -> int:
    async with connections.to(host.url) as connection, connection.stream("POST", host.url) as response:
        await response.aread()
        return response.status


async def test_the_next_request_to_a_receiver_goes_over_the_same_connection() -> None:
    async with hosting() as host, connecting() as connections:
        for _ in range(3):
            assert await call(connections, host) == 204

        assert host.came == 1


async def test_each_receiver_has_its_own() -> None:
    async with hosting() as one, hosting() as other, connecting() as connections:
        for host in (one, other, one, other):
            await call(connections, host)

        assert (one.came, other.came) == (1, 1)


async def test_one_that_the_receiver_has_ended_is_not_used_again() -> None:
    async with hosting(hangs_up=True) as host, connecting() as connections:
        await call(connections, host)
        await wait_until(lambda: host.left == 1, "the receiver has hung up")

        assert await call(connections, host) == 204
        assert host.came == 2


async def test_a_request_that_is_broken_off_leaves_no_connection_behind() -> None:
    async with hosting(answers=False) as host, connecting() as connections:
        request = asyncio.create_task(call(connections, host))
        await wait_until(lambda: host.came == 1, "the request")
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)
        host.answers.set()

        assert await call(connections, host) == 204
        assert host.came == 2


async def test_who_finds_no_place_waits_for_one() -> None:
    async with hosting(answers=False) as host, connecting(most=2) as connections:
        requests = [asyncio.create_task(call(connections, host)) for _ in range(6)]
        await wait_until(lambda: host.came == 2, "those who have a place")
        host.answers.set()

        assert await asyncio.gather(*requests) == [204] * 6
        assert host.came == 2


async def test_those_that_nobody_has_needed_for_long_are_closed() -> None:
    async with hosting() as forgotten, hosting() as other, connecting(keepalive_seconds=0) as connections:
        await call(connections, forgotten)
        await call(connections, other)

        await wait_until(lambda: forgotten.inside == 0, "the forgotten one is closed")
