"""Real requests of the six platforms, where the collection of them is at hand; the repository holds none."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from services.ingest.domain.times import parse_time
from services.ingest.sources.reading import items, member, members, text
from shared.events.engagement import EngagementEvent
from shared.events.json import Json, parse_json
from tests.support.ingesting import NOON, Ingesting

CAPTURES = Path(__file__).parents[4] / "shared" / "webhooks"
KINDS = ("calendly", "hubspot", "segment", "sendgrid", "standardwebhooks", "typeform")
SKIPPED = {
    "hubspot/v1_contact_creation_published": "version 1 of HubSpot's signature is not taken yet",
    "hubspot/v2_example_body_published": "version 2 of HubSpot's signature is not taken yet",
    "hubspot/v2_get_published": "version 2 of HubSpot's signature is not taken yet",
}
# A moved meeting gets types of its own, so that rules on bookings and cancellations cannot count it.
TYPES_OF_OURS = {"meeting_slot_released", "meeting_rescheduled"}


@dataclass(frozen=True, slots=True)
class Capture:
    """A captured request, and what is expected of it."""

    name: str
    meta: Json
    body: bytes

    @property
    def kind(self) -> str:
        return self.name.partition("/")[0]

    @property
    def secret(self) -> str:
        names = ("secret", "public_key_der_base64", "public_key")
        return next(filter(None, (text(self.meta, "verification", name) for name in names)))

    def headers(self) -> dict[str, str]:
        return {name: str(value) for name, value in members(member(self.meta, "request", "headers")).items()}


def captures() -> list[Capture]:
    paths = [path for kind in KINDS for path in sorted((CAPTURES / kind).glob("*.meta.json"))]
    return [read(path) for path in paths]


def read(path: Path) -> Capture:
    meta = parse_json(path.read_bytes())
    name = f"{path.parent.name}/{path.name.removesuffix('.meta.json')}"
    return Capture(name, meta, (path.parent / str(text(meta, "body_file"))).read_bytes())


if not CAPTURES.is_dir():
    pytest.skip("the captures are not beside the repository", allow_module_level=True)


@pytest.mark.parametrize("capture", captures(), ids=lambda capture: capture.name)
async def test_a_captured_request_gives_what_is_expected_of_it(ingest: Ingesting, capture: Capture) -> None:
    if capture.name in SKIPPED:
        pytest.skip(SKIPPED[capture.name])
    url = text(capture.meta, "request", "url") if capture.kind == "hubspot" else None
    await ingest.add_source(capture.kind, [capture.secret], public_url=url)
    clock = text(capture.meta, "clock")
    ingest.clock.move_to(parse_time(clock) if clock else NOON)

    answers = [await send(ingest, capture) for _ in range(2)]
    forged = await send(ingest, Capture(capture.name, capture.meta, flipped(capture.body)))

    assert forged.status_code == 401
    if member(capture.meta, "expected", "accept") is True:
        assert [answer.status_code for answer in answers] == [202, 202]
        await check_events(ingest, items(member(capture.meta, "expected", "events")))
    else:
        assert {answer.status_code // 100 for answer in answers} == {4}
        assert await ingest.published() == []


def flipped(body: bytes) -> bytes:
    return body[:1] + bytes([body[1] ^ 1]) + body[2:]


async def send(ingest: Ingesting, capture: Capture) -> httpx.Response:
    return await ingest.client.post(f"/v1/webhooks/{capture.kind}", content=capture.body, headers=capture.headers())


async def check_events(ingest: Ingesting, expected: object) -> None:
    assert isinstance(expected, list | tuple)
    wanted = [event for event in expected if text(event, "disposition") in {"emit", "ignore"}]
    published = await ingest.published(2 * len(wanted))
    left = list({event.id: event for event in published}.values())
    assert len(published) == 2 * len(left) == 2 * len(wanted)
    for event in wanted:
        match = next((one for one in left if is_as_expected(one, event)), None)
        assert match, (event, left)
        left.remove(match)


def is_as_expected(event: EngagementEvent, expected: Json) -> bool:
    properties = members(member(expected, "attributes")).items()
    return (
        (event.type == text(expected, "event_type") or event.type in TYPES_OF_OURS)
        and event.native_type == text(expected, "native_type")
        and event.occurred_at == parse_time(text(expected, "occurred_at") or "")
        and event.lead.email == text(expected, "lead", "email")
        and event.lead.external_ids == members(member(expected, "lead", "external_ids"))
        and has(event.properties, {name: value for name, value in properties if value is not None})
    )


def has(properties: Mapping[str, Json], expected: Mapping[str, Json]) -> bool:
    return all(properties.get(name) == value for name, value in expected.items())
