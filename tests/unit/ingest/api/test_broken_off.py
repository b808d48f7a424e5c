"""Senders that take any answer for the end of a delivery must see a lost connection."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import cast

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.ingest.api.broken_off import BrokenOff
from services.ingest.api.webhooks import webhooks_router
from services.ingest.service import Ingest
from services.ingest.settings import IngestSettings
from services.ingest.sources.book import SourceBook
from shared.clock import ManualClock
from shared.db.engine import Database
from tests.support.deliveries import NOON

# The second leaves the connection open, so that the client's patience ends it: lost all the same.
PROTOCOLS = ("httptools", "h11")


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def answer(request: Request) -> Response:
    whole = Response("in trouble", 503, {"Retry-After": "2"})
    return BrokenOff(whole) if request.url.path == "/broken" else Response("well")


@contextlib.asynccontextmanager
async def serving(protocol: str) -> AsyncIterator[str]:
    app = Starlette(routes=[Route("/broken", answer), Route("/whole", answer)])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, http=protocol, log_config=None, access_log=False, lifespan="off")
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_client_that_reads_the_answer_whole_sees_a_lost_connection(protocol: str) -> None:
    async with serving(protocol) as url, httpx.AsyncClient(timeout=1) as client:
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadTimeout)):
            await client.get(f"{url}/broken")

        assert (await client.get(f"{url}/whole")).text == "well"


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_its_head_says_what_is_the_matter_to_whoever_watches(protocol: str) -> None:
    async with (
        serving(protocol) as url,
        httpx.AsyncClient(timeout=5) as client,
        client.stream("GET", f"{url}/broken") as head,
    ):
        assert head.status_code == 503
        assert head.headers["Retry-After"] == "2"
        assert head.headers["Content-Length"] == str(len("in trouble") + 1)


async def test_before_the_sources_are_read_nobody_is_answered_in_full() -> None:
    sources = SourceBook(cast("Database", None))
    app = FastAPI()
    router, _ = webhooks_router(
        cast("Ingest", None), sources=sources, settings=IngestSettings(), clock=ManualClock(NOON)
    )
    app.include_router(router)
    transport = httpx.ASGITransport(app=app)

    async with httpx.AsyncClient(transport=transport, base_url="https://leadflow.test") as client:
        answer = await client.post("/v1/webhooks/whose", content=b"{}")

    assert answer.status_code == 503
    assert int(answer.headers["Content-Length"]) == len(answer.content) + 1
