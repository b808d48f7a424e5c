"""Connections to subscribers, kept open between attempts; every new one goes through the guard.

httpcore has a pool of its own, which looks at each of its connections for every request, and asks the kernel about
those that are idle: with one receiver that is half of what a request costs, with many receivers it is far more.
"""

import time
from asyncio import Semaphore
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property
from ssl import SSLContext
from typing import Final, TypeAlias

import httpcore

from services.pipeline.delivery.address import AddressGuard, GuardedBackend

_KEEPALIVE_SECONDS: Final = 30.0

# Scheme, host and port.
_Origin: TypeAlias = tuple[bytes, bytes, int | None]


class Connections:
    """At most `most` are in use at once, and as many wait for their next request: the one used last is used next.

    `trust` says whose certificates are good; by default those of the public authorities.
    """

    def __init__(
        self,
        guard: AddressGuard,
        *,
        most: int,
        trust: SSLContext | None,
        keepalive_seconds: float = _KEEPALIVE_SECONDS,
    ) -> None:
        self._backend = GuardedBackend(guard)
        self._given_trust = trust
        self._most = most
        self._keepalive_seconds = keepalive_seconds
        self._places = Semaphore(most)
        self._idle: dict[_Origin, list[httpcore.AsyncHTTPConnection]] = {}
        self._looked_at = time.monotonic()

    @asynccontextmanager
    async def to(self, url: httpcore.URL) -> AsyncIterator[httpcore.AsyncHTTPConnection]:
        """A connection for one request. It is kept if the request ended well, and closed if it did not."""
        origin = (url.scheme, url.host, url.port)
        async with self._places:
            await self._close_expired()
            connection = await self._take(origin) or self._new(url)
            try:
                yield connection
            finally:
                if connection.is_available() and self._number() < self._most:
                    self._idle.setdefault(origin, []).append(connection)
                else:
                    await connection.aclose()

    async def close(self) -> None:
        """Let go of all that wait."""
        idle, self._idle = self._idle, {}
        for waiting in idle.values():
            for connection in waiting:
                await connection.aclose()

    async def _take(self, origin: _Origin) -> httpcore.AsyncHTTPConnection | None:
        waiting = self._idle.get(origin, [])
        while waiting:
            connection = waiting.pop()
            if not connection.has_expired():
                return connection
            await connection.aclose()
        return None

    def _new(self, url: httpcore.URL) -> httpcore.AsyncHTTPConnection:
        return httpcore.AsyncHTTPConnection(
            url.origin,
            ssl_context=self._trust if url.scheme == b"https" else None,
            keepalive_expiry=self._keepalive_seconds,
            network_backend=self._backend,
        )

    @cached_property
    def _trust(self) -> SSLContext:
        # Made once: to read all authorities takes longer than to greet a receiver.
        return self._given_trust or httpcore.default_ssl_context()

    def _number(self) -> int:
        return sum(map(len, self._idle.values()))

    async def _close_expired(self) -> None:
        """Now and then, those to receivers that are not called any more."""
        if time.monotonic() - self._looked_at < self._keepalive_seconds:
            return
        self._looked_at = time.monotonic()
        idle = [(origin, connection) for origin, waiting in self._idle.items() for connection in waiting]
        self._idle, expired = {}, []
        for origin, connection in idle:
            if connection.has_expired():
                expired.append(connection)
            else:
                self._idle.setdefault(origin, []).append(connection)
        for connection in expired:
            await connection.aclose()
