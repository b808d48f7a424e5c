"""Real requests of the platforms, where the collection of them is at hand; the repository holds none.

WEBHOOK_CASES in the environment names another folder of the same form.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from services.ingest.domain.times import parse_time
from services.ingest.sources.reading import items, member, members, text
from shared.events.engagement import EngagementEvent
from shared.events.json import Json, parse_json
from tests.support.ingesting import NOON, Ingesting

FOLDER = os.environ.get("WEBHOOK_CASES")  # noqa: TID251  # names test input, configures nothing
CAPTURES = Path(FOLDER) if FOLDER else Path(__file__).parents[4] / "shared" / "webhooks"
KINDS = (
    "calendly",
    "customerio",
    "hubspot",
    "intercom",
    "klaviyo",
    "segment",
    "sendgrid",
    "standardwebhooks",
    "typeform",
)
SKIPPED = {
    "hubspot/v1_contact_creation_published": "version 1 of HubSpot's signature is not taken yet",
    "hubspot/v2_example_body_published": "version 2 of HubSpot's signature is not taken yet",
    "hubspot/v2_get_published": "version 2 of HubSpot's signature is not taken yet",
}
FREE_NAMES = {"cloudevents", "marketo"}
STATUSES = {"emit": "accepted", "ignore": "ignored", "park": "parked"}
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

    @property
    def method(self) -> str:
        return text(self.meta, "request", "method") or "POST"

    @property
    def expected(self) -> Sequence[Json]:
        return items(member(self.meta, "expected", "events"))

    def is_signed(self) -> bool:
        """Whether a signature covers the body; of others a secret in the URL or a header is all there is."""
        return text(self.meta, "verification", "status") != "none"

    def event_names(self) -> dict[str, str]:
        """The mapping of a source whose events have free names, as its owner would have written it."""
        names = ((text(event, "native_type"), text(event, "event_type")) for event in self.expected)
        return {name: kind for name, kind in names if name and kind} if self.kind in FREE_NAMES else {}

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
    await ingest.add_source(capture.kind, [capture.secret], public_url=url, event_names=capture.event_names())
    clock = text(capture.meta, "clock")
    ingest.clock.move_to(parse_time(clock) if clock else NOON)

    answers = [await send(ingest, capture) for _ in range(2)]
    forged = await send(ingest, forgery_of(capture))

    assert forged.status_code == 401 or capture.method == "OPTIONS"
    if member(capture.meta, "expected", "accept") is True:
        assert {answer.status_code // 100 for answer in answers} == {2}
        await check_events(ingest, answers, capture.expected)
    else:
        assert {answer.status_code // 100 for answer in answers} == {4}
        assert await ingest.published() == []


def forgery_of(capture: Capture) -> Capture:
    """What a stranger could send: another body, or the body without the secret that goes with it."""
    if capture.is_signed():
        return replace(capture, body=capture.body[:1] + bytes([capture.body[1] ^ 1]) + capture.body[2:])
    content_type: Json = {"Content-Type": capture.headers().get("Content-Type", "")}
    request: Json = {"method": capture.method, "headers": content_type}
    return replace(capture, meta={"request": request})


async def send(ingest: Ingesting, capture: Capture) -> httpx.Response:
    query = urlsplit(text(capture.meta, "request", "url") or "").query
    path = f"/v1/webhooks/{capture.kind}" + (f"?{query}" if query else "")
    return await ingest.client.request(capture.method, path, content=capture.body, headers=capture.headers())


async def check_events(ingest: Ingesting, answers: Sequence[httpx.Response], expected: Sequence[Json]) -> None:
    if expected:
        wanted_statuses = Counter(STATUSES[text(event, "disposition") or ""] for event in expected)
        for answer in answers:
            assert Counter(item["status"] for item in answer.json()["items"]) == wanted_statuses, answer.text
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
        (event.type == text(expected, "event_type") or has_type_of_ours(event, expected))
        and event.native_type == text(expected, "native_type")
        and is_when_expected(event, text(expected, "occurred_at"))
        and event.lead.email == text(expected, "lead", "email")
        and event.lead.external_ids == members(member(expected, "lead", "external_ids"))
        and has(event.properties, {name: value for name, value in properties if value is not None})
    )


def has_type_of_ours(event: EngagementEvent, expected: Json) -> bool:
    """Events that are only recognised may get types for which the collection has no name."""
    return event.type in TYPES_OF_OURS or text(expected, "event_type") is None


def is_when_expected(event: EngagementEvent, occurred_at: str | None) -> bool:
    """A time that cannot be read is that of receipt, and says so."""
    if occurred_at is None:
        return event.occurred_at == event.received_at and event.properties["occurred_at_assumed"] is True
    return event.occurred_at == parse_time(occurred_at) and "occurred_at_assumed" not in event.properties


def has(properties: Mapping[str, Json], expected: Mapping[str, Json]) -> bool:
    return all(properties.get(name) == value for name, value in expected.items())
