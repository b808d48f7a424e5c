"""Leads that are sealed, and leads that were stored before any were: lists and reports do not tell them apart."""

from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import pytest

from services.pipeline.erasure.sealing_stored import seal_stored
from shared.access import Scope
from shared.db.engine import Database
from shared.events.json import Json
from shared.log.embedded import EmbeddedLog
from shared.sealing import erasures
from shared.sealing.data_keys import Sealing, delete_keys
from shared.sealing.erasures import Erasure
from tests.integration.pipeline.conftest import PipelineHarness
from tests.support.dumps import dump, places
from tests.support.pipeline import LEAD, NOON, OTHER, a_recorded_event, a_score_change, recorded

pytestmark = pytest.mark.postgres

SWEDISH: dict[str, Json] = {"country": "SE", "employees": 50, "company": "Veiled Otter"}
NAMES = ("ann@example.com", "bo@example.com", "Veiled Otter")


@pytest.fixture
async def plain(database_url: str, log: EmbeddedLog) -> AsyncIterator[PipelineHarness]:
    """A pipeline of before: it seals nothing."""
    database = Database(database_url, sealing=Sealing(on=False))
    harness = PipelineHarness(database, log)
    await harness.publish()
    yield harness
    await harness.sender.close()
    await database.close()


async def take_in(pipeline: PipelineHarness, lead: str, email: str) -> None:
    await pipeline.take_in(
        recorded(1, a_recorded_event("demo_requested"), attributes=SWEDISH, lead=lead),
        a_score_change(2, attributes=SWEDISH, lead=lead, email=email),
    )


async def listed(client: httpx.AsyncClient, **query: str | list[str]) -> dict[str, list[str]]:
    """The addresses of the leads that a question finds, by lead."""
    answer = await client.get("/v1/leads", params=query)
    assert answer.status_code == 200, answer.text
    return {lead["id"]: lead["emails"] for lead in answer.json()["leads"]}


async def by_country(client: httpx.AsyncClient) -> list[tuple[str | None, int]]:
    answer = await client.get("/v1/reports/sources", params={"by": "attributes.country"})
    assert answer.status_code == 200, answer.text
    return [(group["group"], group["leads"]) for group in answer.json()["touches"][0]["groups"]]


async def test_leads_of_before_are_found_beside_sealed_ones_until_they_are_sealed_too(
    plain: PipelineHarness, unpublished: PipelineHarness, database_url: str
) -> None:
    await take_in(plain, LEAD, "ann@example.com")
    await take_in(unpublished, OTHER, "bo@example.com")
    client = await unpublished.client(Scope.LEADS_READ)
    ann, bo = {LEAD: ["ann@example.com"]}, {OTHER: ["bo@example.com"]}

    async def found() -> list[dict[str, list[str]]]:
        attributes = ["country=SE", "employees=50.0"]
        return [
            await listed(client, email="ann@example.com"),
            await listed(client, email="BO@example.com"),
            await listed(client, attribute=attributes),
            await listed(client, attribute="country=NO"),
        ]

    before = await found()
    sealed = [await seal_stored(unpublished.database), await seal_stored(unpublished.database)]
    after = await found()
    tables = await dump(database_url)

    assert before == after == [ann, bo, ann | bo, {}]
    assert sealed == [1, 0]
    assert await by_country(client) == [("SE", 2)]
    assert places(NAMES, {name: tables[name] for name in ("pipeline.lead", "pipeline.lead_report")}) == []


async def test_without_sealing_leads_are_found_as_ever(plain: PipelineHarness) -> None:
    await take_in(plain, LEAD, "ann@example.com")
    client = await plain.client(Scope.LEADS_READ)

    assert await listed(client, email="ann@example.com", attribute="country=SE") == {LEAD: ["ann@example.com"]}
    assert await by_country(client) == [("SE", 1)]


async def test_an_erased_lead_that_a_backup_has_brought_back_is_no_lead(unpublished: PipelineHarness) -> None:
    await take_in(unpublished, LEAD, "ann@example.com")
    await take_in(unpublished, OTHER, "bo@example.com")
    lead = UUID(LEAD)
    async with unpublished.database.transaction("default") as connection:
        await erasures.begin(connection, Erasure(lead, "default", lead, (lead,), (), NOON, "anna"))
        await delete_keys(connection, "default", [lead])
    restarted = PipelineHarness(Database(unpublished.database.url), unpublished.log)

    async with await restarted.client(Scope.LEADS_READ) as client:
        gone = [(await client.get(f"/v1/leads/{LEAD}{part}")).status_code for part in ("", "/timeline", "/stages")]
        left = [await listed(client), await listed(client, email="ann@example.com")]
        groups = await by_country(client)

    await restarted.sender.close()
    await restarted.database.close()
    assert (gone, left) == ([404] * 3, [{OTHER: ["bo@example.com"]}, {}])
    assert groups == [("SE", 2)]
