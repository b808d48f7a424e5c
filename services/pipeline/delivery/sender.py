"""One attempt: a POST to a checked address, no redirects, no proxy, and an answer that is not trusted."""

import asyncio
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import version
from ssl import SSLContext

import httpcore
import httpx

from services.pipeline.delivery.address import ADDRESS_REFUSED, AddressGuard, AddressRefused
from services.pipeline.delivery.connections import Connections

_MOST_ANSWER_BYTES = 65_536
_KEPT_ANSWER_BYTES = 2_048
_EXCERPT_CHARACTERS = 500
_SKIM_SECONDS = 2.0
_REMEMBERED_URLS = 1_024
_USER_AGENT = f"leadflow/{version('leadflow')}"

# A receiver's error page may repeat what it was sent.
_REDACTED = (
    (re.compile(r"[^\s@<>\"']{1,64}@[^\s@<>\"']{1,255}"), "[address]"),
    (re.compile(r"(?:whsec_|v1,)[A-Za-z0-9+/=]+"), "[secret]"),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an attempt: a status, or the kind of error that left none.

    `excerpt` is the beginning of what came with it, as plain text without addresses.
    """

    status: int | None
    error: str | None
    retry_after: str | None
    duration_seconds: float
    excerpt: str | None = None


@dataclass(slots=True)
class _Heard:
    """What has arrived of an answer so far."""

    status: int | None = None
    retry_after: str | None = None
    body: bytearray = field(default_factory=bytearray)

    def excerpt(self) -> str | None:
        if not self.body:
            return None
        words = self.body.decode("utf-8", "replace")
        for pattern, instead in _REDACTED:
            words = pattern.sub(instead, words)
        return "".join(letter if letter.isprintable() else " " for letter in words)[:_EXCERPT_CHARACTERS]


class Sender:
    """Connections to subscribers, kept alive between attempts; every new one goes through the guard.

    `trust` says whose certificates are good; by default those of the public authorities.
    """

    def __init__(
        self,
        guard: AddressGuard,
        *,
        timeout_seconds: float,
        connections: int,
        trust: SSLContext | None = None,
    ) -> None:
        self._guard = guard
        self._timeout_seconds = timeout_seconds
        self._connections = Connections(guard, most=connections, trust=trust)

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """POST `body`; whatever happens is an Answer, within the timeout."""
        started = time.monotonic()
        heard, error = _Heard(), None
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._post(url, headers, body, heard=heard)
        except TimeoutError:
            error = "timeout"
        except AddressRefused:
            error = ADDRESS_REFUSED
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError) as failure:
            error = type(failure).__name__
        except (httpx.InvalidURL, httpcore.UnsupportedProtocol, ValueError):
            error = "invalid_url"
        # Who has given a status has answered, whatever becomes of the rest.
        error = error if heard.status is None else None
        return Answer(heard.status, error, heard.retry_after, time.monotonic() - started, heard.excerpt())

    async def close(self) -> None:
        """Let go of all connections."""
        await self._connections.close()

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes, *, heard: _Heard) -> None:
        self._guard.check_url(url)
        request = list({**headers, "user-agent": _USER_AGENT, "accept": "*/*"}.items())
        target = _target(url)
        async with (
            self._connections.to(target) as connection,
            connection.stream("POST", target, headers=request, content=body) as response,
        ):
            answered = {name.lower(): value for name, value in response.headers}
            heard.retry_after = answered.get(b"retry-after", b"").decode("latin-1") or None
            heard.status = response.status
            with suppress(httpcore.NetworkError, httpcore.ProtocolError, TimeoutError):
                async with asyncio.timeout(_SKIM_SECONDS):
                    await _skim(response, heard)


async def _skim(response: httpcore.Response, heard: _Heard) -> None:
    """Read a short answer so that the connection can be used again; leave a long one, or a slow one, unread."""
    read = 0
    async for chunk in response.aiter_stream():
        read += len(chunk)
        heard.body += chunk[: _KEPT_ANSWER_BYTES - len(heard.body)]
        if read > _MOST_ANSWER_BYTES:
            return


@lru_cache(maxsize=_REMEMBERED_URLS)
def _target(url: str) -> httpcore.URL:
    """The URL as the connection needs it: an international host in its ASCII form."""
    parsed = httpx.URL(url)
    return httpcore.URL(scheme=parsed.raw_scheme, host=parsed.raw_host, port=parsed.port, target=parsed.raw_path)
