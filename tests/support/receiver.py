"""A subscriber's HTTP server: answers as a test wishes, and remembers what it was sent."""

import asyncio
import socket
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
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        receiver.port = listener.getsockname()[1]
        doors = _Doors(receiver, listener, tls)
        accepting = asyncio.create_task(doors.keep_open())
        try:
            yield receiver
        finally:
            await doors.close()
            await accepting


class _Doors:
    """Accepts connections, and loses none.

    asyncio's own server leaves a connection open for ever that comes while the server is being closed, as does a
    cancelled `sock_accept`: so closing is said by a flag and one last connection.
    """

    def __init__(self, receiver: Receiver, listener: socket.socket, tls: SSLContext | None) -> None:
        self._receiver = receiver
        self._listener = listener
        self._tls = tls
        self._is_closing = False
        self._conversations: set[asyncio.Task[None]] = set()

    async def keep_open(self) -> None:
        while True:
            connection, _ = await asyncio.get_running_loop().sock_accept(self._listener)
            if self._is_closing:
                connection.close()
                break
            self._conversations.add(asyncio.create_task(self._converse(connection)))
        await self._end_conversations()

    async def close(self) -> None:
        self._is_closing = True
        with socket.create_connection(self._listener.getsockname()):
            await asyncio.sleep(0)

    async def _end_conversations(self) -> None:
        # Each has begun once the loop has turned: what is cancelled before its first step closes nothing.
        await asyncio.sleep(0)
        for conversation in self._conversations:
            conversation.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)

    async def _converse(self, connection: socket.socket) -> None:
        with connection:
            reader = asyncio.StreamReader()
            protocol = asyncio.StreamReaderProtocol(reader)
            loop = asyncio.get_running_loop()
            with suppress(OSError):
                transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection, ssl=self._tls)
                writer = asyncio.StreamWriter(transport, protocol, reader, loop)
                await self._receiver.serve(reader, writer)


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
