"""A subscriber's HTTP server: answers as a test wishes, and remembers what it was sent."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ssl import SSLContext

HANG = 0
"""Instead of a status: take the request and never answer."""


@dataclass(frozen=True)
class ReceivedRequest:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """`answer` gives the status of each request, and headers to go with it."""

    answer: Callable[[ReceivedRequest], tuple[int, dict[str, str]]]
    requests: list[ReceivedRequest] = field(default_factory=list)
    port: int = 0
    endless: bool = False
    body: bytes = b""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def ids(self) -> list[str]:
        return [request.headers["webhook-id"] for request in self.requests]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._converse(reader, writer)
        finally:
            writer.transport.abort()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await _read(reader):
            self.requests.append(request)
            status, headers = self.answer(request)
            if status == HANG:
                await reader.read()
                return
            await self._respond(writer, status, headers)

    async def _respond(self, writer: asyncio.StreamWriter, status: int, headers: dict[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers.items())]
        lines.append("transfer-encoding: chunked" if self.endless else f"content-length: {len(self.body)}")
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + self.body)
        await writer.drain()
        while self.endless:
            writer.write(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
            await writer.drain()


@asynccontextmanager
async def receiving(
    status: int | Callable[[ReceivedRequest], int] = 200, *, tls: SSLContext | None = None, **headers: str
) -> AsyncIterator[Receiver]:
    """A receiver on a free port of 127.0.0.1; `status` is given or computed per request."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    receiver = Receiver(lambda request: (status(request) if callable(status) else status, named))
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(receiver.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read(reader: asyncio.StreamReader) -> ReceivedRequest | None:
    first = await reader.readline()
    if not first:
        return None
    method, path, _ = first.decode().split(" ", 2)
    headers: dict[str, str] = {}
    while (line := (await reader.readline()).decode().strip()) != "":
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return ReceivedRequest(method, path, headers, body)
