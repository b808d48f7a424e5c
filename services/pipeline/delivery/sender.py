"""One attempt: a POST to a checked address, no redirects, no proxy, and an answer that is not trusted."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from ssl import SSLContext

import httpcore
import httpx

from services.pipeline.delivery.address import AddressGuard, AddressRefused, GuardedBackend

_MOST_ANSWER_BYTES = 65_536
_KEEPALIVE_SECONDS = 30.0
_USER_AGENT = f"leadflow/{version('leadflow')}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an attempt: a status, or the kind of error that left none."""

    status: int | None
    error: str | None
    retry_after: str | None
    duration_seconds: float


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
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=trust,
            network_backend=GuardedBackend(guard),
            max_connections=connections,
            keepalive_expiry=_KEEPALIVE_SECONDS,
        )

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """POST `body`; whatever happens is an Answer, within the timeout."""
        started = time.monotonic()
        status, error, retry_after = None, None, None
        try:
            async with asyncio.timeout(self._timeout_seconds):
                status, retry_after = await self._post(url, headers, body)
        except TimeoutError:
            error = "timeout"
        except AddressRefused:
            error = "address_refused"
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError) as failure:
            error = type(failure).__name__
        except (httpx.InvalidURL, httpcore.UnsupportedProtocol, ValueError):
            error = "invalid_url"
        return Answer(status, error, retry_after, time.monotonic() - started)

    async def close(self) -> None:
        """Let go of all connections."""
        await self._pool.aclose()

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str | None]:
        self._guard.check_url(url)
        request = {**headers, "user-agent": _USER_AGENT, "accept": "*/*"}
        async with self._pool.stream("POST", _target(url), headers=list(request.items()), content=body) as response:
            answered = {name.lower(): value for name, value in response.headers}
            retry_after = answered.get(b"retry-after", b"").decode("latin-1") or None
            with suppress(httpcore.NetworkError, httpcore.ProtocolError):
                await _skim(response)
            return response.status, retry_after


async def _skim(response: httpcore.Response) -> None:
    """Read a short answer so that the connection can be used again; leave a long one unread."""
    read = 0
    async for chunk in response.aiter_stream():
        read += len(chunk)
        if read > _MOST_ANSWER_BYTES:
            return


def _target(url: str) -> httpcore.URL:
    """The URL as the connection needs it: an international host in its ASCII form."""
    parsed = httpx.URL(url)
    return httpcore.URL(scheme=parsed.raw_scheme, host=parsed.raw_host, port=parsed.port, target=parsed.raw_path)
