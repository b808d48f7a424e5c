"""A load generator: keep-alive connections to this machine, each sending its next request once it was answered."""

import asyncio
from dataclasses import dataclass


@dataclass
class Load:
    """What a run of requests came to."""

    answered: int = 0
    refused: int = 0


class _Connection(asyncio.Protocol):
    """One connection: the cheapest HTTP client that still looks at each answer."""

    def __init__(self, requests: "_Requests", done: asyncio.Future[None]) -> None:
        self._requests = requests
        self._done = done
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found or len(body) < _content_length(head):
            return
        self._buffer = b""
        self._requests.count(is_good=head[9:10] == b"2")
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the signature of its base
        if not self._done.done():
            self._done.set_result(None)

    def _next(self) -> None:
        assert self._transport is not None
        request = self._requests.next()
        if request is None:
            self._transport.close()
            return
        self._transport.write(request)


class _Requests:
    """What is still to be sent, and what came back."""

    def __init__(self, bodies: list[bytes]) -> None:
        self._bodies = iter(bodies)
        self.load = Load()

    def next(self) -> bytes | None:
        return next(self._bodies, None)

    def count(self, *, is_good: bool) -> None:
        if is_good:
            self.load.answered += 1
        else:
            self.load.refused += 1


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def request(port: int, path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """The bytes of a POST."""
    lines = [f"POST {path} HTTP/1.1", f"host: 127.0.0.1:{port}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


async def send(port: int, requests: list[bytes], *, connections: int) -> Load:
    """Send all `requests` to this machine. Raises RuntimeError if any of them was not answered."""
    loop, waiting = asyncio.get_running_loop(), _Requests(requests)
    ends: list[asyncio.Future[None]] = []
    for _ in range(connections):
        end: asyncio.Future[None] = loop.create_future()
        await loop.create_connection(lambda end=end: _Connection(waiting, end), "127.0.0.1", port)  # type: ignore[misc]
        ends.append(end)
    async with asyncio.timeout(120):
        await asyncio.gather(*ends)
    if waiting.load.answered + waiting.load.refused != len(requests):
        raise RuntimeError("a connection ended before its request was answered")
    return waiting.load
