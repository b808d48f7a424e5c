"""Counts and times every request, as pure ASGI: Starlette's BaseHTTPMiddleware costs four times the request."""

from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.observability.metrics import HTTP_DURATION, HTTP_REQUESTS

_STREAM = (b"content-type", b"text/event-stream; charset=utf-8")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Observed:
    """Wraps an application; the route label is the template, so that paths cannot multiply the series."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500
        started = perf_counter()
        ended: float | None = None

        async def observe(message: Message) -> None:
            nonlocal status, ended
            if message["type"] == "http.response.start":
                status = message["status"]
                # How long somebody listens says nothing about how fast the answer came.
                ended = perf_counter() if _STREAM in message.get("headers", ()) else None
            await send(message)

        try:
            await self._app(scope, receive, observe)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            HTTP_REQUESTS.labels(route, method, str(status)).inc()
            HTTP_DURATION.labels(route).observe((ended or perf_counter()) - started)
