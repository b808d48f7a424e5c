"""The short way past FastAPI answers as FastAPI does, and takes what is its own alone."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from starlette.requests import ClientDisconnect

from shared.errors import InvalidInput, LogUnavailable, RateLimited
from shared.http import install_problem_handlers
from shared.http.direct import Direct, DirectRoute

FAILURES: dict[str, Exception] = {
    "invalid": InvalidInput("must be a date", code="invalid_value", field="at"),
    "busy": RateLimited("too many", retry_after_seconds=3.0),
    "down": LogUnavailable("the log is away", outcome_unknown=True),
    "gone": ClientDisconnect(),
    "unexpected": RuntimeError("secret"),
}


async def endpoint(request: Request) -> Response:
    name = request.path_params["name"]
    if name in FAILURES:
        raise FAILURES[name]
    return Response(f"{name}: {(await request.body()).decode()}", status_code=202)


def application() -> FastAPI:
    app = FastAPI()
    app.add_api_route("/things/{name}", endpoint, methods=["POST"])

    @app.get("/things/{name}")
    async def look(name: str) -> str:
        return name

    install_problem_handlers(app)
    return app


@pytest.fixture
async def both() -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    """A client of FastAPI alone, and one of the short way."""
    app = application()
    short = Direct(app, [DirectRoute("POST", "/things/{name}", endpoint)])
    ways = [httpx.ASGITransport(way, raise_app_exceptions=False) for way in (app, short)]
    async with (
        httpx.AsyncClient(transport=ways[0], base_url="http://leadflow.test") as long,
        httpx.AsyncClient(transport=ways[1], base_url="http://leadflow.test") as direct,
    ):
        yield long, direct


@pytest.mark.parametrize("name", ["well", "w%C3%A9ll", *FAILURES])
async def test_both_ways_give_the_same_answer(name: str, both: tuple[httpx.AsyncClient, httpx.AsyncClient]) -> None:
    long, direct = [await client.post(f"/things/{name}", content=b"body") for client in both]

    assert (direct.status_code, direct.content) == (long.status_code, long.content)
    assert dict(direct.headers) == dict(long.headers)
    assert "secret" not in direct.text


async def test_other_methods_and_paths_go_to_the_application(
    both: tuple[httpx.AsyncClient, httpx.AsyncClient],
) -> None:
    _, direct = both

    assert (await direct.get("/things/well")).json() == "well"
    assert (await direct.post("/things/well/more")).status_code == 404
    assert (await direct.post("/things/")).status_code in {307, 404}
    assert (await direct.delete("/things/well")).status_code == 405


async def test_the_route_is_known_by_its_template() -> None:
    scopes: list[Any] = []

    async def observed(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await Direct(application(), [DirectRoute("POST", "/things/{name}", endpoint)])(scope, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(observed), base_url="http://leadflow.test") as client:
        await client.post("/things/well")

    assert scopes[0]["route"].path == "/things/{name}"


async def test_an_answer_that_fails_half_way_is_no_second_answer() -> None:
    class Half(Response):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 202, "headers": []})
            raise RuntimeError("half way")

    async def half(request: Request) -> Response:
        return Half()

    way = httpx.ASGITransport(Direct(application(), [DirectRoute("POST", "/half", half)]))
    async with httpx.AsyncClient(transport=way, base_url="http://leadflow.test") as client:
        with pytest.raises(RuntimeError, match="half way"):
            await client.post("/half")
