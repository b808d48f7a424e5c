"""Every error as problem details."""

from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from services.scorer.domain.counting.tally import HistoryNeeded
from shared import errors
from shared.access.errors import Forbidden, Unauthenticated
from shared.db.snapshot import NotLoaded
from shared.errors import Fault, InvalidDocument, InvalidInput, LeadflowError, LogUnavailable, Refused
from shared.events.json import Json
from shared.http import install_problem_handlers
from shared.http.inputs import PlainText


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")
    names: list[str]


class Bounded(BaseModel):
    plain: Annotated[PlainText, Field(min_length=1, max_length=3)] = "abc"
    text: str = Field("abc", min_length=1, max_length=3)
    pair: Annotated[PlainText, Field(min_length=2)] = "ab"
    items: list[PlainText] = Field(["a"], min_length=1, max_length=2)


RAISED: dict[str, Exception] = {}


def application() -> FastAPI:
    app = FastAPI()

    @app.api_route("/raise/{name}", methods=["GET", "POST"], include_in_schema=False)
    async def raise_it(name: str) -> None:
        raise RAISED[name]

    @app.post("/typed")
    async def typed(body: Body) -> Body:
        return body

    @app.post("/bounded")
    async def bounded(body: Bounded) -> Bounded:
        return body

    install_problem_handlers(app)
    return app


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=application(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="https://leadflow.test") as client:
        yield client


async def raised(client: httpx.AsyncClient, error: Exception, method: str = "POST") -> httpx.Response:
    RAISED["it"] = error
    answer = await client.request(method, "/raise/it")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code
    return answer


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Unauthenticated(), 401, "unauthenticated"),
        (Forbidden("leads:read"), 403, "missing_scope"),
        (InvalidInput("x"), 422, "invalid"),
        (InvalidInput("x", code="not_json"), 400, "not_json"),
        (InvalidInput("x", code="not_found"), 404, "not_found"),
        (InvalidInput("x", code="conflict"), 409, "conflict"),
        (InvalidInput("x", code="too_large"), 413, "too_large"),
        (InvalidInput("x", code="unsupported_media_type"), 415, "unsupported_media_type"),
        (Refused("x", code="stage_is_terminal"), 409, "stage_is_terminal"),
        (InvalidInput("x", code="bad_encoding"), 400, "bad_encoding"),
        (errors.RateLimited("x", retry_after_seconds=0.1), 429, "rate_limited"),
        (LogUnavailable("x", outcome_unknown=False), 503, "not_accepted"),
        (LogUnavailable("x", outcome_unknown=True), 503, "outcome_unknown"),
        (errors.DatabaseUnavailable("x"), 503, "outcome_unknown"),
        (NotLoaded("x"), 503, "not_accepted"),
        (errors.Misconfigured("x"), 500, "internal"),
        (RuntimeError("the password is 1234"), 500, "internal"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
async def test_an_error_has_a_status_and_a_stable_code(
    client: httpx.AsyncClient, error: Exception, status: int, code: str
) -> None:
    answer = await raised(client, error)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert "1234" not in answer.text
    assert ("retry-after" in answer.headers) is (status in {429, 503})


def all_errors(base: type[LeadflowError]) -> list[type[LeadflowError]]:
    return [base, *(leaf for child in base.__subclasses__() for leaf in all_errors(child))]


async def test_no_error_of_leadflow_is_left_to_chance(client: httpx.AsyncClient) -> None:
    # HistoryNeeded never leaves the scorer, which answers it by computing the lead anew.
    on_purpose = {errors.LeadflowError, errors.CommitRejected, errors.Misconfigured, HistoryNeeded}

    for kind in set(all_errors(LeadflowError)) - on_purpose:
        error = kind.__new__(kind)
        Exception.__init__(error, "x")
        error.__dict__ |= {"code": "c", "field": None, "faults": (), "scope": "s", "outcome_unknown": True}
        error.__dict__["retry_after_seconds"] = 1.0
        assert (await raised(client, error)).status_code != 500, kind


async def test_reading_changes_nothing_so_a_failed_reading_is_not_unknown(client: httpx.AsyncClient) -> None:
    answer = await raised(client, errors.DatabaseUnavailable("x"), "GET")

    assert answer.json()["code"] == "not_accepted"


async def test_all_faults_of_a_document_are_told(client: httpx.AsyncClient) -> None:
    answer = await raised(client, InvalidDocument([Fault("a.b", "no"), Fault("c", "neither")]))

    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"field": "a.b", "message": "no"},
        {"field": "c", "message": "neither"},
    ]


async def test_fastapis_own_refusals_have_the_same_form(client: httpx.AsyncClient) -> None:
    answers = [
        await client.get("/nowhere"),
        await client.get("/typed"),
        await client.post("/typed", json={"names": [1], "more": 2}),
        await client.post("/typed", content=b"{", headers={"Content-Type": "application/json"}),
        await client.post("/typed", content=b"[" * 100_000, headers={"Content-Type": "application/json"}),
        await client.post("/typed", content=b'{"\\ud800": 1}', headers={"Content-Type": "application/json"}),
    ]

    assert [answer.status_code for answer in answers] == [404, 405, 422, 400, 400, 422]
    assert {answer.headers["content-type"] for answer in answers} == {"application/problem+json"}
    assert [error["field"] for error in answers[2].json()["errors"]] == ["names[0]", "more"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"plain": ""}, "must not be empty"),
        ({"text": ""}, "must not be empty"),
        ({"items": []}, "must not be empty"),
        ({"pair": "a"}, "must have at least 2 characters"),
        ({"plain": "abcd"}, "must have at most 3 characters"),
        ({"text": "abcd"}, "must have at most 3 characters"),
        ({"items": ["a", "b", "c"]}, "must have at most 2 items"),
    ],
)
async def test_what_is_too_short_or_too_long_is_told_alike(
    client: httpx.AsyncClient, body: Json, message: str
) -> None:
    answer = await client.post("/bounded", json=body)

    assert answer.status_code == 422
    assert [error["message"] for error in answer.json()["errors"]] == [message]


async def test_a_wrong_method_is_told_every_right_one(client: httpx.AsyncClient) -> None:
    answer = await client.delete("/typed")

    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_a_body_that_is_no_json_is_told_what_is_wrong_and_where(client: httpx.AsyncClient) -> None:
    answer = await client.post("/typed", content=b'{"names": ', headers={"Content-Type": "application/json"})

    assert answer.status_code == 400
    assert answer.json()["detail"] == "not JSON: Expecting value, at character 10"
    assert "errors" not in answer.json()
