"""Is it alive, is it ready, how does it do: the three questions every process answers."""

import asyncio
from collections.abc import Sequence
from time import monotonic

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from shared.errors import LeadflowError
from shared.service import Check, Service

_CHECK_SECONDS = 1.0
_CACHE_SECONDS = 2.0


class Health:
    """Liveness is progress and never asks a dependency: a dead database must not restart every process.

    Readiness asks the dependencies, at most every two seconds, and is lost while draining.
    """

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = services
        self._checks = {name: check for service in services for name, check in service.ready.items()}
        self._answers: dict[str, str | None] = {}
        self._answered_at = float("-inf")
        self.draining = False

    def drain(self) -> None:
        """The process is about to end: it is ready no longer, and answers without an end get one."""
        self.draining = True
        for service in self._services:
            service.drain()

    def stuck(self) -> dict[str, str]:
        """Why tasks make no progress, by service and name; empty when all do."""
        return {
            f"{service.name} {name}": reason
            for service in self._services
            for name, live in service.live.items()
            if (reason := live()) is not None
        }

    async def unready(self) -> dict[str, str]:
        """What keeps this process from its work, by name of the dependency; empty when nothing does."""
        if self.draining:
            return {"process": "draining"}
        if monotonic() - self._answered_at > _CACHE_SECONDS:
            answers = await asyncio.gather(*(_ask(check) for check in self._checks.values()))
            self._answers = dict(zip(self._checks, answers, strict=True))
            self._answered_at = monotonic()
        return {name: answer for name, answer in self._answers.items() if answer is not None}


async def _ask(check: Check) -> str | None:
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            await check()
    except TimeoutError:
        return "no answer within a second"
    except LeadflowError as error:
        return str(error)
    return None


def health_router(health: Health) -> APIRouter:
    """/livez, /readyz and /metrics."""
    router = APIRouter(tags=["operations"])

    @router.get("/livez", summary="Does every task make progress?", response_model=dict[str, str])
    async def livez() -> Response:
        return _verdict("stuck", health.stuck())

    @router.get("/readyz", summary="Can the work be done now?", response_model=dict[str, str])
    async def readyz() -> Response:
        return _verdict("unready", await health.unready())

    @router.get("/metrics", summary="Prometheus exposition", response_class=Response)
    async def metrics() -> Response:
        return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return router


def _verdict(bad: str, reasons: dict[str, str]) -> Response:
    if reasons:
        return JSONResponse({"status": bad, **reasons}, status_code=503)
    return JSONResponse({"status": "ok"})
