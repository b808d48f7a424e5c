"""Runs services in one process: one HTTP server, their tasks beside it, and an orderly end.

A task that ends on its own stops the process, because a service that half works is worse than one that is
restarted. On SIGTERM the server finishes its requests, then the tasks finish what is in hand; a second
signal ends the process at once.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator, Sequence
from importlib.metadata import version
from time import monotonic

import uvicorn
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.types import ASGIApp

from shared.errors import Misconfigured
from shared.freed_memory import keep_freed_memory
from shared.garbage import collect_seldom
from shared.http import install_problem_handlers
from shared.http.direct import Direct
from shared.http.health import Health, health_router
from shared.http.observed import Observed, initialise_routes
from shared.observability.metrics import LOOP_LAG
from shared.service import Service
from shared.settings import Settings

logger = logging.getLogger(__name__)

Companion = Callable[[str, asyncio.Event], Coroutine[None, None, None]]

_LOOP_LAG_SECONDS = 0.5

DESCRIPTION = """
Marketing platforms post their webhooks, leadflow keeps every lead's scores - exactly, incrementally, with the
reasons - and tells CRMs when a lead crosses a threshold or changes its stage.
"""


def create_app(services: Sequence[Service], health: Health | None = None) -> FastAPI:
    """The HTTP application of `services`: their routes, /livez, /readyz, /metrics, and OpenAPI at /docs."""
    # Its pages bring their own scripts, so that /docs works behind a firewall and calls nobody.
    app = FastAPIOffline(title="leadflow", version=version("leadflow"), description=DESCRIPTION)
    routers = [router for service in services for router in service.routers]
    for router in (*routers, health_router(health or Health(services))):
        app.include_router(router)
        initialise_routes(router.routes)
    install_problem_handlers(app)
    return app


def served(services: Sequence[Service], health: Health) -> ASGIApp:
    """What the server calls: the application, with the busiest routes taken past it, all of it observed."""
    direct = [route for service in services for route in service.direct]
    return Observed(Direct(create_app(services, health), direct))


async def run(services: Sequence[Service], settings: Settings, *, companion: Companion | None = None) -> None:
    """Serve until a signal, until `companion` returns, or until a task dies (and then raise what killed it).

    `companion` is called with the base URL once requests are answered, and an event that is set at the end.
    Raises Misconfigured when the port is taken.
    """
    collect_seldom()
    keep_freed_memory()
    listener = _listen(settings)
    health = Health(services)
    server = _Server(served(services, health), settings)
    stop = asyncio.Event()
    tasks: list[asyncio.Task[None]] = [
        asyncio.create_task(task(stop), name=f"{service.name}: {name}")
        for service in services
        for name, task in service.tasks.items()
    ]
    tasks.append(asyncio.create_task(_watch_loop_lag(stop), name="loop lag"))
    serving = asyncio.create_task(server.serve([listener]), name="http")
    accompanied = asyncio.create_task(_accompany(server, companion, stop), name="companion")
    with _signals(server, health):
        await asyncio.wait([serving, accompanied, *tasks], return_when=asyncio.FIRST_COMPLETED)
        died = [task for task in tasks if task.done()]
        health.drain()
        server.should_exit = True
        await asyncio.wait([serving], timeout=settings.shutdown_timeout_seconds)
        stop.set()
        await _finish([*tasks, serving, accompanied], settings.shutdown_timeout_seconds)
    for task in (*died, accompanied, serving):
        await task
    if died:
        raise RuntimeError(f"the task {died[0].get_name()} ended while it was needed")


def _listen(settings: Settings) -> socket.socket:
    """Bound before anything starts: uvicorn would end the process on its own, in the middle of it."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise Misconfigured(
            f"cannot listen on {settings.host}, port {settings.port} ({reason}): LEADFLOW_PORT names another port"
        ) from error


class _Server(uvicorn.Server):
    """uvicorn without signal handlers of its own: the end is ours to order."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                timeout_graceful_shutdown=int(settings.shutdown_timeout_seconds),
            )
        )
        self.bound = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.bound.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def base_url(self) -> str:
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.contextmanager
def _signals(server: _Server, health: Health) -> Iterator[None]:
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if health.draining:
            logger.warning("second signal: ending at once")
            raise SystemExit(1)
        health.drain()
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _accompany(server: _Server, companion: Companion | None, stop: asyncio.Event) -> None:
    await server.bound.wait()
    if companion is None:
        await stop.wait()
    elif server.started:
        await companion(server.base_url(), stop)


async def _watch_loop_lag(stop: asyncio.Event) -> None:
    while not stop.is_set():
        before = monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOP_LAG_SECONDS):
                await stop.wait()
        LOOP_LAG.set(max(0.0, monotonic() - before - _LOOP_LAG_SECONDS))


async def _finish(tasks: Sequence[asyncio.Task[None]], timeout_seconds: float) -> None:
    _, late = await asyncio.wait(tasks, timeout=timeout_seconds)
    for task in late:
        logger.error("task did not finish in time", extra={"task": task.get_name()})
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
