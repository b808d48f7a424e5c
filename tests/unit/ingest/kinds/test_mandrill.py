"""What Mandrill's batches mean, and how it signs them with their URL."""

from dataclasses import replace
from urllib.parse import urlencode

import pytest

from services.ingest.kinds import mandrill
from services.ingest.kinds.forms import parse_form
from services.ingest.kinds.kind import Delivery, NotVerified, Source
from shared.errors import InvalidInput
from shared.events.json import Json
from tests.support import webhooks
from tests.support.deliveries import a_delivery, a_source
from tests.support.translations import Meaning, Payload, draft_of, meaning_of


def source() -> Source:
    return a_source("mandrill", webhooks.TEXT_SECRET, public_url=webhooks.MANDRILL_URL)


def event(name: str, **more: Json) -> Payload:
    return {"event": name, "_id": "d1", "ts": 1_772_452_800, "msg": {"email": "ann@example.com"}, **more}


@pytest.mark.parametrize(
    ("element", "meaning"),
    [
        (event("send"), ("ignored", "email_sent")),
        (event("deferral"), ("ignored", "email_deferred")),
        (event("delivered"), ("ignored", "email_delivered")),
        (event("hard_bounce"), ("accepted", "bounced")),
        (event("soft_bounce"), ("accepted", "bounced")),
        (event("open"), ("accepted", "email_opened")),
        (event("click"), ("accepted", "email_clicked")),
        (event("spam"), ("accepted", "spam_complaint")),
        (event("unsub"), ("accepted", "unsubscribed")),
        (event("reject"), ("accepted", "email_dropped")),
        (event("inbound"), ("parked", "unknown_type")),
        ({"type": "blacklist", "action": "add", "reject": {"email": "a@b.de"}}, ("parked", "unknown_type")),
        ({}, ("parked", "unknown_type")),
    ],
)
def test_mandrill(element: Payload, meaning: Meaning) -> None:
    assert meaning_of("mandrill", element) == meaning


def test_changes_of_a_list_can_be_mapped() -> None:
    added: Payload = {"type": "blacklist", "action": "add", "ts": 1, "reject": {"email": "a@b.de"}}

    assert meaning_of("mandrill", added, {"blacklist/add": "email_blocked"}) == ("accepted", "email_blocked")


def test_the_id_of_the_message_is_not_that_of_the_event() -> None:
    events = [event("open"), event("click", url="https://x"), event("click", url="https://y"), event("open", ts=1)]

    assert len({draft_of("mandrill", one).id for one in events}) == len(events)
    assert draft_of("mandrill", event("open")).id == draft_of("mandrill", event("open")).id


def test_a_bounce_says_of_which_class_it_is() -> None:
    hard = event("hard_bounce", msg={"email": "a@b.de", "bounce_description": "bad_mailbox"})

    assert draft_of("mandrill", hard).properties == {
        "message_id": "d1",
        "reason": "bad_mailbox",
        "bounce_class": "hard",
    }
    assert draft_of("mandrill", event("soft_bounce")).properties["bounce_class"] == "soft"


def test_the_json_inside_the_form_is_as_php_escapes_it() -> None:
    events = rb'[{"event":"click","url":"http:\/\/example.com\/gr\u00f6\u00dfe"}]'
    delivery = replace(a_delivery(), body=urlencode({"mandrill_events": events}).encode())

    assert mandrill.read_body(delivery) == events


@pytest.mark.parametrize("body", [b"", b"something=1"])
def test_a_form_without_the_field_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        mandrill.read_body(replace(a_delivery(), body=body))


def test_what_is_signed_is_the_url_and_each_field_by_name() -> None:
    form = parse_form(b"b=2+&a=%C3%A91")

    assert mandrill.signed_text("https://h/?x=1", form) == "https://h/?x=1aé1b2 ".encode()


@pytest.mark.parametrize("url", [webhooks.MANDRILL_URL + "&b=1", webhooks.MANDRILL_URL.replace("https", "http")])
def test_with_another_url_nothing_verifies(url: str) -> None:
    with pytest.raises(NotVerified):
        mandrill.verify(a_delivery(webhooks.mandrill([])), replace(source(), public_url=url))


def the_test(events: object) -> Delivery:
    """The post by which Mandrill tries a URL that it was given, before anybody has its key."""
    return a_delivery(webhooks.mandrill(events, secret="test-webhook"))


def test_the_key_that_everybody_knows_signs_the_empty_array_and_nothing_else() -> None:
    mandrill.verify(the_test([]), source())

    others: tuple[object, ...] = ([{}], {}, [event("click")])
    for events in others:
        with pytest.raises(NotVerified):
            mandrill.verify(the_test(events), source())
