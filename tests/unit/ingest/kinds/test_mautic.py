"""What Mautic's webhooks mean: one body, many types."""

from datetime import UTC, datetime

import pytest

from services.ingest.kinds import mautic
from services.ingest.kinds.kind import NotVerified
from shared.errors import InvalidInput
from shared.events.json import Json
from tests.support import webhooks
from tests.support.deliveries import a_delivery, a_source
from tests.support.translations import Meaning, Payload, draft_of, meaning_of

AT = "2026-03-02T12:00:00+00:00"


def contact(email: str | None = "ann@example.com", **core: Json) -> Payload:
    fields: Payload = {name: {"alias": name, "value": value} for name, value in {"email": email, **core}.items()}
    return {"id": 26, "points": 10, "fields": {"core": fields, "social": {}, "personal": [], "professional": []}}


def item(event: str, **content: Json) -> Payload:
    return {"event": f"mautic.{event}", "item": {"timestamp": AT, **content}}


def hit(**more: Json) -> Payload:
    return item("page_on_hit", hit={"dateHit": AT, "url": "https://x", "lead": contact(), **more})


def stat(**more: Json) -> Payload:
    whole: Payload = {"id": 8, "openCount": 1, "lastOpened": AT, "lead": contact(), "email": {"id": 5}}
    return item("email_on_open", stat={**whole, **more})


def subscription(status: str) -> Payload:
    return item("lead_channel_subscription_changed", contact=contact(), channel="email", new_status=status)


@pytest.mark.parametrize(
    ("element", "meaning"),
    [
        (hit(), ("accepted", "page_viewed")),
        (stat(), ("accepted", "email_opened")),
        (item("email_on_send", contact=contact()), ("ignored", "email_sent")),
        (item("form_on_submit", submission={"id": 13, "lead": contact()}), ("accepted", "form_submitted")),
        (item("lead_post_save_new", contact=contact()), ("accepted", "contact_created")),
        (item("lead_post_save_update", contact=contact()), ("ignored", "contact_updated")),
        (item("lead_points_change", contact=contact()), ("ignored", "contact_updated")),
        (item("lead_list_change", contact=contact()), ("ignored", "contact_updated")),
        (item("lead_post_delete", contact=contact()), ("accepted", "contact_deleted")),
        (subscription("unsubscribed"), ("accepted", "unsubscribed")),
        (subscription("manual"), ("accepted", "unsubscribed")),
        (subscription("bounced"), ("accepted", "bounced")),
        (subscription("contactable"), ("accepted", "subscribed")),
        (subscription("else"), ("parked", "unknown_type")),
        (item("company_post_save", company={"id": 5}), ("parked", "unknown_type")),
    ],
)
def test_mautic(element: Payload, meaning: Meaning) -> None:
    assert meaning_of("mautic", element) == meaning


def test_a_type_that_the_source_maps_counts_as_it_says() -> None:
    sent = item("email_on_send", contact=contact())

    assert meaning_of("mautic", sent, {"mautic.email_on_send": "mailed"}) == ("accepted", "mailed")


def test_each_item_is_an_element_under_its_type() -> None:
    body: Json = {
        "mautic.page_on_hit": [{"hit": 1}, {"hit": 2}],
        "mautic.company_post_save": {"a": 1},
        "timestamp": "x",
    }

    assert mautic.elements(body) == [
        {"event": "mautic.page_on_hit", "item": {"hit": 1}},
        {"event": "mautic.page_on_hit", "item": {"hit": 2}},
        {"event": "mautic.company_post_save", "item": {"a": 1}},
    ]
    assert mautic.elements({}) == []


def test_a_body_that_is_no_object_and_an_item_that_is_none_are_refused() -> None:
    with pytest.raises(InvalidInput):
        mautic.elements([])
    with pytest.raises(InvalidInput):
        draft_of("mautic", {"event": "mautic.page_on_hit", "item": 7})


def test_the_mail_of_an_open_repeats_its_id_and_the_open_does_not() -> None:
    again = "2026-03-02T13:00:00+00:00"
    opens = [stat(), stat(openCount=2, lastOpened=again), stat(id=9), stat(lead={"id": 27})]

    assert len({draft_of("mautic", one).id for one in opens}) == len(opens)
    assert draft_of("mautic", stat(openCount=2, lastOpened=again)).occurred_at == datetime(2026, 3, 2, 13, tzinfo=UTC)


def test_the_same_thing_told_at_another_moment_is_the_same_event() -> None:
    later: Payload = {"timestamp": "2026-03-02T12:09:00+00:00"}

    for told in (hit(), stat(), item("form_on_submit", submission={"id": 13, "lead": contact()})):
        inner = told["item"]
        assert isinstance(inner, dict)
        assert draft_of("mautic", told).id == draft_of("mautic", {**told, "item": {**inner, **later}}).id


def test_a_change_of_status_is_told_apart_by_its_moment() -> None:
    first = subscription("bounced")
    second: Payload = {
        **first,
        "item": {"channel": "email", "new_status": "bounced", "timestamp": "2026-03-03T12:00:00Z"},
    }

    assert draft_of("mautic", first).id != draft_of("mautic", second).id


def test_a_cookie_names_a_visitor_only_while_no_address_does() -> None:
    known, unknown = (
        draft_of("mautic", hit(trackingId="v1")),
        draft_of("mautic", hit(trackingId="v1", lead=contact(""))),
    )

    assert (known.lead.email, known.lead.anonymous_id) == ("ann@example.com", None)
    assert (unknown.lead.email, unknown.lead.anonymous_id) == (None, "v1")
    assert known.lead.external_ids == unknown.lead.external_ids == {"mautic": "26"}


def test_an_open_whose_contact_hides_its_address_has_the_mails() -> None:
    assert draft_of("mautic", stat(lead={"id": 26}, emailAddress="ann@example.com")).lead.email == "ann@example.com"


def test_filled_fields_become_attributes_and_personal_ones_do_not() -> None:
    told = hit(lead=contact(firstname="Ann", lastname="Lee", company="Acme", city="", phone="+1", address1="Road 1"))

    assert draft_of("mautic", told).attributes == {
        "firstname": "Ann",
        "lastname": "Lee",
        "company": "Acme",
        "name": "Ann Lee",
        "mautic_points": 10,
    }


@pytest.mark.parametrize("value", ["", "not base64", "AAAA"])
def test_an_empty_or_odd_signature_is_refused(value: str) -> None:
    delivery = a_delivery(webhooks.Signed("mautic", b"{}", {"Webhook-Signature": value}, "s"))

    with pytest.raises(NotVerified):
        mautic.verify(delivery, a_source("mautic", webhooks.TEXT_SECRET))
