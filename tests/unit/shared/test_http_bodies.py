"""Bodies are read in full or not at all."""

import asyncio
import gzip
import random
import tracemalloc
import zlib
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message

from shared.errors import InvalidInput
from shared.http import read_body
from shared.http.bodies import LARGEST_RATIO


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


@pytest.mark.parametrize("encoding", ["zstd", "br", "gzip, gzip", "identity, gzip", "x"])
async def test_encodings_that_cannot_be_unpacked_safely_are_refused(encoding: str) -> None:
    assert await refusal_of(a_request([b""], {"content-encoding": encoding})) == "unsupported_encoding"


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


PACKED = pytest.mark.parametrize(
    ("encoding", "pack"),
    [("gzip", gzip.compress), ("GZIP", gzip.compress), ("deflate", zlib.compress), ("deflate", raw_deflate)],
    ids=["gzip", "GZIP", "deflate", "bare deflate"],
)


@PACKED
@given(body=st.binary(max_size=300) | st.integers(0, 300_000).map(lambda size: b"a" * size), cut=st.integers(1, 50))
async def test_a_compressed_body_comes_out_as_it_went_in_however_it_arrives(
    encoding: str, pack: Callable[[bytes], bytes], body: bytes, cut: int
) -> None:
    packed = pack(body)
    chunks = [packed[at : at + cut] for at in range(0, len(packed), cut)]

    assert await read_body(a_request(chunks, {"content-encoding": encoding})) == body


@PACKED
async def test_the_limit_is_one_on_what_comes_out(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    headers = {"content-encoding": encoding}

    assert await read_body(a_request([pack(b"a" * 500)], headers), limit_bytes=500) == b"a" * 500
    with pytest.raises(InvalidInput) as refusal:
        await read_body(a_request([pack(b"a" * 501)], headers), limit_bytes=500)
    assert refusal.value.code == "too_large"


@PACKED
async def test_a_compressed_body_that_is_broken_is_refused(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    packed = pack(b"some text that is long enough to be packed, packed, packed")

    for broken in (packed[:-1], packed[: len(packed) // 2], packed + b"more", b"\xff" + packed[1:]):
        for chunks in ([broken], [broken[:5], broken[5:]]):
            with pytest.raises(InvalidInput) as refusal:
                await read_body(a_request(chunks, {"content-encoding": encoding}))
            assert refusal.value.code == "bad_encoding"


async def test_nothing_may_be_called_compressed() -> None:
    assert await read_body(a_request([b""], {"content-encoding": "gzip"})) == b""


@pytest.mark.parametrize("packing", [1, 2], ids=["a bomb", "a bomb in a bomb"])
async def test_a_bomb_is_refused_early_and_fills_no_memory(packing: int) -> None:
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(bytes(1024 * 1024)) for _ in range(256)) + packer.flush()
    for _ in range(packing - 1):
        bomb = zlib.compress(bomb + bytes(32 * 1024 * 1024), 9)

    tracemalloc.start()
    try:
        with pytest.raises(InvalidInput) as refusal:
            await read_body(a_request([bomb], {"content-encoding": "deflate"}))
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert refusal.value.code == "too_large"
    assert most_bytes < 12 * 1024 * 1024


async def test_a_body_may_unpack_to_so_many_times_its_size_and_no_more() -> None:
    def packed(repetitions: int) -> bytes:
        noise = random.Random(7).randbytes(20_000)
        return zlib.compress(noise + b"a" * repetitions, 9)

    def ratio(repetitions: int) -> float:
        return (20_000 + repetitions) / len(packed(repetitions))

    below, above = 3_900_000, 6_000_000
    assert ratio(below) < LARGEST_RATIO < ratio(above)
    headers = {"content-encoding": "deflate"}

    taken = await read_body(a_request([packed(below)], headers), limit_bytes=10_000_000)
    with pytest.raises(InvalidInput, match="times its size"):
        await read_body(a_request([packed(above)], headers), limit_bytes=10_000_000)

    assert len(taken) == below + 20_000


async def test_a_body_that_stops_arriving_is_not_waited_for_long() -> None:
    assert await refusal_of(a_request([b"..."]), timeout_seconds=0.05) == "too_slow"
