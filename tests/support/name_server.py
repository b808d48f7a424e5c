"""A real DNS server of a test's own, over UDP on 127.0.0.1, and a resolver that asks it."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

_HEADER = struct.Struct("!6H")
_ANSWER = struct.Struct("!HHHIH")
_A, _IN, _POINTER_TO_QUESTION = 1, 1, 0xC00C
_RESPONSE, _RECURSIVE = 0x8180, 0x0100


@dataclass
class NameServer:
    """`answers` gives the addresses for the n-th question about a name, with a time to live of 0."""

    answers: Callable[[str, int], Sequence[str]]
    asked: list[str] = field(default_factory=list)
    port: int = 0

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """Ask over the wire, as the machine's own resolver would: once per call, nothing remembered."""
        del port
        loop = asyncio.get_running_loop()
        heard: asyncio.Future[bytes] = loop.create_future()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Asking(heard), remote_addr=("127.0.0.1", self.port)
        )
        try:
            transport.sendto(_question(host))
            async with asyncio.timeout(5):
                return _addresses(await heard)
        finally:
            transport.close()

    def answer(self, question: bytes) -> bytes:
        number, _, _, _, _, _ = _HEADER.unpack_from(question)
        name, end = _name(question, _HEADER.size)
        self.asked.append(name)
        found = self.answers(name, self.asked.count(name))
        records = [
            _ANSWER.pack(_POINTER_TO_QUESTION, _A, _IN, 0, 4) + IPv4Address(address).packed for address in found
        ]
        header = _HEADER.pack(number, _RESPONSE, 1, len(records), 0, 0)
        return header + question[_HEADER.size : end + 4] + b"".join(records)


@asynccontextmanager
async def serving_names(answers: Callable[[str, int], Sequence[str]]) -> AsyncIterator[NameServer]:
    """A name server on a free port."""
    server = NameServer(answers)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Serving(server), local_addr=("127.0.0.1", 0))
    server.port = transport.get_extra_info("sockname")[1]
    try:
        yield server
    finally:
        transport.close()


class _Serving(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer) -> None:
        self._server = server

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._transport.sendto(self._server.answer(data), addr)


class _Asking(asyncio.DatagramProtocol):
    def __init__(self, heard: "asyncio.Future[bytes]") -> None:
        self._heard = heard

    def datagram_received(self, data: bytes, addr: Any) -> None:
        del addr
        if not self._heard.done():
            self._heard.set_result(data)


def _question(host: str) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in host.rstrip(".").split("."))
    return _HEADER.pack(7, _RECURSIVE, 1, 0, 0, 0) + labels + b"\x00" + struct.pack("!HH", _A, _IN)


def _addresses(answer: bytes) -> list[str]:
    _, _, _, count, _, _ = _HEADER.unpack_from(answer)
    _, at = _name(answer, _HEADER.size)
    at += 4
    found: list[str] = []
    for _ in range(count):
        *_, length = _ANSWER.unpack_from(answer, at)
        at += _ANSWER.size
        found.append(str(IPv4Address(answer[at : at + length])))
        at += length
    if not found:
        raise OSError("no such name")
    return found


def _name(packet: bytes, at: int) -> tuple[str, int]:
    labels: list[str] = []
    while length := packet[at]:
        labels.append(packet[at + 1 : at + 1 + length].decode())
        at += 1 + length
    return ".".join(labels), at + 1
