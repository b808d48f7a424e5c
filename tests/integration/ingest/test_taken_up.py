"""Nothing that came in is lost: what is known of somebody by an id alone is taken up when the id is somebody's,
and what became of every element adds up, from the door to the scorer.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.scorer.handlers import Handlers
from services.scorer.models import versions
from services.scorer.service import Scorer
from shared.access import Scope
from shared.db.outbox import Outbox
from shared.db.reach import ALL_WORKSPACES
from shared.events.json import Json
from shared.http.health import Health, health_router
from tests.support.ingesting import NOON, Ingesting, an_item, application
from tests.support.waiting import wait_until
from tests.support.webhooks import Signed, as_json, examples, hubspot, segment, sendgrid

MODEL: Json = {
    "model": "test",
    "scores": {"engagement": {"rules": [{"id": "r", "on": "contact_created", "points": 5}]}},
}
PORTAL = {"portalId": 3, "subscriptionId": 2, "objectId": 4711, "occurredAt": int(NOON.timestamp() * 1000)}
CREATED = PORTAL | {"eventId": 1, "subscriptionType": "contact.creation"}
ADDRESS_LEARNT = PORTAL | {
    "eventId": 2,
    "subscriptionType": "contact.propertyChange",
    "propertyName": "email",
    "propertyValue": "Ann@Example.com",
}


async def send(ingest: Ingesting, signed: Signed) -> int:
    answer = await ingest.client.post(signed.path, content=signed.body, headers=dict(signed.headers))
    return answer.status_code


async def score(ingest: Ingesting, at_least: int) -> None:
    """Let a scorer count everything on the log."""
    scorer = Scorer(ingest.database, Outbox("scorer"), ingest.clock)
    await Handlers(scorer, ingest.log, ingest.clock, ingest.database).handle(await ingest.records(at_least))


async def leads(ingest: Ingesting) -> dict[str, set[str]]:
    """By lead, the ids of its events and of those it absorbed."""
    async with ingest.database.transaction(ALL_WORKSPACES) as connection:
        rows = await connection.exec_driver_sql(
            "SELECT coalesce(lead.merged_into, lead.id) AS lead_id, event_id"
            " FROM scorer.event JOIN scorer.lead ON lead.id = event.lead_id"
        )
        found: dict[str, set[str]] = {}
        for row in rows:
            found.setdefault(str(row.lead_id), set()).add(row.event_id)
    return found


@pytest.mark.parametrize("order", [[CREATED, ADDRESS_LEARNT], [ADDRESS_LEARNT, CREATED]], ids=["id first", "id last"])
async def test_events_of_a_bare_contact_id_are_taken_up_by_the_lead_whose_id_it_turns_out_to_be(
    ingest: Ingesting, order: Sequence[Mapping[str, object]]
) -> None:
    await versions.publish(ingest.database, ingest.clock, "default", MODEL, by="test", reason="test")
    signed = hubspot([order[0]], NOON)
    await ingest.add_source("hubspot", [signed.secret], public_url=signed.public_url)
    await ingest.client.post("/v1/events", json=an_item(id="visit", lead={"email": "ann@example.com"}))
    assert await send(ingest, signed) == 202
    await score(ingest, 2)

    assert await send(ingest, hubspot([order[1]], NOON)) == 202
    await score(ingest, 3)

    (events,) = (await leads(ingest)).values()
    assert len(events) == 3
    assert "visit" in events
    async with ingest.database.transaction(ALL_WORKSPACES) as connection:
        waiting = (await connection.exec_driver_sql("SELECT count(*) FROM ingest.parked")).scalar_one()
    assert waiting == 0


async def test_a_shared_mailbox_joins_nobody_on_the_way_to_the_scorer(ingest: Ingesting) -> None:
    await versions.publish(ingest.database, ingest.clock, "default", MODEL, by="test", reason="test")
    items = [
        an_item(id="1", lead={"email": "info@acme.example", "external_ids": {"crm": "ann"}}),
        an_item(id="2", lead={"email": "info@acme.example", "external_ids": {"crm": "bo"}}),
        an_item(id="3", lead={"email": "info@acme.example"}),
        an_item(id="4", lead={"email": "INFO@acme.example", "anonymous_id": "visitor"}),
        an_item(id="5", lead={"email": "Info <info@acme.example>"}),
    ]
    await ingest.client.post("/v1/events", json=items)

    await score(ingest, 5)

    assert sorted(map(sorted, (await leads(ingest)).values())) == [["1"], ["2"], ["3", "5"], ["4"]]


def page_of_metrics(text: str, name: str) -> Counter[tuple[str, ...]]:
    """The samples of a counter by the values of its labels."""
    return Counter(
        {
            tuple(sample.labels[label] for label in sorted(sample.labels, reverse=True)): int(sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        }
    )


async def test_what_became_of_every_element_adds_up_to_what_came_in(ingest: Ingesting) -> None:
    await versions.publish(ingest.database, ingest.clock, "default", MODEL, by="test", reason="test")
    await ingest.allow(Scope.EVENTS_WRITE, Scope.SOURCES_WRITE)
    calls = [
        {"type": "page", "userId": "u", "messageId": "m-1"},
        {"type": "page", "userId": "u", "messageId": "m-1"},
        {"type": "identify", "userId": "u", "messageId": "m-2"},
        {"type": "track", "event": "A B", "userId": "u", "messageId": "m-3"},
        {"type": "page", "messageId": "m-4"},
        {"type": "page", "userId": "u", "messageId": "x" * 600},
        17,
    ]
    mails = [{"email": "ann@example.com", "event": "open", "sg_event_id": f"s{n}"} for n in range(3)]
    sent = [segment(calls), sendgrid(mails, NOON), examples(NOON)["typeform"]]
    for signed in sent:
        await ingest.add_source(signed.kind, [signed.secret], **signed.source_options())
    metrics = application(ingest.service, health_router(Health([ingest.service])))

    async def pages() -> tuple[Counter[tuple[str, ...]], Counter[tuple[str, ...]]]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(metrics), base_url="http://test") as client:
            text = (await client.get("/metrics")).text
        events = page_of_metrics(text, "leadflow_ingest_events_total")
        return events, page_of_metrics(text, "leadflow_scoring_events_total")

    before, scored_before = await pages()
    for _ in range(2):
        for signed in sent:
            await send(ingest, signed)
    items = [an_item(), an_item(), an_item(id="2", type="No"), an_item(id="3", lead={})]
    await ingest.client.post("/v1/events", json=items)
    await ingest.client.post("/v1/events", content=as_json(items), headers={"Content-Type": "text/json"})
    await ingest.client.post("/v1/webhooks/typeform", content=b"{}")
    await score(ingest, 1)
    after, scored_after = await pages()

    by_source: dict[str, Counter[str]] = {}
    for (source, outcome), number in (after - before).items():
        by_source.setdefault(source, Counter())[outcome] = number
    assert by_source["segment"].total() == 2 * len(calls)
    assert by_source["segment"] == {"accepted": 4, "ignored": 2, "parked": 4, "invalid": 4}
    assert by_source["sendgrid"] == {"accepted": 6}
    assert by_source["typeform"] == {"accepted": 2, "unauthorized": 1}
    assert by_source["api"] == {"accepted": 2, "invalid": 2 + 1}
    published = sum(fates[fate] for fates in by_source.values() for fate in ("accepted", "ignored"))
    counted = {outcome[0]: number for outcome, number in (scored_after - scored_before).items()}
    assert sum(counted.values()) == published
    assert counted == {"scored": 1 + 1 + 3 + 1 + 1, "duplicate": published - 7}

    async def all_are_kept() -> bool:
        listed = (await ingest.client.get("/v1/parked")).json()["elements"]
        return Counter(one["source"] for one in listed) == {"segment": 4, "api": 2}

    await wait_until(all_are_kept, "each unplaced element is kept once")
