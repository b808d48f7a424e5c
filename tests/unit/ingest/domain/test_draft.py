"""From a draft to an event that can be promised to count."""

from datetime import UTC, datetime, timedelta

import pytest

from services.ingest.domain.draft import Draft, accept
from services.ingest.domain.identity import LeadNames
from shared.errors import InvalidInput
from shared.events.accepting import AcceptedEvent
from shared.events.json import Json, JsonLimits

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
ANN = LeadNames(email="ann@example.com")


def accepted(draft: Draft, source: str = "api") -> AcceptedEvent:
    return accept(draft, source=source, received_at=NOW, limits=JsonLimits())


@pytest.mark.parametrize(
    ("occurred_at", "taken_as"),
    [
        (NOW - timedelta(days=9000), NOW - timedelta(days=9000)),
        (NOW, NOW),
        (NOW + timedelta(seconds=1), NOW),
        (None, NOW),
    ],
)
def test_nothing_happens_after_its_receipt(occurred_at: datetime | None, taken_as: datetime) -> None:
    event = accepted(Draft("e", "page_viewed", ANN, occurred_at=occurred_at))

    assert event.occurred_at == taken_as
    assert event.received_at == NOW


def test_the_domain_of_the_address_is_a_fact_about_the_lead() -> None:
    assert accepted(Draft("e", "x", ANN)).attributes == {"email_domain": "example.com"}
    assert accepted(Draft("e", "x", LeadNames(anonymous_id="v"))).attributes == {}
    told = Draft("e", "x", ANN, attributes={"email_domain": "parent.example"})
    assert accepted(told).attributes == {"email_domain": "parent.example"}


ADJUSTMENT: dict[str, Json] = {"score": "engagement", "points": 5, "reason": "met at the fair", "actor": "bob"}


@pytest.mark.parametrize(
    ("event_type", "properties"),
    [
        ("score_adjusted", ADJUSTMENT),
        ("score_adjusted", ADJUSTMENT | {"points": -2.5, "half_life": "14d", "expires_after": "12w"}),
        ("score_adjusted", ADJUSTMENT | {"half_life": "none", "expires_after": None}),
        ("score_reset", {"score": "engagement"}),
        ("event_voided", {"event_id": "e-1"}),
    ],
)
def test_corrections_that_say_all_are_accepted(event_type: str, properties: dict[str, Json]) -> None:
    assert accepted(Draft("e", event_type, ANN, properties=properties)).properties == properties


@pytest.mark.parametrize(
    ("event_type", "properties", "field"),
    [
        ("score_adjusted", {}, "properties.score"),
        ("score_adjusted", ADJUSTMENT | {"points": "5"}, "properties.points"),
        ("score_adjusted", ADJUSTMENT | {"points": True}, "properties.points"),
        ("score_adjusted", ADJUSTMENT | {"points": 1e12}, "properties.points"),
        ("score_adjusted", ADJUSTMENT | {"reason": " "}, "properties.reason"),
        ("score_adjusted", {k: v for k, v in ADJUSTMENT.items() if k != "actor"}, "properties.actor"),
        ("score_adjusted", ADJUSTMENT | {"half_life": "14 days"}, "properties.half_life"),
        ("score_adjusted", ADJUSTMENT | {"expires_after": "12h"}, "properties.expires_after"),
        ("score_adjusted", ADJUSTMENT | {"expires_after": "99999w"}, "properties.expires_after"),
        ("score_adjusted", ADJUSTMENT | {"half_life": "99999w"}, "properties.half_life"),
        ("score_reset", {}, "properties.score"),
        ("event_voided", {"event_id": 7}, "properties.event_id"),
    ],
)
def test_corrections_that_could_not_be_carried_out_are_refused(
    event_type: str, properties: dict[str, Json], field: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        accepted(Draft("e", event_type, ANN, properties=properties))

    assert (refusal.value.code, refusal.value.field) == ("invalid_adjustment", field)


@pytest.mark.parametrize(
    ("draft", "field"),
    [
        (Draft("", "x", ANN), "id"),
        (Draft("x" * 513, "x", ANN), "id"),
        (Draft("a\x00b", "x", ANN), "id"),
        (Draft("e", "Email Clicked", ANN), "type"),
        (Draft("e", "x" * 65, ANN), "type"),
        (Draft("e", "x", LeadNames(anonymous_id="\ud800")), "lead.anonymous_id"),
        (Draft("e", "x", ANN, native_type="\x00"), "native_type"),
        (Draft("e", "x", ANN, properties={"a": [float("nan")]}), "properties.a[0]"),
        (Draft("e", "x", ANN, attributes={"a": 2**70}), "attributes.a"),
    ],
)
def test_what_could_not_be_kept_is_refused_naming_the_field(draft: Draft, field: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        accepted(draft)

    assert refusal.value.field == field


@pytest.mark.parametrize("source", ["", "a b", "x" * 129, "a\x00"])
def test_a_source_needs_a_name(source: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        accepted(Draft("e", "x", ANN), source)

    assert refusal.value.field == "source"
