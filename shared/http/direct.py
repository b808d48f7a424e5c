"""The short way to the few routes that are called by the thousand: past FastAPI, whose work per request costs more
than ours.

FastAPI keeps the same routes, for OpenAPI and for whoever has the application without a server; both ways end in
the same endpoint, and errors look the same.
"""

import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.errors import LeadflowError
from shared.http.problems import disconnect_response, problem_response, unexpected_response

Endpoint = Callable[[Request], Awaitable[Response]]

_log = logging.getLogger(__name__)


class WrittenJson(Response):
    """JSON that is bytes already: an answer that has nothing to be looked up for."""

    def __init__(self, body: bytes, status_code: int) -> None:  # its base would work out what is known here
        self.body = body
        self.status_code = status_code
        self.background = None
        self.raw_headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]


@dataclass(frozen=True, slots=True)
class DirectRoute:
    """A method and a path template as FastAPI's router writes it; `request.path_params` has its parts."""

    method: str
    path: str
    endpoint: Endpoint
    pattern: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pattern", compile_path(self.path)[0])


class Direct:
    """Wraps an application: `routes` are answered here, everything else there."""

    def __init__(self, app: ASGIApp, routes: Sequence[DirectRoute]) -> None:
        self._app = app
        self._routes = tuple(routes)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # No coroutine of its own: what a request waits with is woken up through every one of them.
        if scope["type"] == "http":
            for route in self._routes:
                if route.method == scope["method"] and (found := route.pattern.match(scope["path"])):
                    scope["route"] = route
                    scope["path_params"] = found.groupdict()
                    return _answer(route.endpoint, scope, receive, send)
        return self._app(scope, receive, send)


async def _answer(endpoint: Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
    request = Request(scope, receive)
    try:
        response = await endpoint(request)
    except Exception as error:  # noqa: BLE001 - it is answered
        response = _response_to(error, request)
    await response(scope, receive, send)


def _response_to(error: Exception, request: Request) -> Response:
    if isinstance(error, LeadflowError):
        return problem_response(error, method=request.method)
    if isinstance(error, ClientDisconnect):
        return disconnect_response()
    _log.error("request failed", extra={"http_route": request.scope["route"].path, "error": type(error).__name__})
    return unexpected_response()
