"""Headers of a request as ASGI has them: a few are asked for at every request, and Starlette's look-up is slow."""

from collections.abc import Iterable


def first_header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    """The value of the first header of that name, which is in lower case."""
    for known, value in headers:
        if known == name:
            return value.decode("latin-1")
    return None
