"""Liveness is progress, readiness is the dependencies, and draining is neither ready nor dead."""

from dataclasses import replace

import httpx
import pytest

from shared.errors import LogUnavailable
from shared.http.health import Health
from shared.process import create_app
from shared.service import Service


def a_service(*, trouble: Exception | None = None, stuck: str | None = None) -> Service:
    async def check() -> None:
        if trouble is not None:
            raise trouble

    return Service(name="test", routers=(), ready={"log": check}, live={"consumer": lambda: stuck})


def client_of(health: Health, service: Service) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app([service], health))
    return httpx.AsyncClient(transport=transport, base_url="http://test")


@pytest.mark.parametrize(
    ("service", "path", "status", "answer"),
    [
        (a_service(), "/livez", 200, {"status": "ok"}),
        (a_service(), "/readyz", 200, {"status": "ok"}),
        (a_service(stuck="asleep"), "/livez", 503, {"status": "stuck", "test consumer": "asleep"}),
        (a_service(stuck="asleep"), "/readyz", 200, {"status": "ok"}),
        (
            a_service(trouble=LogUnavailable("away", outcome_unknown=False)),
            "/readyz",
            503,
            {"status": "unready", "log": "away"},
        ),
        (a_service(trouble=LogUnavailable("away", outcome_unknown=False)), "/livez", 200, {"status": "ok"}),
    ],
)
async def test_each_question_has_its_own_answer(
    service: Service, path: str, status: int, answer: dict[str, str]
) -> None:
    async with client_of(Health([service]), service) as client:
        found = await client.get(path)

    assert (found.status_code, found.json()) == (status, answer)


def test_what_is_stuck_in_one_service_is_told_though_another_has_a_task_of_that_name_that_lives() -> None:
    stuck, lives = a_service(stuck="asleep"), replace(a_service(), name="other")

    assert Health([stuck, lives]).stuck() == {"test consumer": "asleep"}


async def test_draining_is_not_ready_and_still_alive() -> None:
    service = a_service()
    health = Health([service])
    health.draining = True

    async with client_of(health, service) as client:
        assert (await client.get("/readyz")).json() == {"status": "unready", "process": "draining"}
        assert (await client.get("/livez")).status_code == 200


async def test_the_dependencies_are_not_asked_for_every_probe() -> None:
    asked: list[None] = []

    async def check() -> None:
        asked.append(None)

    service = Service(name="test", routers=(), ready={"log": check})
    async with client_of(Health([service]), service) as client:
        for _ in range(20):
            await client.get("/readyz")

    assert len(asked) == 1


async def test_metrics_and_the_pages_of_the_api_are_served_without_anybody_elses_scripts() -> None:
    service = a_service()
    async with client_of(Health([service]), service) as client:
        assert "leadflow_build_info" in (await client.get("/metrics")).text
        page = (await client.get("/docs")).text

    assert "https://" not in page
