"""What Brevo's webhooks mean."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from shared.events.json import Json
from tests.support.deliveries import NOON, a_source
from tests.support.translations import Meaning, Payload, draft_of, drafts, meaning_of

NOON_SECONDS = int(NOON.timestamp())


def transactional(event: str, **more: Json) -> Payload:
    return {"event": event, "email": "ann@example.com", "message-id": "<m1>", "ts_epoch": NOON_SECONDS * 1000, **more}


def marketing(event: str, **more: Json) -> Payload:
    return {"event": event, "email": "ann@example.com", "id": 5, "camp_id": 12, "ts_event": NOON_SECONDS, **more}


@pytest.mark.parametrize(
    ("event", "meaning"),
    [
        ("request", ("ignored", "email_sent")),
        ("delivered", ("ignored", "email_delivered")),
        ("deferred", ("ignored", "email_deferred")),
        ("opened", ("accepted", "email_opened")),
        ("unique_opened", ("accepted", "email_opened")),
        ("proxy_open", ("accepted", "email_opened")),
        ("unique_proxy_open", ("accepted", "email_opened")),
        ("click", ("accepted", "email_clicked")),
        ("hard_bounce", ("accepted", "bounced")),
        ("soft_bounce", ("accepted", "bounced")),
        ("blocked", ("accepted", "email_dropped")),
        ("invalid_email", ("accepted", "email_dropped")),
        ("error", ("accepted", "email_dropped")),
        ("spam", ("accepted", "spam_complaint")),
        ("complaint", ("accepted", "spam_complaint")),
        ("unsubscribe", ("accepted", "unsubscribed")),
        ("unsubscribed", ("accepted", "unsubscribed")),
        ("list_addition", ("accepted", "subscribed")),
        ("contact_updated", ("ignored", "contact_updated")),
        ("contact_deleted", ("accepted", "contact_deleted")),
        ("coupon", ("parked", "unknown_type")),
        ("", ("parked", "unknown_type")),
    ],
)
def test_brevo(event: str, meaning: Meaning) -> None:
    assert meaning_of("brevo", transactional(event)) == meaning


def test_machines_and_first_openings_are_marked_and_bounces_classed() -> None:
    def properties(event: str) -> dict[str, Json]:
        facts = draft_of("brevo", transactional(event)).properties
        return {name: value for name, value in facts.items() if name != "message_id"}

    assert properties("opened") == {}
    assert properties("unique_opened") == {"first": True}
    assert properties("proxy_open") == {"machine": True}
    assert properties("unique_proxy_open") == {"machine": True, "first": True}
    assert properties("hard_bounce") == {"bounce_class": "hard"}
    assert properties("soft_bounce") == {"bounce_class": "soft"}


@pytest.mark.parametrize(
    "times",
    [
        {"ts_epoch": NOON_SECONDS * 1000, "ts_event": NOON_SECONDS - 32_400, "date": "2026-03-02 04:00:00"},
        {"ts_epoch": NOON_SECONDS},
        {"ts_epoch": str(NOON_SECONDS * 1000)},
        {"ts_epoch": None, "s_epoch": NOON_SECONDS * 1000},
        {"ts_epoch": None, "ts_event": NOON_SECONDS - 32_400, "date": "2026-03-02 04:00:00"},
    ],
)
def test_of_many_times_the_right_one_is_taken(times: dict[str, Json]) -> None:
    in_california = replace(a_source("brevo"), time_zone="America/Los_Angeles")

    assert draft_of("brevo", transactional("opened", **times), in_california).occurred_at == NOON


def test_marketing_events_have_their_times_in_utc_beside_dates_of_the_account() -> None:
    opened = marketing("opened", date_event="2026-03-02 04:00:00", **{"campaign name": "Été"})

    draft = draft_of("brevo", opened)

    assert draft.occurred_at == NOON
    assert draft.properties == {"campaign": "Été"}


@pytest.mark.parametrize("nonsense", ["abc", "", -1, True, [], 10**30, float("inf")])
def test_a_time_that_is_none_is_unknown(nonsense: Json) -> None:
    assert draft_of("brevo", transactional("opened", ts_epoch=nonsense)).occurred_at is None


def test_each_of_several_contacts_is_a_lead() -> None:
    deleted = marketing("contact_deleted", email=["ann@example.com", "bob@example.com", "ann@example.com", "", 7])

    found = drafts("brevo", deleted)

    assert [draft.lead.email for draft in found] == ["ann@example.com", "bob@example.com", "7"]
    assert len({draft.id for draft in found}) == 3


def test_several_people_put_on_a_list_at_once_have_done_nothing_unless_the_source_says_so() -> None:
    added: Payload = {"event": "list_addition", "email": ["a@b.de", "c@d.de"], "list_id": [2, 3], "ts": NOON_SECONDS}

    assert meaning_of("brevo", added) == ("parked", "unknown_type")
    found = drafts("brevo", added, a_source("brevo", event_names={"list_addition": "subscribed"}))
    assert [draft.lead.email for draft in found] == ["a@b.de", "c@d.de"]
    assert found[0].properties == {"lists": ["2", "3"]}
    assert found[0].occurred_at == NOON


def test_one_person_put_on_a_list_has_subscribed() -> None:
    assert meaning_of("brevo", marketing("list_addition", email=["a@b.de"])) == ("accepted", "subscribed")


def test_the_id_of_the_webhook_tells_no_events_apart() -> None:
    first = transactional("click", id=5, link="https://a")
    others: list[dict[str, Json]] = [
        {"link": "https://b"}, {"message-id": "<m2>"}, {"email": "b@c.de"}, {"ts_epoch": 1}, {"event": "opened"}
    ]  # fmt: skip

    assert draft_of("brevo", first).id == draft_of("brevo", first | {"id": 6}).id
    assert len({draft_of("brevo", first | change).id for change in ({}, *others)}) == 6


def test_a_moment_long_ago_is_kept() -> None:
    draft = draft_of("brevo", transactional("opened", ts_epoch=1_520_363_423_000))

    assert draft.occurred_at == datetime(2018, 3, 6, 19, 10, 23, tzinfo=UTC)
