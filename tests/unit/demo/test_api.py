"""What the demo's operator asks of leadflow; leadflow's part is played by canned answers."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from services.demo.api import Leadflow, Subscription
from services.demo.installation import Installation, install
from services.demo.webhooks import SOURCES
from shared.errors import Misconfigured
from shared.events.json import Json, parse_json


def an_installation(directory: Path) -> Installation:
    return install(directory, seed=1, now=datetime.now(UTC), api_key="lf_test")


def leadflow_that(answer: Callable[[httpx.Request], httpx.Response]) -> Leadflow:
    client = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://leadflow")
    return Leadflow(client, "lf_test")


def a_workspace(
    requests: list[tuple[str, str, Json]], *, sources: list[str]
) -> Callable[[httpx.Request], httpx.Response]:
    """Answers like leadflow, and writes down (method, path, body)."""

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append((request.method, request.url.path, parse_json(request.content) if request.content else None))
        match request.method, request.url.path:
            case "GET", "/v1/sources":
                return httpx.Response(200, json={"sources": [{"id": source} for source in sources]})
            case "GET", "/v1/subscriptions":
                ours = {"id": "old", "description": "the demo's own subscriber"}
                return httpx.Response(200, json=[ours, {"id": "crm", "description": "somebody's"}])
            case "POST", "/v1/subscriptions":
                return httpx.Response(201, json={"id": "new", "secret": "whsec_x"})
            case _:
                return httpx.Response(201, json={})

    return answer


async def test_a_new_workspace_gets_a_model_a_pipeline_every_source_and_a_subscription(tmp_path: Path) -> None:
    requests: list[tuple[str, str, Json]] = []

    subscription = await leadflow_that(a_workspace(requests, sources=[])).set_up(
        an_installation(tmp_path), "http://127.0.0.1:1/leadflow", ("lead.stage_changed",)
    )

    posted = [path for method, path, _ in requests if method == "POST"]
    assert posted == ["/v1/models", "/v1/pipelines", *["/v1/sources"] * len(SOURCES), "/v1/subscriptions"]
    assert subscription == Subscription("new", "whsec_x")


async def test_a_known_workspace_keeps_its_sources_and_loses_the_subscription_of_the_run_before(
    tmp_path: Path,
) -> None:
    requests: list[tuple[str, str, Json]] = []

    await leadflow_that(a_workspace(requests, sources=[channel.value for channel in SOURCES])).set_up(
        an_installation(tmp_path), "http://127.0.0.1:1/leadflow", ()
    )

    assert not any(method == "POST" and path == "/v1/sources" for method, path, _ in requests)
    assert [path for method, path, _ in requests if method == "DELETE"] == ["/v1/subscriptions/old"]


async def test_a_delivery_that_waits_on_a_later_page_is_found() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if "before" in request.url.params:
            return httpx.Response(200, json={"deliveries": [{"state": "pending"}], "next_before": None})
        return httpx.Response(200, json={"deliveries": [{"state": "delivered"}], "next_before": 7})

    assert await leadflow_that(answer).delivers(Subscription("id", "secret"))


async def test_every_page_of_the_hot_list_is_read() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        first = "cursor" not in request.url.params
        page = {"leads": [{"id": "a" if first else "b"}], "next_cursor": "more" if first else None}
        return httpx.Response(200, json=page)

    assert [lead["id"] async for lead in leadflow_that(answer).leads()] == ["a", "b"]


async def test_a_refusal_is_told_in_leadflows_own_words() -> None:
    leadflow = leadflow_that(lambda _request: httpx.Response(401, text="an API key is needed"))

    with pytest.raises(Misconfigured, match=r"/v1/leads/x answers 401: an API key is needed"):
        await leadflow.attributes("x")
