"""A receiver of leadflow's webhooks, as a customer would write one: it believes nothing that is not signed."""

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import uvicorn
from standardwebhooks import Webhook, WebhookVerificationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from shared.events.json import Json, parse_json

# Each topic counts its messages per lead without gaps; these two are subscribed to whole.
_TOPICS: Final[Mapping[str, str]] = {
    "lead.threshold_entered": "thresholds",
    "lead.threshold_left": "thresholds",
    "lead.qualified": "stages",
    "lead.disqualified": "stages",
    "lead.qualification_reopened": "stages",
    "lead.stage_changed": "stages",
    "lead.stalled": "stages",
}
EVENT_TYPES: Final = ("lead.merged", *_TOPICS)


class Subscriber:
    """Verifies, counts and answers. Give it the subscription's secret as soon as there is one."""

    def __init__(self) -> None:
        self.secret: str | None = None
        self.verified: Counter[str] = Counter()
        self.failed = 0
        self.repeated = 0
        self._seen: set[str] = set()
        self._sequences: dict[tuple[str, str], set[int]] = {}

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Serve on a free port of this machine; yields the URL. Who connects at once waits in the listener."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            server = _Server(uvicorn.Config(self, log_config=None, access_log=False, lifespan="off"))
            serving = asyncio.create_task(server.serve(sockets=[listener]), name="demo subscriber")
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}/leadflow"
            finally:
                server.should_exit = True
                await serving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        request = Request(scope, receive)
        status = self.receive(dict(request.headers), await request.body())
        await Response(status_code=status)(scope, receive, send)

    def receive(self, headers: dict[str, str], body: bytes) -> int:
        """Take one delivery; returns the HTTP status to answer with."""
        if self.secret is None:
            return 503
        try:
            Webhook(self.secret).verify(body, headers, json_parse=False)
        except (WebhookVerificationError, ValueError):
            self.failed += 1
            return 401
        if headers["webhook-id"] in self._seen:
            self.repeated += 1
        else:
            self._seen.add(headers["webhook-id"])
            self._count(parse_json(body))
        return 204

    def count_from_here(self) -> None:
        """Forget the counts, not the sequences: what came until now belongs to an earlier run."""
        self.verified.clear()
        self.failed = self.repeated = 0

    @property
    def lost(self) -> int:
        """Messages that the sequences say there were and that have not come."""
        return sum(max(numbers) - min(numbers) + 1 - len(numbers) for numbers in self._sequences.values())

    def _count(self, message: Json) -> None:
        assert isinstance(message, dict)
        kind = str(message["type"])
        self.verified[kind] += 1
        data = message["data"]
        if kind in _TOPICS and isinstance(data, dict) and isinstance(data["sequence"], int):
            key = _TOPICS[kind], str(message["subject"])
            self._sequences.setdefault(key, set()).add(data["sequence"])


class _Server(uvicorn.Server):
    """uvicorn as a guest in a process whose signals are somebody else's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
