"""What Customer.io's reports mean."""

from datetime import UTC, datetime, timedelta

import pytest

from services.ingest.kinds import customerio
from shared.events.json import Json
from tests.support.deliveries import NOON, a_delivery, a_source
from tests.support.translations import Meaning, Payload, draft_of, meaning_of
from tests.support.webhooks import examples


def report(object_type: str, metric: str, **data: Json) -> Payload:
    facts: Payload = {"identifiers": {"id": "u1"}, **data}
    return {"event_id": "e1", "object_type": object_type, "metric": metric, "timestamp": 1_772_452_800, "data": facts}


@pytest.mark.parametrize(
    ("object_type", "metric", "meaning"),
    [
        ("customer", "subscribed", ("accepted", "subscribed")),
        ("customer", "unsubscribed", ("accepted", "unsubscribed")),
        ("customer", "cio_subscription_preferences_changed", ("ignored", "contact_updated")),
        ("email", "opened", ("accepted", "email_opened")),
        ("email", "clicked", ("accepted", "email_clicked")),
        ("email", "unsubscribed", ("accepted", "unsubscribed")),
        ("email", "spammed", ("accepted", "spam_complaint")),
        ("email", "bounced", ("accepted", "bounced")),
        ("email", "dropped", ("accepted", "email_dropped")),
        ("email", "failed", ("accepted", "email_dropped")),
        ("email", "undeliverable", ("accepted", "email_dropped")),
        ("email", "drafted", ("ignored", "email_drafted")),
        ("email", "attempted", ("ignored", "email_deferred")),
        ("email", "sent", ("ignored", "email_sent")),
        ("email", "delivered", ("ignored", "email_delivered")),
        ("email", "converted", ("ignored", "email_converted")),
        ("sms", "clicked", ("parked", "unknown_type")),
        ("push", "opened", ("parked", "unknown_type")),
        ("email", "something_new", ("parked", "unknown_type")),
    ],
)
def test_customerio(object_type: str, metric: str, meaning: Meaning) -> None:
    assert meaning_of("customerio", report(object_type, metric)) == meaning


def test_what_is_said_of_other_channels_counts_as_its_source_maps_it() -> None:
    names = {"push/clicked": "push_clicked", "email/sent": "email_sent"}

    assert meaning_of("customerio", report("push", "clicked"), names) == ("accepted", "push_clicked")
    assert meaning_of("customerio", report("email", "sent"), names) == ("accepted", "email_sent")


def test_a_person_is_known_by_both_ids_and_by_the_address_wherever_it_stands() -> None:
    by_recipient = draft_of("customerio", report("email", "opened", recipient="ann@example.com"))
    by_subscription = draft_of("customerio", report("customer", "subscribed", email_address="ann@example.com"))
    ids: Json = {"id": "führer-ñ-42", "cio_id": "d9", "email": "名前@例え.jp"}
    by_ids = draft_of("customerio", report("email", "opened", identifiers=ids))

    assert by_recipient.lead.email == by_subscription.lead.email == "ann@example.com"
    assert by_recipient.lead.external_ids == {"customerio": "u1"}
    assert by_ids.lead.email == "名前@例え.jp"
    assert by_ids.lead.external_ids == {"customerio": "führer-ñ-42", "customerio:cio_id": "d9"}


def test_the_number_that_a_text_went_to_is_no_address() -> None:
    draft = draft_of("customerio", report("email", "opened", recipient="+4930123456"))

    assert draft.lead.email is None
    assert draft.lead.external_ids == {"customerio": "u1"}


def test_opens_by_machines_are_marked_and_bounces_are_hard() -> None:
    machine = draft_of("customerio", report("email", "opened", machine=True, proxied=True))
    person = draft_of("customerio", report("email", "opened", proxied=True))
    bounced = draft_of("customerio", report("email", "bounced", failure_message="no such mailbox"))

    assert (machine.properties, person.properties) == ({"machine": True}, {})
    assert bounced.properties == {"bounce_class": "hard", "reason": "no such mailbox"}


def test_a_time_that_is_none_is_unknown() -> None:
    sensible = draft_of("customerio", report("email", "opened"))
    nonsense = draft_of("customerio", report("email", "opened") | {"timestamp": "abc"})

    assert sensible.occurred_at == datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
    assert nonsense.occurred_at is None


def test_without_an_id_of_its_own_a_report_gets_the_same_one_each_time() -> None:
    one = report("email", "clicked", href="https://a") | {"event_id": ""}
    other = report("email", "clicked", href="https://b") | {"event_id": ""}

    assert draft_of("customerio", one).id == draft_of("customerio", one).id != draft_of("customerio", other).id


def test_an_attempt_that_waited_for_days_behind_another_is_taken() -> None:
    example = examples(NOON)["customerio"]
    delivery = a_delivery(example, received_at=NOON + timedelta(days=7))

    customerio.verify(delivery, a_source("customerio", example.secret))
