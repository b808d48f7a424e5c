"""Real requests of the platforms, where the collection of them is at hand; the repository holds none.

WEBHOOK_CASES in the environment names another folder of the same form.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from services.ingest.domain.identity import normalise_email
from services.ingest.domain.times import parse_time
from services.ingest.kinds.kind import Delivery, NotVerified
from services.ingest.kinds.reading import items, member, members, text
from services.ingest.kinds.registry import KINDS as KINDS_BY_NAME
from shared.events.engagement import EngagementEvent
from shared.events.json import Json, parse_json
from tests.support.deliveries import a_source
from tests.support.ingesting import NOON, Ingesting

FOLDER = os.environ.get("WEBHOOK_CASES")  # noqa: TID251  # names test input, configures nothing
CAPTURES = Path(FOLDER) if FOLDER else Path(__file__).parents[4] / "shared" / "webhooks"
KINDS = (
    "activecampaign",
    "brevo",
    "calendly",
    "cloudevents",
    "customerio",
    "hubspot",
    "intercom",
    "klaviyo",
    "mailchimp",
    "mailgun",
    "mandrill",
    "mautic",
    "postmark",
    "segment",
    "sendgrid",
    "standardwebhooks",
    "typeform",
)
URL_SIGNED = {"hubspot", "mandrill"}
LOOKS = {"GET", "HEAD"}
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
        told = filter(None, (text(self.meta, "verification", name) for name in names))
        return next(told, "a secret that nothing is signed with")

    @property
    def method(self) -> str:
        return text(self.meta, "request", "method") or "POST"

    @property
    def expected(self) -> Sequence[Json]:
        return items(member(self.meta, "expected", "events"))

    @property
    def public_url(self) -> str | None:
        """The URL that the source is told it has, where the signature covers it."""
        signed_url = text(self.meta, "verification", "signed_url") or text(self.meta, "request", "url")
        return signed_url if self.kind in URL_SIGNED else None

    @property
    def tolerance_seconds(self) -> int | None:
        """How old a time stamp may be, where a source may choose."""
        told = member(self.meta, "verification", "tolerance_s") if self.kind == "mailgun" else None
        return told if isinstance(told, int) else None

    def source_options(self) -> dict[str, object]:
        return {
            "public_url": self.public_url,
            "event_names": self.event_names(),
            "tolerance_seconds": self.tolerance_seconds,
        }

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
    await ingest.add_source(capture.kind, [capture.secret], **capture.source_options())
    clock = text(capture.meta, "clock")
    ingest.clock.move_to(parse_time(clock) if clock else NOON)

    answers = [await send(ingest, capture) for _ in range(2)]
    forged = await send(ingest, forgery_of(capture))

    assert forged.status_code == 401 or capture.method in {*LOOKS, "OPTIONS"}
    if member(capture.meta, "expected", "accept") is True:
        assert {answer.status_code // 100 for answer in answers} == {2}
        await check_events(ingest, answers, capture.expected)
    elif member(capture.meta, "expected", "accept") is None:
        assert 401 not in {answer.status_code for answer in answers}
        assert await ingest.published() == []
    else:
        assert {answer.status_code // 100 for answer in answers} == {4}
        assert await ingest.published() == []


@pytest.mark.parametrize("capture", captures(), ids=lambda capture: capture.name)
def test_the_signature_of_a_captured_request_is_judged_as_it_should_be(capture: Capture) -> None:
    """Also that of a GET, which over HTTP is a look and no more; a handshake proves nothing."""
    judged = text(capture.meta, "verification", "expect")
    if judged not in {"valid", "invalid", "stale", "missing"} or capture.method == "OPTIONS":
        return
    clock = text(capture.meta, "clock")
    delivery = Delivery(
        capture.method,
        {name.lower(): value for name, value in capture.headers().items()},
        capture.body,
        parse_time(clock) if clock else NOON,
        urlsplit(text(capture.meta, "request", "url") or "").query,
    )
    source = a_source(
        capture.kind,
        capture.secret,
        public_url=capture.public_url,
        tolerance_seconds=capture.tolerance_seconds,
    )

    if judged == "valid":
        KINDS_BY_NAME[capture.kind].verify(delivery, source)
    else:
        with pytest.raises(NotVerified):
            KINDS_BY_NAME[capture.kind].verify(delivery, source)


def forgery_of(capture: Capture) -> Capture:
    """What a stranger could send: another body, or the body without the secret that goes with it."""
    if not capture.body:
        return capture
    if capture.kind == "mailgun":
        # What is signed is the token alone, in whatever form it comes.
        return replace(capture, body=re.sub(rb"(token.{1,3}[\w-]{3})[\w-]", rb"\1_", capture.body))
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
    told = list(said_by(expected))
    if expected:
        wanted_statuses = Counter(STATUSES[text(event, "disposition") or ""] for event in told)
        for answer in answers:
            assert Counter(item["status"] for item in answer.json()["items"]) == wanted_statuses, answer.text
    events = [event for event in told if text(event, "disposition") in {"emit", "ignore"} and about_a_lead(event)]
    wanted = without_duplicates(events)
    published = await ingest.published(2 * len(events))
    left = list({event.id: event for event in published}.values())
    assert len(published) == 2 * len(events)
    assert len(left) == len(wanted)
    for event in wanted:
        match = next((one for one in left if is_as_expected(one, event)), None)
        assert match, (event, left)
        left.remove(match)


def said_by(expected: Sequence[Json]) -> Iterator[Json]:
    """The events of elements; one that is `also` something says two things."""
    for event in expected:
        yield event
        also = text(event, "attributes", "also")
        if also is not None:
            yield {**members(event), "event_type": also, "attributes": {}}


def about_a_lead(event: Json) -> bool:
    return member(event, "lead") is not None


def without_duplicates(events: Sequence[Json]) -> list[Json]:
    """The collection says by `dedup` which events are one."""
    return list({str((member(event, "dedup"), text(event, "event_type"))): event for event in events}.values())


def is_as_expected(event: EngagementEvent, expected: Json) -> bool:
    properties = members(member(expected, "attributes")).items()
    return (
        (event.type == text(expected, "event_type") or has_type_of_ours(event, expected))
        and event.native_type == text(expected, "native_type")
        and is_when_expected(event, text(expected, "occurred_at"))
        and event.lead.email == normalise_email(text(expected, "lead", "email") or "")
        and has_ids_expected(event, members(member(expected, "lead")))
        and event.lead.anonymous_id == text(expected, "lead", "anonymous_id")
        and has(event.properties, {name: value for name, value in properties if value is not None})
    )


def has_ids_expected(event: EngagementEvent, lead: Mapping[str, Json]) -> bool:
    """Mailchimp sends a member's id with every call, and the collection names it for some of them."""
    if event.source == "mailchimp" and "external_ids" not in lead:
        return True
    return event.lead.external_ids == members(lead.get("external_ids"))


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
