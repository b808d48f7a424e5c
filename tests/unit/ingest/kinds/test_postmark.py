"""What Postmark's records mean; one record type says opposite things, and a Bounce may be none."""

from datetime import UTC, datetime

import pytest

from shared.events.json import Json
from tests.support.translations import Meaning, Payload, draft_of, meaning_of


def record(kind: str, **more: Json) -> Payload:
    return {"RecordType": kind, "MessageID": "p1", "Recipient": "ann@example.com", **more}


def bounce(kind: str, **more: Json) -> Payload:
    return {"RecordType": "Bounce", "ID": 1, "Type": kind, "Email": "ann@example.com", **more}


def change(*, suppressed: bool, reason: str | None = None) -> Payload:
    return record("SubscriptionChange", SuppressSending=suppressed, SuppressionReason=reason)


@pytest.mark.parametrize(
    ("element", "meaning"),
    [
        (record("Open"), ("accepted", "email_opened")),
        (record("Click"), ("accepted", "email_clicked")),
        (record("Delivery"), ("ignored", "email_delivered")),
        (record("SpamComplaint", Type="SpamComplaint"), ("accepted", "spam_complaint")),
        (bounce("HardBounce"), ("accepted", "bounced")),
        (bounce("SoftBounce"), ("accepted", "bounced")),
        (bounce("Transient"), ("ignored", "email_deferred")),
        (bounce("DnsError"), ("ignored", "email_deferred")),
        (bounce("AutoResponder"), ("ignored", "email_answered_by_machine")),
        (bounce("Unsubscribe"), ("accepted", "unsubscribed")),
        (bounce("Subscribe"), ("accepted", "subscribed")),
        (bounce("ManuallyDeactivated"), ("accepted", "email_dropped")),
        (bounce("SomethingNew"), ("parked", "unknown_type")),
        (change(suppressed=False), ("accepted", "subscribed")),
        (change(suppressed=True, reason="ManualSuppression"), ("accepted", "unsubscribed")),
        (change(suppressed=True, reason="HardBounce"), ("accepted", "bounced")),
        (change(suppressed=True, reason="SpamComplaint"), ("accepted", "spam_complaint")),
        (change(suppressed=True), ("parked", "unknown_type")),
        (record("Inbound"), ("parked", "unknown_type")),
        ({}, ("parked", "unknown_type")),
    ],
)
def test_postmark(element: Payload, meaning: Meaning) -> None:
    assert meaning_of("postmark", element) == meaning


def test_a_record_that_the_source_maps_counts_as_it_says() -> None:
    assert meaning_of("postmark", bounce("SomethingNew"), {"Bounce/SomethingNew": "odd"}) == ("accepted", "odd")


@pytest.mark.parametrize("name", ["BouncedAt", "ReceivedAt", "DeliveredAt", "ChangedAt"])
def test_times_have_seven_digits_and_an_offset(name: str) -> None:
    draft = draft_of("postmark", record("Open", **{name: "2026-03-02T07:30:15.3963933-04:00"}))

    assert draft.occurred_at == datetime(2026, 3, 2, 11, 30, 15, 396393, tzinfo=UTC)


def test_the_address_has_two_names_and_may_be_missing() -> None:
    assert draft_of("postmark", bounce("HardBounce")).lead.email == "ann@example.com"
    assert draft_of("postmark", record("Open")).lead.email == "ann@example.com"
    assert draft_of("postmark", bounce("Unsubscribe", Email="")).lead.email is None


def test_bounces_have_ids_and_the_rest_is_told_apart_by_what_happened() -> None:
    at_noon, later = "2026-03-02T12:00:00.0000001Z", "2026-03-02T12:00:01Z"
    records = [
        bounce("HardBounce"),
        bounce("HardBounce", ID=2),
        record("SpamComplaint", ID=1),
        record("Open", ReceivedAt=at_noon),
        record("Open", ReceivedAt=later),
        record("Open", ReceivedAt=at_noon, Recipient="b@example.com"),
        record("Click", ReceivedAt=at_noon, OriginalLink="https://x"),
        record("Click", ReceivedAt=at_noon, OriginalLink="https://y"),
        change(suppressed=False),
        change(suppressed=True, reason="ManualSuppression"),
    ]

    ids = [draft_of("postmark", one).id for one in records]
    assert len(set(ids)) == len(records)
    assert [draft_of("postmark", one).id for one in records] == ids


def test_what_else_is_told_becomes_properties() -> None:
    opened = record("Open", FirstOpen=False, Tag="welcome", Metadata={"plan": "team"}, MessageStream="outbound")

    assert draft_of("postmark", opened).properties == {
        "first": False,
        "message_id": "p1",
        "stream": "outbound",
        "tag": "welcome",
        "custom": {"plan": "team"},
    }
    assert draft_of("postmark", bounce("HardBounce")).properties["bounce_class"] == "hard"
