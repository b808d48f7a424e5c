"""Counts, times and traces requests, as pure ASGI: Starlette's BaseHTTPMiddleware costs four times the request."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from time import perf_counter

from fastapi.routing import APIRoute
from prometheus_client import Counter, Histogram
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.observability import tracing
from shared.observability.metrics import HTTP_DURATION, HTTP_REQUESTS
from shared.observability.tracing import Span, TraceContext

_STREAM = (b"content-type", b"text/event-stream; charset=utf-8")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_EVERYWHERE = ("500", "503")
# Asked every few seconds by machines about the process itself: nobody's way leads through them.
_UNTRACED = frozenset({"/livez", "/readyz", "/startupz", "/metrics"})
_TRACEPARENT, _TRACESTATE = tracing.HEADER.encode(), tracing.STATE_HEADER.encode()


def initialise_routes(routes: Iterable[BaseRoute]) -> None:
    """Let every answer that a route declares, and those that any may give, start at 0: a rate sees the first."""
    for route in routes:
        if isinstance(route, APIRoute):
            HTTP_DURATION.labels(route.path)
            declared = {str(code) for code in route.responses if str(code).isdigit()}
            for method in route.methods or ():
                for code in {str(route.status_code or 200), *declared, *_EVERYWHERE}:
                    HTTP_REQUESTS.labels(route.path, method, code)


class Observed:
    """Wraps an application; the route label is the template, so that paths cannot multiply the series.

    The trace of the caller goes on here; who brings none, or a broken one, begins a new one.
    """

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

        with _spanned(scope) as span:
            try:
                await self._app(scope, receive, observe)
            finally:
                route, method = getattr(scope.get("route"), "path", "unmatched"), _method(scope)
                _requests(route, method, status).inc()
                _duration(route).observe((ended or perf_counter()) - started)
                if span is not None:
                    _describe(span, route, method, status)


def _spanned(scope: Scope) -> AbstractContextManager[Span | None]:
    if scope["path"] in _UNTRACED:
        return nullcontext()
    return tracing.span(_method(scope), "server", parent=_caller(scope))


# Looking a series up costs more than counting in it; routes, methods and codes are few.
@lru_cache(maxsize=1_024)
def _requests(route: str, method: str, status: int) -> Counter:
    return HTTP_REQUESTS.labels(route, method, str(status))


@lru_cache(maxsize=1_024)
def _duration(route: str) -> Histogram:
    return HTTP_DURATION.labels(route)


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in _METHODS else "other"


def _caller(scope: Scope) -> TraceContext | None:
    """Where the request comes from. Two headers contradict each other: then there is none."""
    found = [value for name, value in scope["headers"] if name == _TRACEPARENT]
    if len(found) != 1:
        return None
    # This one may come in parts, which W3C has put together again in their order.
    return tracing.read(found[0], b",".join(value for name, value in scope["headers"] if name == _TRACESTATE))


def _describe(span: Span, route: str, method: str, status: int) -> None:
    span.name = f"{method} {route}"
    span.attributes |= {"http.request.method": method, "http.route": route, "http.response.status_code": status}
    if status >= 500:
        span.error = str(status)
