"""Many senders at once, and what can be seen of it."""

import asyncio

import httpx
from prometheus_client import REGISTRY

from services.ingest.metrics import Fate
from services.ingest.settings import IngestSettings
from shared.access import Scope
from shared.db.engine import Database
from shared.db.reach import ALL_WORKSPACES
from tests.support.ingesting import NOON, Ingesting, an_item, ingesting, problem_of
from tests.support.webhooks import examples, segment


def counted(source: str) -> dict[str, float]:
    """How often each fate has been counted so far."""
    name = "leadflow_ingest_events_total"
    found = {fate: REGISTRY.get_sample_value(name, {"source": source, "outcome": fate}) for fate in Fate}
    assert None not in found.values(), "every label starts at 0"
    return {fate.value: value or 0 for fate, value in found.items()}


def difference(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {fate: after[fate] - before[fate] for fate in after if after[fate] != before[fate]}


async def post(ingest: Ingesting, item_id: str) -> httpx.Response:
    return await ingest.client.post("/v1/events", json=an_item(id=item_id))


async def test_requests_at_the_same_time_are_all_on_the_log(ingest: Ingesting) -> None:
    ids = [f"e-{number}" for number in range(100)]

    answers = await asyncio.gather(*(post(ingest, item_id) for item_id in ids))

    assert {answer.status_code for answer in answers} == {202}
    assert sorted(event.id for event in await ingest.published(100)) == sorted(ids)


async def test_beyond_what_may_wait_senders_are_told_to_come_again(database: Database) -> None:
    async with ingesting(database, IngestSettings(max_waiting_events=2)) as ingest:
        await ingest.allow(Scope.EVENTS_WRITE)

        answers = await asyncio.gather(*(post(ingest, f"e-{number}") for number in range(30)))

        taken = [answer for answer in answers if answer.status_code == 202]
        turned_away = [answer for answer in answers if answer.status_code == 503]
        assert len(taken) + len(turned_away) == 30
        assert taken
        assert turned_away
        assert {problem_of(answer)["code"] for answer in turned_away} == {"not_accepted"}
        assert len(await ingest.published(len(taken))) == len(taken)


async def test_what_came_in_over_the_api_is_counted_by_its_fate(ingest: Ingesting) -> None:
    before = counted("api")

    await ingest.client.post("/v1/events", json=[an_item(), an_item(id="e-2", type=1), an_item(id="e-3")])
    await ingest.client.post("/v1/events", content=b"{", headers={"Content-Type": "application/json"})
    await ingest.client.post("/v1/events", json=[an_item(id=str(number)) for number in range(1001)])

    assert difference(before, counted("api")) == {"accepted": 2, "invalid": 2, "too_large": 1}


async def test_the_elements_of_a_webhook_are_counted_under_the_kind_of_its_source(ingest: Ingesting) -> None:
    calls = [
        {"type": "page", "userId": "u"},
        {"type": "identify", "userId": "u"},
        {"type": "track", "event": "A B"},
        7,
    ]
    signed = segment(calls)
    await ingest.add_source("segment", [signed.secret], id="acme-web")
    before = counted("segment")

    for headers in (dict(signed.headers), {}):
        await ingest.client.post("/v1/webhooks/acme-web", content=signed.body, headers=headers)

    assert difference(before, counted("segment")) == {
        "accepted": 1,
        "ignored": 1,
        "parked": 1,
        "invalid": 1,
        "unauthorized": 1,
    }


async def test_a_webhook_costs_no_query_beyond_that_of_the_log(ingest: Ingesting) -> None:
    signed = examples(NOON)["typeform"]
    await ingest.add_source("typeform", [signed.secret])
    async with ingest.database.transaction(ALL_WORKSPACES) as connection:
        # Nobody else can read either table now; the webhook does not need to.
        await connection.exec_driver_sql("LOCK TABLE ingest.source, access.api_key IN ACCESS EXCLUSIVE MODE")
        async with asyncio.timeout(5):
            answer = await ingest.client.post(
                "/v1/webhooks/typeform", content=signed.body, headers=dict(signed.headers)
            )
        event = await post(ingest, "e-1")

    assert (answer.status_code, event.status_code) == (202, 202)
