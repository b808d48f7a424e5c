"""What Klaviyo's system webhooks mean, and how they are signed."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.ingest.kinds import klaviyo
from services.ingest.kinds.kind import NotVerified
from shared.errors import InvalidInput
from shared.events.json import Json
from tests.support import webhooks
from tests.support.deliveries import NOON, a_delivery, a_source
from tests.support.translations import Meaning, Payload, draft_of, meaning_of


def event(topic: str, **facts: Json) -> Payload:
    attributes: Payload = {"timestamp": 1_772_452_800, "event_properties": dict(facts)}
    profile: Payload = {"profile": {"data": {"id": "p1"}}}
    return {
        "topic": topic,
        "external_id": "k1",
        "payload": {"data": {"attributes": attributes, "relationships": profile}},
    }


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("opened_email", ("accepted", "email_opened")),
        ("clicked_email", ("accepted", "email_clicked")),
        ("bounced_email", ("accepted", "bounced")),
        ("dropped_email", ("accepted", "email_dropped")),
        ("marked_email_as_spam", ("accepted", "spam_complaint")),
        ("unsubscribed_from_email_marketing", ("accepted", "unsubscribed")),
        ("subscribed_to_email_marketing", ("accepted", "subscribed")),
        ("manually_suppressed_from_email_marketing", ("accepted", "unsubscribed")),
        ("received_email", ("ignored", "email_delivered")),
        ("email_delivered", ("ignored", "email_delivered")),
        ("sent_sms", ("parked", "unknown_type")),
    ],
)
def test_klaviyo(name: str, meaning: Meaning) -> None:
    assert meaning_of("klaviyo", event(f"event:klaviyo.{name}")) == meaning


@pytest.mark.parametrize("name", ["Started Trial", "event:api.Started Trial"])
def test_metrics_of_the_customers_own_count_as_the_source_maps_them(name: str) -> None:
    started = event("event:api.Started Trial", plan="team", email="ann@example.com")

    assert meaning_of("klaviyo", started) == ("parked", "unknown_type")
    assert meaning_of("klaviyo", started, {name: "trial_started"}) == ("accepted", "trial_started")
    draft = draft_of("klaviyo", started, a_source("klaviyo", event_names={name: "trial_started"}))
    assert draft.properties == {"plan": "team"}
    assert draft.lead.email == "ann@example.com"


def test_often_the_profile_alone_tells_whose_it_is() -> None:
    bare = draft_of("klaviyo", event("event:klaviyo.opened_email"))
    named = draft_of("klaviyo", event("event:klaviyo.opened_email", email_address="ann@example.com"))

    assert (bare.lead.email, bare.lead.external_ids) == (None, {"klaviyo": "p1"})
    assert (named.lead.email, named.lead.external_ids) == ("ann@example.com", {"klaviyo": "p1"})


def test_opens_by_machines_are_marked_and_bounces_classed() -> None:
    machine = draft_of("klaviyo", event("event:klaviyo.opened_email", machine_open=True))
    person = draft_of("klaviyo", event("event:klaviyo.opened_email", machine_open=False))
    soft = draft_of("klaviyo", event("event:klaviyo.bounced_email", **{"Bounce Type": "Soft"}))
    hard = draft_of("klaviyo", event("event:klaviyo.bounced_email"))

    assert (machine.properties, person.properties) == ({"machine": True}, {})
    assert (soft.properties, hard.properties) == ({"bounce_class": "soft"}, {"bounce_class": "hard"})


def test_the_time_is_read_as_seconds_or_as_a_text_or_not_at_all() -> None:
    seconds = draft_of("klaviyo", event("event:klaviyo.opened_email"))
    attributes: Json = {"datetime": "2026-03-02T12:00:00+00:00"}
    written = event("event:klaviyo.opened_email") | {"payload": {"data": {"attributes": attributes}}}
    bare = event("event:klaviyo.opened_email") | {"payload": None}

    assert seconds.occurred_at == draft_of("klaviyo", written).occurred_at == NOON
    assert draft_of("klaviyo", bare).occurred_at is None


@pytest.mark.parametrize("body", [[], "x", None, {}, {"data": {}}])
def test_a_body_without_a_list_of_events_is_not_klaviyos(body: Json) -> None:
    with pytest.raises(InvalidInput):
        klaviyo.elements(body)


def test_the_webhook_that_the_header_names_must_be_the_one_that_the_signed_body_names() -> None:
    signed = webhooks.klaviyo({"meta": {"klaviyo_webhook_id": "w1"}, "data": []}, NOON, webhook_id="w1")
    other = webhooks.klaviyo({"meta": {"klaviyo_webhook_id": "w1"}, "data": []}, NOON, webhook_id="w2")
    untold = webhooks.klaviyo({"data": []}, NOON, webhook_id="w2")

    for taken in (signed, untold):
        klaviyo.verify(a_delivery(taken), a_source("klaviyo", taken.secret))
    with pytest.raises(NotVerified):
        klaviyo.verify(a_delivery(other), a_source("klaviyo", other.secret))


@pytest.mark.parametrize("seconds", [-301, 301])
def test_attempts_are_taken_for_five_minutes(seconds: int) -> None:
    signed = webhooks.examples(NOON)["klaviyo"]
    source = a_source("klaviyo", signed.secret)

    klaviyo.verify(a_delivery(signed, received_at=NOON + timedelta(seconds=seconds // 301 * 300)), source)
    with pytest.raises(NotVerified):
        klaviyo.verify(a_delivery(signed, received_at=NOON + timedelta(seconds=seconds)), source)


@pytest.mark.parametrize("timestamp", ["", "soon", "1772452800", "Mon, 32 Feb 2026 12:00:00 GMT"])
def test_a_time_that_is_no_http_date_does_not_verify(timestamp: str) -> None:
    signed = webhooks.examples(NOON)["klaviyo"]
    delivery = a_delivery(signed)

    with pytest.raises(NotVerified):
        klaviyo.verify(
            replace(delivery, headers={**delivery.headers, "klaviyo-timestamp": timestamp}),
            a_source("klaviyo", signed.secret),
        )
