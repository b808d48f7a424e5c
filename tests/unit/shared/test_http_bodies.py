"""Bodies are read in full or not at all."""

import asyncio
from collections.abc import Sequence

import pytest
from starlette.requests import Request
from starlette.types import Message

from shared.errors import InvalidInput
from shared.http import read_body


def a_request(chunks: Sequence[bytes], headers: dict[str, str] | None = None) -> Request:
    """A request whose chunks arrive one by one; after the last one, silence."""
    left = list(chunks)

    async def receive() -> Message:
        if not left:
            await asyncio.Event().wait()
        body = left.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(left) or body == b"..."}

    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    return Request({"type": "http", "method": "POST", "headers": raw}, receive)


async def refusal_of(request: Request, **limits: float) -> str:
    with pytest.raises(InvalidInput) as refusal:
        await read_body(request, limit_bytes=10, **limits)
    return refusal.value.code


async def test_chunks_are_one_body() -> None:
    assert await read_body(a_request([b"12345", b"67890"]), limit_bytes=10) == b"1234567890"


async def test_bytes_are_counted_as_they_arrive_whatever_was_announced() -> None:
    assert await refusal_of(a_request([b"12345", b"67890", b"1"])) == "too_large"
    assert await refusal_of(a_request([b"12345678901"], {"content-length": "1"})) == "too_large"
    assert await refusal_of(a_request([], {"content-length": "11"})) == "too_large"


@pytest.mark.parametrize("length", ["-1", "x", "", "٣"])
async def test_a_length_that_is_none_is_not_believed(length: str) -> None:
    assert await read_body(a_request([b"12"], {"content-length": length}), limit_bytes=10) == b"12"


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip"])
async def test_compressed_bodies_are_refused(encoding: str) -> None:
    assert await refusal_of(a_request([b""], {"content-encoding": encoding})) == "unsupported_encoding"


async def test_a_body_that_stops_arriving_is_not_waited_for_long() -> None:
    assert await refusal_of(a_request([b"..."]), timeout_seconds=0.05) == "too_slow"
