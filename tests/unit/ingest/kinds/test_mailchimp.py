"""What Mailchimp's audience webhooks mean."""

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from services.ingest.kinds import mailchimp
from services.ingest.kinds.kind import Recognised
from shared.events.json import Json
from tests.support.deliveries import a_delivery, a_source
from tests.support.translations import Meaning, Payload, draft_of, drafts, meaning_of, translations
from tests.support.webhooks import as_form
from tests.support.webhooks import mailchimp as signed

FIRED_AT = "2026-03-02 12:00:00"


def call(kind: str, **data: Json) -> Payload:
    return {
        "type": kind,
        "fired_at": FIRED_AT,
        "data": {"list_id": "L1", "email": "ann@example.com", "id": "m1", **data},
    }


@pytest.mark.parametrize(
    ("element", "meaning"),
    [
        (call("subscribe"), ("accepted", "subscribed")),
        (call("unsubscribe", reason="manual"), ("accepted", "unsubscribed")),
        (call("unsubscribe", action="delete"), ("accepted", "unsubscribed")),
        (call("profile"), ("ignored", "contact_updated")),
        (call("upemail", new_email="b@example.com"), ("accepted", "email_changed")),
        (call("cleaned", reason="hard"), ("accepted", "bounced")),
        (call("something"), ("parked", "unknown_type")),
        ({}, ("parked", "unknown_type")),
    ],
)
def test_mailchimp(element: Payload, meaning: Meaning) -> None:
    assert meaning_of("mailchimp", element) == meaning


@pytest.mark.parametrize("kind", ["unsubscribe", "cleaned"])
def test_abuse_is_a_complaint_and_an_unsubscription(kind: str) -> None:
    complaint, unsubscription = drafts("mailchimp", call(kind, reason="abuse"))

    assert (complaint.type, unsubscription.type) == ("spam_complaint", "unsubscribed")
    assert complaint.id != unsubscription.id
    assert complaint.native_type == unsubscription.native_type == f"{kind}(abuse)"
    assert complaint.lead == unsubscription.lead
    assert drafts("mailchimp", call(kind, reason="abuse")) == [complaint, unsubscription]


def test_a_name_that_the_source_maps_counts_as_it_says() -> None:
    assert meaning_of("mailchimp", call("profile"), {"profile": "profile_filled"}) == ("accepted", "profile_filled")
    abuse = call("unsubscribe", reason="abuse")
    assert meaning_of("mailchimp", abuse, {"unsubscribe(abuse)": "complained"}) == ("accepted", "complained")


def test_a_campaign_is_about_nobody() -> None:
    [found] = translations("mailchimp", {"type": "campaign", "data": {"id": "c1", "status": "sent"}})

    assert isinstance(found, Recognised)


def test_a_time_is_in_the_zone_of_the_source_and_may_be_missing() -> None:
    elsewhere = replace(a_source("mailchimp"), time_zone="America/New_York")
    timeless: Payload = {"type": "unsubscribe", "data": {"email": "ann@example.com"}}

    assert draft_of("mailchimp", call("subscribe")).occurred_at == datetime(2026, 3, 2, 12, tzinfo=UTC)
    there = datetime(2026, 3, 2, 12, tzinfo=ZoneInfo("America/New_York"))
    assert draft_of("mailchimp", call("subscribe"), elsewhere).occurred_at == there
    assert draft_of("mailchimp", timeless).occurred_at is None


def test_calls_that_differ_in_what_happened_have_ids_of_their_own() -> None:
    calls = [
        call("subscribe"),
        call("unsubscribe"),
        call("subscribe", id="m2"),
        call("subscribe", list_id="L2"),
        call("subscribe") | {"fired_at": "2026-03-02 12:00:01"},
    ]

    assert len({draft_of("mailchimp", one).id for one in calls}) == len(calls)


def test_the_member_is_named_by_address_and_by_its_id_in_the_audience() -> None:
    assert draft_of("mailchimp", call("subscribe")).lead.external_ids == {"mailchimp:l1": "m1"}
    moved: Payload = {
        "type": "upemail",
        "data": {"list_id": "L1", "new_id": "m9", "old_email": "ann@example.com", "new_email": "b@example.com"},
    }
    draft = draft_of("mailchimp", moved)
    assert draft.lead.email == "ann@example.com"
    assert draft.lead.external_ids == {"mailchimp:l1": "m9"}
    assert draft.properties["new_email"] == "b@example.com"


def test_merge_fields_become_attributes_however_deep_and_empty_ones_do_not() -> None:
    merges: Payload = {
        "EMAIL": "ann@example.com",
        "FNAME": "Ann",
        "LNAME": "Lee",
        "BIRTHDAY": "",
        "name": "a trap",
        "ADDRESS": {"city": "Cork", "zip": ""},
        "WORK": {"city": ""},
    }

    assert draft_of("mailchimp", call("subscribe", merges=merges)).attributes == {
        "FNAME": "Ann",
        "LNAME": "Lee",
        "ADDRESS": {"city": "Cork"},
        "name": "Ann Lee",
    }


def test_the_form_of_old_php_is_read() -> None:
    body = as_form(call("subscribe", merges={"ADDRESS": {"city": "Saint-Étienne & co"}}))
    read = mailchimp.read_body(replace(a_delivery(signed({})), body=body))

    assert mailchimp.elements(read) == [call("subscribe", merges={"ADDRESS": {"city": "Saint-Étienne & co"}})]
