"""A request's bytes, counted while they arrive: a chunked body announces no length, and some lie."""

import asyncio

from starlette.requests import Request

from shared.errors import InvalidInput

LARGEST_BODY_BYTES = 5 * 1024 * 1024
SLOWEST_BODY_SECONDS = 30.0


async def read_body(
    request: Request,
    *,
    limit_bytes: int = LARGEST_BODY_BYTES,
    timeout_seconds: float = SLOWEST_BODY_SECONDS,
) -> bytes:
    """The raw body. Raises InvalidInput: too_large, unsupported_encoding, too_slow."""
    _refuse_encoded(request)
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > limit_bytes:
        raise _too_large(limit_bytes)
    try:
        async with asyncio.timeout(timeout_seconds):
            return await _read(request, limit_bytes)
    except TimeoutError as error:
        raise InvalidInput(f"the body did not arrive within {timeout_seconds:g} s", code="too_slow") from error


async def _read(request: Request, limit_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit_bytes:
            raise _too_large(limit_bytes)
    return bytes(body)


def _refuse_encoded(request: Request) -> None:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise InvalidInput(
            "compressed bodies are not accepted: send it without Content-Encoding",
            code="unsupported_encoding",
        )


def _too_large(limit_bytes: int) -> InvalidInput:
    return InvalidInput(f"the body is larger than {limit_bytes} bytes", code="too_large")
