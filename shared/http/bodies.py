"""A request's bytes, counted while they arrive: a chunked body announces no length, and some lie.

A compressed body is unpacked while it arrives and counted as it comes out, so that a small request cannot
fill the memory: at no time is more held than the limit and one step beyond it.
"""

import zlib
from typing import Protocol

from starlette.requests import ClientDisconnect, Request

from shared.deadlines import within
from shared.errors import InvalidInput
from shared.headers import first_header

LARGEST_BODY_BYTES = 5 * 1024 * 1024
SLOWEST_BODY_SECONDS = 30.0
# What honest senders reach with a batch of events that are much alike is far below; a bomb is near 1000.
LARGEST_RATIO = 200
_RATIO_COUNTS_FROM_BYTES = 1024 * 1024
_STEP_BYTES = 64 * 1024
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_ZLIB_METHOD = 8


async def read_body(
    request: Request,
    *,
    limit_bytes: int = LARGEST_BODY_BYTES,
    timeout_seconds: float = SLOWEST_BODY_SECONDS,
) -> bytes:
    """The body, unpacked where it came as gzip or deflate.

    Raises InvalidInput: too_large (as it came, or unpacked), unsupported_encoding, bad_encoding, too_slow.
    """
    headers = request.scope["headers"]
    body = _body_for(first_header(headers, b"content-encoding") or "", limit_bytes)
    announced = first_header(headers, b"content-length") or ""
    if announced.isdecimal() and int(announced[:20]) > limit_bytes:
        raise _too_large(limit_bytes)
    try:
        with within(timeout_seconds):
            more = True
            while more:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                body.add(message.get("body", b""))
                more = message.get("more_body", False)
    except TimeoutError as error:
        raise InvalidInput(f"the body did not arrive within {timeout_seconds:g} s", code="too_slow") from error
    return body.whole()


class _Body(Protocol):
    """A body under way."""

    def add(self, chunk: bytes) -> None:
        """Take what arrived. Raises InvalidInput once it is too much, or wrong."""
        ...

    def whole(self) -> bytes:
        """The body, when all has arrived. Raises InvalidInput when its end is missing."""
        ...


class _Plain:
    """A body as it is."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._left_bytes = limit_bytes
        self._chunks: list[bytes] = []

    def add(self, chunk: bytes) -> None:
        self._left_bytes -= len(chunk)
        if self._left_bytes < 0:
            raise _too_large(self._limit_bytes)
        self._chunks.append(chunk)

    def whole(self) -> bytes:
        return b"".join(self._chunks)


class _Packed:
    """A compressed body, unpacked in steps."""

    def __init__(self, limit_bytes: int, window_bits: int | None) -> None:
        self._limit_bytes = limit_bytes
        self._inflater = zlib.decompressobj(window_bits) if window_bits is not None else None
        self._packed_bytes = 0
        self._bytes = bytearray()

    def add(self, chunk: bytes) -> None:
        if not chunk:
            return
        self._packed_bytes += len(chunk)
        if self._packed_bytes > self._limit_bytes:
            raise _too_large(self._limit_bytes)
        if self._inflater is None:
            self._inflater = zlib.decompressobj(_deflate_form(chunk[0]))
        try:
            self._unpack(self._inflater, chunk)
        except zlib.error as error:
            raise _bad_encoding("is not what the Content-Encoding says") from error

    def whole(self) -> bytes:
        if self._inflater is not None and self._packed_bytes and not self._inflater.eof:
            raise _bad_encoding("breaks off")
        return bytes(self._bytes)

    def _unpack(self, inflater: "zlib._Decompress", chunk: bytes) -> None:
        unpacked_bytes = _STEP_BYTES
        while chunk or unpacked_bytes == _STEP_BYTES:
            if inflater.eof:
                break
            step = inflater.decompress(chunk, _STEP_BYTES)
            unpacked_bytes = len(step)
            self._bytes += step
            self._refuse_too_large()
            chunk = inflater.unconsumed_tail
        if inflater.unused_data or (inflater.eof and chunk):
            raise _bad_encoding("goes on after its end")

    def _refuse_too_large(self) -> None:
        size_bytes = len(self._bytes)
        if size_bytes > self._limit_bytes:
            raise _too_large(self._limit_bytes)
        if size_bytes > max(_RATIO_COUNTS_FROM_BYTES, LARGEST_RATIO * self._packed_bytes):
            raise InvalidInput(f"the body unpacks to more than {LARGEST_RATIO} times its size", code="too_large")


def _body_for(encoding: str, limit_bytes: int) -> _Body:
    match encoding.strip().lower():
        case "" | "identity":
            return _Plain(limit_bytes)
        case "gzip" | "x-gzip":
            return _Packed(limit_bytes, _GZIP)
        case "deflate":
            return _Packed(limit_bytes, None)
    raise InvalidInput(
        "the Content-Encoding must be gzip, deflate or none, and one alone", code="unsupported_encoding"
    )


def _deflate_form(first_byte: int) -> int:
    """`deflate` means the zlib form (RFC 9110, 8.4.1.2); some send it bare. The first byte tells."""
    return _ZLIB if first_byte & 0x0F == _ZLIB_METHOD else _RAW


def _too_large(limit_bytes: int) -> InvalidInput:
    return InvalidInput(f"the body is larger than {limit_bytes} bytes", code="too_large")


def _bad_encoding(what: str) -> InvalidInput:
    return InvalidInput(f"the compressed body {what}", code="bad_encoding")
