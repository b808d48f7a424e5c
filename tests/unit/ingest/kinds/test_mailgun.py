"""What Mailgun's events mean, and what its signature is worth, which does not cover them."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest

from services.ingest.domain.draft import Draft
from services.ingest.kinds import mailgun
from services.ingest.kinds.kind import Delivery, NotVerified, Source, Translated
from shared.events.json import Json, parse_json
from tests.support import webhooks
from tests.support.deliveries import NOON, a_delivery, a_source
from tests.support.translations import Meaning, Payload, draft_of, meaning_of
from tests.support.webhooks import TEXT_SECRET, as_json

RETRIES_END_AFTER = timedelta(hours=8, minutes=5)


def call(name: str, **more: Json) -> Payload:
    return {"signature": {"token": "t1"}, "event-data": {"event": name, "recipient": "ann@example.com", **more}}


@pytest.mark.parametrize(
    ("element", "meaning"),
    [
        (call("accepted"), ("ignored", "email_sent")),
        (call("delivered"), ("ignored", "email_delivered")),
        (call("opened"), ("accepted", "email_opened")),
        (call("clicked"), ("accepted", "email_clicked")),
        (call("unsubscribed"), ("accepted", "unsubscribed")),
        (call("complained"), ("accepted", "spam_complaint")),
        (call("rejected"), ("accepted", "email_dropped")),
        (call("failed", severity="permanent"), ("accepted", "bounced")),
        (call("failed", severity="temporary"), ("ignored", "email_deferred")),
        (call("failed"), ("parked", "unknown_type")),
        (call("stored"), ("parked", "unknown_type")),
        (call("bounced"), ("accepted", "bounced")),
        (call("dropped"), ("accepted", "email_dropped")),
    ],
)
def test_mailgun(element: Payload, meaning: Meaning) -> None:
    assert meaning_of("mailgun", element) == meaning


def test_a_name_that_the_source_maps_counts_as_it_says() -> None:
    assert meaning_of("mailgun", call("stored"), {"stored": "email_answered"}) == ("accepted", "email_answered")


def test_an_event_without_an_id_has_that_of_its_token() -> None:
    named, nameless = draft_of("mailgun", call("opened", id="e1")), draft_of("mailgun", call("opened"))

    assert named.id == "e1"
    assert nameless.id == draft_of("mailgun", call("opened")).id
    assert nameless.id != draft_of("mailgun", call("opened") | {"signature": {"token": "t2"}}).id


@pytest.mark.parametrize(
    ("to", "email"),
    [("Ann <ann@example.com>", "Ann <ann@example.com>"), ("a@example.com, b@example.com", None), ("", None)],
)
def test_what_was_rejected_names_its_recipient_in_the_message_alone(to: str, email: str | None) -> None:
    rejected = call("rejected", recipient="", message={"headers": {"to": to}})

    assert draft_of("mailgun", rejected).lead.email == email


def test_what_else_is_told_becomes_properties() -> None:
    hyphenated: Payload = {"client-info": {"bot": "apple"}, "user-variables": {"plan": "team"}}
    clicked = call(
        "clicked", url="https://x", tags=["welcome"], message={"headers": {"message-id": "m1"}}, **hyphenated
    )
    by_a_person: Payload = {"client-info": {"bot": ""}}

    assert draft_of("mailgun", clicked).properties == {
        "url": "https://x",
        "message_id": "m1",
        "campaign_tags": ["welcome"],
        "machine": True,
        "custom": {"plan": "team"},
    }
    assert "machine" not in draft_of("mailgun", call("opened", **by_a_person)).properties


def test_a_failure_tells_its_class_and_code() -> None:
    status: Payload = {"delivery-status": {"code": 550}}
    failed = call("failed", severity="permanent", reason="bounce", **status)

    assert draft_of("mailgun", failed).properties == {"reason": "bounce", "code": 550, "bounce_class": "hard"}


def of_form(*fields: tuple[str, str]) -> Draft:
    delivery = replace(a_delivery(), body=urlencode(fields).encode())
    [element] = mailgun.elements(mailgun.read_body(delivery))
    assert isinstance(element, dict)
    found = mailgun.translate(element, delivery, a_source("mailgun"))
    assert isinstance(found, Translated)
    return found.draft


def test_a_form_means_what_the_same_event_does_as_json() -> None:
    draft = of_form(
        ("event", "bounced"),
        ("recipient", "ann@example.com"),
        ("timestamp", "1772452800"),
        ("token", "t1"),
        ("code", "550"),
        ("error", "no such user"),
        ("tag", "a"),
        ("tag", "b"),
        ("plan", "team"),
    )

    assert (draft.id, draft.type, draft.lead.email) == ("t1", "bounced", "ann@example.com")
    assert draft.occurred_at == datetime(2026, 3, 2, 12, tzinfo=UTC)
    assert draft.properties == {
        "reason": "no such user",
        "code": 550,
        "bounce_class": "hard",
        "campaign_tags": ["a", "b"],
        "custom": {"plan": "team"},
    }


def test_variables_of_the_customers_take_no_name_of_mailguns_away() -> None:
    draft = of_form(
        ("event", "clicked"),
        ("event", "a variable"),
        ("recipient", "ann@example.com"),
        ("recipient", "other@example.com"),
        ("token", "a variable"),
        ("token", "t1"),
        ("timestamp", "a variable"),
        ("timestamp", "1772452800"),
    )

    assert (draft.id, draft.type, draft.lead.email) == ("t1", "email_clicked", "ann@example.com")


def sent(event: Payload, *, block_of: Payload | None = None) -> Delivery:
    """`event` with the block that Mailgun signed for it, or for another."""
    block = block_in(block_of or event)
    return replace(a_delivery(), body=as_json({"signature": block, "event-data": event}))


def block_in(event: Payload) -> Json:
    signed = parse_json(webhooks.mailgun(event, NOON).body)
    assert isinstance(signed, dict)
    return signed["signature"]


def source(source_id: str, *, tolerance_seconds: int | None = None) -> Source:
    """A source of a test's own: what was seen is remembered for each."""
    return a_source("mailgun", TEXT_SECRET, source_id=source_id, tolerance_seconds=tolerance_seconds)


def at(delivery: Delivery, after: timedelta) -> Delivery:
    return replace(delivery, received_at=NOON + after)


def test_honest_retries_are_taken_to_their_end() -> None:
    for minutes in (0, 10, 20, 35, 65, 125, 245, 485):
        mailgun.verify(at(sent({"id": "e1"}), timedelta(minutes=minutes)), source("retries"))


def test_a_block_belongs_to_the_first_event_that_came_with_it() -> None:
    mailgun.verify(sent({"id": "e2"}), source("replays"))

    for forged in ({"id": "e3"}, {"event": "clicked"}, {}):
        event: Payload = dict(forged)
        with pytest.raises(NotVerified):
            mailgun.verify(at(sent(event, block_of={"id": "e2"}), RETRIES_END_AFTER), source("replays"))
    mailgun.verify(at(sent({"id": "e2"}), RETRIES_END_AFTER), source("replays"))


def test_without_an_id_the_whole_event_is_what_a_block_belongs_to() -> None:
    first: Payload = {"event": "clicked", "url": "https://x"}
    mailgun.verify(sent(first), source("nameless"))
    mailgun.verify(sent(first), source("nameless"))

    with pytest.raises(NotVerified):
        mailgun.verify(sent({**first, "url": "https://y"}, block_of=first), source("nameless"))


def test_a_block_older_than_the_memory_is_refused() -> None:
    with pytest.raises(NotVerified):
        mailgun.verify(at(sent({"id": "e4"}), timedelta(hours=9, seconds=1)), source("old"))


def test_a_source_may_take_younger_blocks_only() -> None:
    strict = source("strict", tolerance_seconds=120)

    mailgun.verify(at(sent({"id": "e5"}), timedelta(seconds=120)), strict)
    with pytest.raises(NotVerified):
        mailgun.verify(at(sent({"id": "e5"}), timedelta(seconds=121)), strict)


def test_a_subaccounts_call_may_be_vouched_for_by_its_parent_whose_token_is_used_up_too() -> None:
    theirs: Payload = {"timestamp": "1772452800", "token": "t", "signature": "00"}
    event: Payload = {"id": "e6"}
    body = as_json({"signature": theirs, "parent-signature": block_in(event), "event-data": event})
    other = as_json({"parent-signature": block_in(event), "event-data": {"id": "e7"}})

    mailgun.verify(replace(a_delivery(), body=body), source("parents"))
    with pytest.raises(NotVerified):
        mailgun.verify(replace(a_delivery(), body=other), source("parents"))


GOOD_BLOCK = {"timestamp": "1772452800", "token": "t", "signature": "00"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        as_json({"signature": []}),
        as_json({"signature": GOOD_BLOCK}),
        as_json({"signature": {**GOOD_BLOCK, "signature": "é"}}),
        as_json({"signature": {**GOOD_BLOCK, "timestamp": "soon"}}),
        b'{"signature":{"timestamp":"1772452800","token":"\\ud800","signature":"00"}}',
        b"token=a&timestamp=b",
    ],
)
def test_what_is_not_signed_is_refused(body: bytes) -> None:
    with pytest.raises(NotVerified):
        mailgun.verify(replace(a_delivery(), body=body), source("unsigned"))


def test_a_form_is_verified_by_its_last_fields() -> None:
    block = block_in({"id": "e8"})
    assert isinstance(block, Mapping)
    signed = [(name, str(value)) for name, value in block.items()]
    own = [("token", "mine"), ("timestamp", "mine"), ("signature", "mine")]

    mailgun.verify(replace(a_delivery(), body=urlencode([*own, *signed]).encode()), source("forms"))
    with pytest.raises(NotVerified):
        mailgun.verify(replace(a_delivery(), body=urlencode([*signed, *own]).encode()), source("forms"))
