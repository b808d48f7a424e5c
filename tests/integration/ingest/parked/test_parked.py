"""What became no event: kept byte for byte, listed, and tried again once it can be one."""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from services.ingest.domain.outcome import parked as parked_outcome
from services.ingest.domain.parking import Origin, element_parked
from services.ingest.parked.repository import ParkedRepository
from services.ingest.settings import IngestSettings
from shared.access import Scope
from shared.db.engine import Database
from shared.db.reach import ALL_WORKSPACES
from shared.events.json import parse_json
from tests.support.ingesting import NOON, Ingesting, an_item, ingesting, problem_of
from tests.support.waiting import wait_until
from tests.support.webhooks import Signed, as_json, hubspot, segment, typeform

FORM = "application/x-www-form-urlencoded"
SIGNED_UP = {"type": "track", "event": "Signed Up", "messageId": "m-1", "userId": "u-1"}


@pytest.fixture
async def ingest(ingest: Ingesting) -> Ingesting:
    """Ingest, and a client whose key may send events and look after sources."""
    await ingest.allow(Scope.EVENTS_WRITE, Scope.SOURCES_WRITE)
    return ingest


async def parked(ingest: Ingesting, count: int, **query: str) -> list[dict[str, Any]]:
    """The elements that the API lists, once there are `count`."""
    found: list[dict[str, Any]] = []

    async def are_there() -> bool:
        answer = await ingest.client.get("/v1/parked", params=query)
        assert answer.status_code == 200, answer.text
        found[:] = answer.json()["elements"]
        return len(found) >= count

    await wait_until(are_there, f"{count} elements are parked")
    assert len(found) == count
    return found


async def bytes_of(ingest: Ingesting, element: Mapping[str, Any]) -> bytes:
    answer = await ingest.client.get(f"/v1/parked/{element['id']}")
    return base64.b64decode(answer.json()["base64"])


async def send(ingest: Ingesting, signed: Signed) -> None:
    answer = await ingest.client.post(
        f"/v1/webhooks/{signed.kind}", content=signed.body, headers=dict(signed.headers)
    )
    assert answer.status_code == 202, answer.text


async def replay(ingest: Ingesting, **which: object) -> dict[str, Any]:
    answer = await ingest.client.post("/v1/parked/replay", json=which)
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result


async def test_an_unknown_type_is_kept_and_becomes_an_event_once_it_is_mapped(ingest: Ingesting) -> None:
    signed = segment(SIGNED_UP)
    await ingest.add_source("segment", [signed.secret])
    await send(ingest, signed)
    (element,) = await parked(ingest, 1)
    ingest.clock.move_to(NOON.replace(hour=18))
    await ingest.client.patch("/v1/sources/segment", json={"event_names": {"Signed Up": "trial_started"}})

    first = await replay(ingest, source="segment")
    second = await replay(ingest, source="segment")
    by_id = await replay(ingest, ids=[element["id"]])

    assert (element["code"], element["disposition"], element["state"]) == ("unknown_type", "parked", "parked")
    assert await bytes_of(ingest, element) == signed.body
    assert (first["replayed"], first["items"][0]["event_ids"]) == (1, ["m-1"])
    assert (second["replayed"], second["still_parked"]) == (0, 0)
    assert by_id["items"][0]["event_ids"] == ["m-1"]
    (event,) = await ingest.published(1)
    assert (event.id, event.type, event.source, event.received_at) == ("m-1", "trial_started", "segment", NOON)
    assert [one["state"] for one in await parked(ingest, 1)] == ["replayed"]


async def test_what_still_cannot_be_placed_stays_with_the_new_reason(ingest: Ingesting) -> None:
    nobody = segment({name: SIGNED_UP[name] for name in SIGNED_UP if name != "userId"})
    await ingest.add_source("segment", [nobody.secret])
    await send(ingest, nobody)
    (before,) = await parked(ingest, 1)
    await ingest.client.patch("/v1/sources/segment", json={"event_names": {"Signed Up": "trial_started"}})

    result = await replay(ingest, ids=[before["id"]])

    (after,) = await parked(ingest, 1, state="parked")
    assert (result["replayed"], result["still_parked"]) == (0, 1)
    assert (before["code"], before["attempts"]) == ("unknown_type", 0)
    assert (after["code"], after["attempts"]) == ("no_identity", 1)


@pytest.mark.parametrize(
    ("content_type", "before", "between", "after"),
    [
        ("application/json", b"[ ", b" , ", b"\n]"),
        ("application/x-ndjson", b"", b"\n\n", b"\n"),
        ("application/cloudevents-batch+json", b"[", b",", b"]"),
    ],
)
async def test_refused_items_are_kept_byte_for_byte_between_good_ones(
    ingest: Ingesting, content_type: str, before: bytes, between: bytes, after: bytes
) -> None:
    bad: Sequence[bytes] = (b'{"id" :  "bad", "type": 1.50, "x": "\xc3\xa4\\u00e4"}', b'{"a": nothing}', b'"\\u0000"')
    body = before + between.join(bad) + after

    answer = await ingest.client.post("/v1/events", content=body, headers={"Content-Type": content_type})

    kept = [await bytes_of(ingest, element) for element in await parked(ingest, 3, source="api")]
    assert answer.status_code == 422
    assert sorted(kept) == sorted(bad)


async def test_the_same_element_is_kept_once_however_often_it_comes(ingest: Ingesting) -> None:
    for _ in range(3):
        await ingest.client.post("/v1/events", json=[an_item(type="Not Snake"), an_item()])

    (element,) = await parked(ingest, 1)
    await ingest.client.post("/v1/events", json=an_item(id="other", type="Not Snake"))
    assert (element["code"], element["field"], element["element_id"]) == ("invalid_type", "type", "e-1")
    assert len(await parked(ingest, 2)) == 2


async def test_a_refused_item_that_the_limits_let_in_later_keeps_its_time_of_receipt(database: Database) -> None:
    async with ingesting(database, IngestSettings(json_string_length=5)) as strict:
        await strict.allow(Scope.EVENTS_WRITE)
        await strict.client.post("/v1/events", json=an_item(properties={"path": "/pricing"}, occurred_at=None))
    async with ingesting(database) as relaxed:
        await relaxed.allow(Scope.SOURCES_WRITE)
        await parked(relaxed, 1)
        relaxed.clock.move_to(NOON.replace(hour=20))

        result = await replay(relaxed, source="api")

        (event,) = await relaxed.published(1)
    assert result["replayed"] == 1
    assert (event.id, event.received_at, event.occurred_at) == ("e-1", NOON, NOON)


async def test_nobody_keeps_what_is_not_verified(ingest: Ingesting) -> None:
    signed = segment(SIGNED_UP)
    await ingest.add_source("segment", [signed.secret])

    forged = await ingest.client.post("/v1/webhooks/segment", content=signed.body, headers={"X-Signature": "00"})
    await ingest.client.post("/v1/events", json=an_item(type="Last"))

    assert forged.status_code == 401
    assert [element["source"] for element in await parked(ingest, 1)] == ["api"]


async def test_a_verified_body_that_is_no_json_is_kept_whole(ingest: Ingesting) -> None:
    signed = typeform({})
    await ingest.add_source("typeform", [signed.secret])
    broken = typeform_bytes(b'{"event_id": "\xff"')

    answer = await ingest.client.post(
        "/v1/webhooks/typeform", content=broken.body, headers={**broken.headers, "Authorization": "Basic c2VjcmV0"}
    )

    (element,) = await parked(ingest, 1)
    shown = (await ingest.client.get(f"/v1/parked/{element['id']}")).json()
    result = await replay(ingest, ids=[element["id"]])
    assert answer.status_code == 400
    assert (element["form"], element["disposition"], element["code"]) == ("body", "refused", "not_json")
    assert base64.b64decode(shown["base64"]) == broken.body
    assert shown["text"] is None
    assert "c2VjcmV0" not in str(shown)
    assert result["items"][0]["code"] == "not_json"


def typeform_bytes(body: bytes) -> Signed:
    """A Typeform webhook of any bytes."""

    signed = typeform({})
    digest = base64.b64encode(hmac.digest(signed.secret.encode(), body, hashlib.sha256)).decode()
    return Signed("typeform", body, {"Typeform-Signature": f"sha256={digest}"}, signed.secret)


async def test_of_what_is_too_large_the_beginning_is_kept_and_it_is_not_tried_again(database: Database) -> None:
    async with ingesting(database, IngestSettings(max_parked_bytes=1024)) as ingest:
        await ingest.allow(Scope.EVENTS_WRITE, Scope.SOURCES_WRITE)
        item = an_item(type="Not Snake", properties={"text": "x" * 2000})
        exact = an_item(type="Not Snake", properties={"text": ""})
        exact["properties"] = {"text": "y" * (1024 - len(as_json(exact)))}
        for body in (as_json(item), as_json(exact)):
            await ingest.client.post("/v1/events", content=body, headers={"Content-Type": "application/json"})
        found = {element["size_bytes"]: element for element in await parked(ingest, 2)}

        result = await replay(ingest, source="api")

        codes = {tried["id"]: tried["code"] for tried in result["items"]}
        assert sorted(found) == [1024, len(as_json(item))]
        assert await bytes_of(ingest, found[len(as_json(item))]) == as_json(item)[:1024]
        assert codes[found[1024]["id"]] == "invalid_type"
        assert codes[found[len(as_json(item))]["id"]] == "not_kept_in_full"


async def test_elements_are_listed_newest_first_in_pages_and_by_what_is_asked(ingest: Ingesting) -> None:
    signed = segment([SIGNED_UP, SIGNED_UP | {"messageId": "m-2"}])
    await ingest.add_source("segment", [signed.secret])
    await send(ingest, signed)
    ingest.clock.move_to(NOON.replace(hour=13))
    await ingest.client.post("/v1/events", json=[an_item(type="Not Snake", id=str(number)) for number in range(3)])
    await parked(ingest, 5)

    pages, cursor = [], None
    while True:
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await ingest.client.get("/v1/parked", params=query)).json()
        pages.append([element["id"] for element in page["elements"]])
        cursor = page["next_cursor"]
        if cursor is None:
            break

    everything = await parked(ingest, 5)
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [one for page in pages for one in page] == [element["id"] for element in everything]
    assert [element["source"] for element in everything] == ["api"] * 3 + ["segment"] * 2
    assert len(await parked(ingest, 2, source="segment", code="unknown_type", state="parked")) == 2
    assert await parked(ingest, 0, source="segment", state="replayed") == []


async def test_another_workspace_sees_and_replays_nothing_of_it(ingest: Ingesting) -> None:
    await ingest.client.post("/v1/events", json=an_item(type="Not Snake"))
    (element,) = await parked(ingest, 1)
    await ingest.allow(Scope.SOURCES_WRITE, workspace="other")

    shown = await ingest.client.get(f"/v1/parked/{element['id']}")
    tried = await ingest.client.post("/v1/parked/replay", json={"ids": [element["id"]]})
    settled = await ingest.client.post("/v1/parked/settle", json={"ids": [element["id"]], "state": "discarded"})

    assert await parked(ingest, 0) == []
    assert (shown.status_code, tried.status_code, settled.json()) == (404, 404, {"ids": []})


async def test_what_is_settled_is_tried_no_more(ingest: Ingesting) -> None:
    await ingest.client.post("/v1/events", json=[an_item(type="Not Snake"), an_item(type="Nor This")])
    first, second = await parked(ingest, 2)

    settled = await ingest.client.post("/v1/parked/settle", json={"ids": [first["id"]], "state": "discarded"})

    result = await replay(ingest, source="api")
    assert settled.json() == {"ids": [first["id"]]}
    assert [tried["id"] for tried in result["items"]] == [second["id"]]


@pytest.mark.parametrize("path", ["/v1/parked?cursor=zzz", "/v1/parked?source=%00", "/v1/parked?state=lost"])
async def test_a_question_that_cannot_be_answered_is_refused(ingest: Ingesting, path: str) -> None:
    answer = await ingest.client.get(path)

    assert answer.status_code == 422
    problem_of(answer)


async def test_an_element_of_a_source_that_is_gone_waits_on(ingest: Ingesting) -> None:
    signed = segment(SIGNED_UP)
    await ingest.add_source("segment", [signed.secret])
    await send(ingest, signed)
    await parked(ingest, 1)
    async with ingest.database.transaction(ALL_WORKSPACES) as connection:
        await connection.exec_driver_sql("DELETE FROM ingest.source")

    result = await replay(ingest, source="segment")

    assert [tried["code"] for tried in result["items"]] == ["no_source"]


async def test_more_than_a_page_is_replayed_by_going_on(ingest: Ingesting) -> None:
    calls = [SIGNED_UP | {"messageId": f"m-{number}"} for number in range(250)]
    signed = segment(calls)
    await ingest.add_source("segment", [signed.secret])
    await send(ingest, signed)

    async def all_are_there() -> bool:
        async with ingest.database.transaction(ALL_WORKSPACES) as connection:
            found = await connection.exec_driver_sql("SELECT count(*) FROM ingest.parked")
            return bool(found.scalar_one() == 250)

    await wait_until(all_are_there, "all are parked")
    await ingest.client.patch("/v1/sources/segment", json={"event_names": {"Signed Up": "trial_started"}})

    first = await replay(ingest, source="segment")
    second = await replay(ingest, source="segment", cursor=first["next_cursor"])

    assert (first["replayed"], second["replayed"], second["next_cursor"]) == (200, 50, None)
    assert len({event.id for event in await ingest.published(250)}) == 250


async def test_an_element_of_hubspot_without_a_contact_is_kept_with_its_neighbours_published(
    ingest: Ingesting,
) -> None:
    contact = {"eventId": 1, "subscriptionType": "contact.creation", "objectId": 7, "portalId": 3}
    deal = {"eventId": 2, "subscriptionType": "deal.creation", "objectId": 8, "portalId": 3}
    signed = hubspot([contact, deal], NOON)
    await ingest.add_source("hubspot", [signed.secret], public_url=signed.public_url)

    await send(ingest, signed)

    (element,) = await parked(ingest, 1)
    assert parse_json(await bytes_of(ingest, element)) == deal
    assert len(await ingest.published(1)) == 1


async def test_an_element_is_kept_for_so_many_days_and_no_longer(database: Database) -> None:
    repository = ParkedRepository(database)
    async with ingesting(database) as ingest:
        await ingest.allow(Scope.EVENTS_WRITE, Scope.SOURCES_WRITE)
        for day in range(3):
            ingest.clock.move_to(NOON + timedelta(days=day))
            await ingest.client.post("/v1/events", json=an_item(type="Not Snake", id=str(day)))
        await parked(ingest, 3)

        first = await repository.forget(before=NOON + timedelta(days=2), limit=1)
        rest = await repository.forget(before=NOON + timedelta(days=2), limit=10)

        assert (first, rest) == (1, 1)
        assert [element["element_id"] for element in await parked(ingest, 1)] == ["2"]

    async with ingesting(database, IngestSettings(parked_days=1)) as later:
        # Its clock says the day of the first one, and what it does at its start leaves the newer one.
        await later.allow(Scope.SOURCES_WRITE)
        assert len(await parked(later, 1)) == 1


async def test_an_element_that_turns_out_to_need_no_event_is_resolved(ingest: Ingesting) -> None:
    campaign = b"type=campaign&fired_at=2026-03-02+12:00:00&data[id]=1&data[subject]=x"
    await ingest.add_source("mailchimp", ["a token of ours"])
    message = element_parked(
        parked_outcome("unknown_type", "not known yet"),
        campaign,
        Origin("default", "mailchimp", "mailchimp", "body", NOON, {"content-type": FORM}),
        most_bytes=1000,
    )
    await ParkedRepository(ingest.database).store([message])

    first = await replay(ingest, ids=[message.id])
    second = await replay(ingest, ids=[message.id])

    (element,) = await parked(ingest, 1)
    assert (first["replayed"], second["replayed"]) == (1, 1)
    assert (element["state"], element["event_ids"]) == ("resolved", [])
