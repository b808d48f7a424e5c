"""Every limit at its figure, and one beyond."""

import gzip
import zlib
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from services.ingest.settings import IngestSettings
from shared.access import Scope
from shared.db.engine import Database
from tests.support.ingesting import NOON, Ingesting, an_item, ingesting, problem_of
from tests.support.webhooks import as_json, examples, segment

TYPEFORM = examples(NOON)["typeform"]
LIMITS = IngestSettings(
    max_body_bytes=4_000,
    max_events=5,
    max_webhook_elements=6,
    max_event_bytes=2_000,
    json_depth=6,
    json_keys=7,
    json_items=8,
    json_string_length=900,
    key_requests_per_second=2,
    key_burst_requests=20,
    source_requests_per_second=0.5,
    source_burst_requests=2,
)
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def ingest(database: Database) -> AsyncIterator[Ingesting]:
    """Ingest with limits that are quickly reached."""
    async with ingesting(database, LIMITS) as running:
        await running.allow(Scope.EVENTS_WRITE)
        yield running


def nested(depth: int) -> object:
    value: object = "leaf"
    for _ in range(depth):
        value = {"in": value}
    return value


# Depth counts the event itself and its properties.
VALUES = {
    "depth": (nested(4), nested(5)),
    "keys": ({f"k{n}": 1 for n in range(7)}, {f"k{n}": 1 for n in range(8)}),
    "items": (list(range(8)), list(range(9))),
    "text": ("x" * 900, "x" * 901),
    "key": ({"k" * 900: 1}, {"k" * 901: 1}),
    "integer": (2**63 - 1, 2**63),
}


@pytest.mark.parametrize("name", VALUES)
async def test_a_value_within_an_event(ingest: Ingesting, name: str) -> None:
    at_limit, beyond = VALUES[name]

    taken = await ingest.client.post("/v1/events", json=an_item(properties={"value": at_limit}))
    refused = await ingest.client.post("/v1/events", json=an_item(properties={"value": beyond}))

    assert taken.status_code == 202, taken.text
    assert refused.status_code == 422
    assert refused.json()["items"][0]["error"]["field"].startswith("properties.value")


def body_of(size_bytes: int) -> bytes:
    body = as_json(an_item())
    return body + b" " * (size_bytes - len(body))


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zlib.compress], ids=["plain", "gzip", "deflate"])
async def test_the_bytes_of_a_body_however_they_come(ingest: Ingesting, pack: object) -> None:
    assert callable(pack)
    names = {bytes: "identity", gzip.compress: "gzip", zlib.compress: "deflate"}
    headers = JSON | {"Content-Encoding": names[pack]}

    taken = await ingest.client.post("/v1/events", content=pack(body_of(4_000)), headers=headers)
    refused = await ingest.client.post("/v1/events", content=pack(body_of(4_001)), headers=headers)

    assert taken.status_code == 202, taken.text
    assert (refused.status_code, problem_of(refused)["code"]) == (413, "too_large")


async def test_the_events_of_a_request(ingest: Ingesting) -> None:
    items = [an_item(id=str(number)) for number in range(6)]

    taken = await ingest.client.post("/v1/events", json=items[:5])
    refused = await ingest.client.post("/v1/events", json=items)

    assert taken.status_code == 202
    assert (refused.status_code, problem_of(refused)["code"]) == (413, "too_many_items")


async def test_the_elements_of_a_webhook(ingest: Ingesting) -> None:
    calls = [{"type": "page", "userId": "u", "messageId": str(number)} for number in range(7)]
    signed = segment(calls)
    await ingest.add_source("segment", [signed.secret])

    for count, status in ((6, 202), (7, 413)):
        answer = await ingest.client.post(
            "/v1/webhooks/segment", content=as_json(calls[:count]), headers=dict(signed.headers)
        )
        assert answer.status_code == status


async def test_the_bytes_of_an_event_as_the_log_keeps_it(ingest: Ingesting) -> None:
    taken = await ingest.client.post("/v1/events", json=an_item(properties={"a": "x" * 900}))
    (record,) = await ingest.records(1)
    room = 2_000 - len(record.value)
    room -= len(',"b":""')
    answers = [
        await ingest.client.post("/v1/events", json=an_item(properties={"a": "x" * 900, "b": "x" * length}))
        for length in (room, room + 1)
    ]

    assert [answer.status_code for answer in (taken, *answers)] == [202, 202, 422]
    assert answers[-1].json()["items"][0]["error"]["code"] == "event_too_large"


async def test_the_requests_of_a_key_which_goes_on_when_it_was_told_to(ingest: Ingesting) -> None:
    for _ in range(20):
        assert (await ingest.client.post("/v1/events", json=an_item())).status_code == 202

    refused = await ingest.client.post("/v1/events", json=an_item())
    other = await ingest.client.post(
        "/v1/events", json=an_item(), headers={"X-API-Key": "", "Authorization": f"Bearer {await another(ingest)}"}
    )
    ingest.clock.advance(timedelta(seconds=int(refused.headers["Retry-After"])))
    later = await ingest.client.post("/v1/events", json=an_item())

    assert (refused.status_code, problem_of(refused)["code"]) == (429, "rate_limited")
    assert refused.headers["Retry-After"] == "1"
    assert (other.status_code, later.status_code) == (202, 202)


async def another(ingest: Ingesting) -> str:
    return await ingest.key(Scope.EVENTS_WRITE)


async def test_the_webhooks_of_a_source_of_which_forged_ones_use_up_nothing(ingest: Ingesting) -> None:
    await ingest.add_source("typeform", [TYPEFORM.secret])
    for _ in range(5):
        assert (await ingest.client.post("/v1/webhooks/typeform", content=TYPEFORM.body)).status_code == 401

    answers = [
        await ingest.client.post("/v1/webhooks/typeform", content=TYPEFORM.body, headers=dict(TYPEFORM.headers))
        for _ in range(3)
    ]
    ingest.clock.advance(timedelta(seconds=2))
    later = await ingest.client.post("/v1/webhooks/typeform", content=TYPEFORM.body, headers=dict(TYPEFORM.headers))

    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert answers[-1].headers["Retry-After"] == "2"
    assert later.status_code == 202


async def test_a_platform_that_comes_again_only_after_5xx_gets_a_503(ingest: Ingesting) -> None:
    signed = segment({"type": "page", "userId": "u"})
    await ingest.add_source("segment", [signed.secret])

    answers = [
        await ingest.client.post("/v1/webhooks/segment", content=signed.body, headers=dict(signed.headers))
        for _ in range(3)
    ]

    assert [answer.status_code for answer in answers] == [202, 202, 503]
    assert problem_of(answers[-1])["code"] == "not_accepted"


async def test_a_compressed_webhook_is_verified_as_it_was_signed(ingest: Ingesting) -> None:
    await ingest.add_source("typeform", [TYPEFORM.secret])
    headers = dict(TYPEFORM.headers) | {"Content-Encoding": "gzip"}

    answer = await ingest.client.post("/v1/webhooks/typeform", content=gzip.compress(TYPEFORM.body), headers=headers)

    assert answer.status_code == 202
