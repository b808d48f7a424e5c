"""What Intercom's notifications mean."""

from datetime import UTC, datetime

import pytest

from services.ingest.kinds import intercom
from shared.errors import InvalidInput
from shared.events.json import Json
from tests.support.deliveries import NOON, a_source
from tests.support.translations import Meaning, Payload, draft_of, meaning_of

CONTACT: Payload = {"type": "contact", "id": "i1", "email": "ann@example.com", "created_at": "2020-01-01T00:00:00Z"}
LONG_AGO = 1_391_691_571


def notification(topic: str, item: Json) -> Payload:
    return {"id": "notif_1", "topic": topic, "created_at": 1_772_452_800, "data": {"item": item}}


@pytest.mark.parametrize(
    ("topic", "meaning"),
    [
        ("contact.lead.created", ("accepted", "contact_created")),
        ("contact.user.created", ("accepted", "contact_created")),
        ("contact.subscribed", ("accepted", "subscribed")),
        ("contact.unsubscribed", ("accepted", "unsubscribed")),
        ("contact.email.updated", ("accepted", "email_changed")),
        ("contact.merged", ("accepted", "contact_merged")),
        ("contact.deleted", ("accepted", "contact_deleted")),
        ("contact.archived", ("ignored", "contact_updated")),
        ("conversation.user.created", ("accepted", "conversation_started")),
        ("conversation.user.replied", ("accepted", "conversation_replied")),
        ("company.created", ("parked", "unknown_type")),
        ("", ("parked", "unknown_type")),
    ],
)
def test_intercom(topic: str, meaning: Meaning) -> None:
    assert meaning_of("intercom", notification(topic, CONTACT)) == meaning


def test_a_ping_says_nothing() -> None:
    assert list(intercom.elements({"topic": "ping", "id": None, "data": {"item": {"type": "ping"}}})) == []
    with pytest.raises(InvalidInput):
        intercom.elements(["ping"])


@pytest.mark.parametrize("name", ["invited-friend", "event.created:invited-friend"])
def test_events_of_the_customers_own_count_as_the_source_maps_them(name: str) -> None:
    facts: Payload = {"plan": "team"}
    invited = notification(
        "event.created", {"type": "event", "event_name": "invited-friend", "email": "a@b.de", "metadata": facts}
    )

    assert meaning_of("intercom", invited) == ("parked", "unknown_type")
    draft = draft_of("intercom", invited, a_source("intercom", event_names={name: "friend_invited"}))
    assert (draft.type, draft.native_type) == ("friend_invited", "event.created:invited-friend")
    assert draft.properties == {"plan": "team", "event": "invited-friend"}
    assert draft.lead.email == "a@b.de"


@pytest.mark.parametrize(
    ("topic", "item"),
    [
        ("contact.lead.created", CONTACT),
        ("contact.unsubscribed", {"type": "contact_unsubscribe", "contact": CONTACT}),
        ("conversation.user.created", {"type": "conversation", "user": {**CONTACT, "type": "lead"}}),
        ("conversation.user.replied", {"type": "conversation", "source": {"author": {**CONTACT, "type": "user"}}}),
        (
            "conversation.user.replied",
            {
                "type": "conversation",
                "contacts": {"contacts": [{"type": "contact", "id": "i1"}]},
                "source": {"author": {**CONTACT, "type": "user"}},
            },
        ),
    ],
)
def test_the_contact_is_found_wherever_it_lies(topic: str, item: Json) -> None:
    lead = draft_of("intercom", notification(topic, item)).lead

    assert (lead.email, lead.external_ids) == ("ann@example.com", {"intercom": "i1"})


def test_an_empty_address_is_none_and_the_teams_own_is_not_the_leads() -> None:
    anonymous = notification(
        "conversation.user.created", {"type": "conversation", "user": {"type": "lead", "id": "i1", "email": ""}}
    )
    author: Payload = {"type": "admin", "id": "7", "email": "team@example.com"}
    answered = notification(
        "conversation.user.replied",
        {"type": "conversation", "user": {"type": "lead", "id": "i1"}, "source": {"author": author}},
    )

    for element in (anonymous, answered):
        lead = draft_of("intercom", element).lead
        assert (lead.email, lead.external_ids) == (None, {"intercom": "i1"})


def test_the_time_is_that_of_what_happened_which_may_be_years_ago() -> None:
    event: Payload = {"type": "event", "event_name": "x", "created_at": LONG_AGO, "email": "a@b.de"}
    late = draft_of("intercom", notification("event.created", event), a_source("intercom", event_names={"x": "x"}))
    about_a_contact = draft_of("intercom", notification("contact.unsubscribed", CONTACT))
    wrapped: Payload = {"type": "contact_unsubscribe", "contact": CONTACT, "created_at": LONG_AGO}
    unsubscribed = draft_of("intercom", notification("contact.unsubscribed", wrapped))

    assert late.occurred_at == unsubscribed.occurred_at == datetime.fromtimestamp(LONG_AGO, UTC)
    assert about_a_contact.occurred_at == NOON


def test_facts_about_a_contact_come_with_topics_about_contacts_alone() -> None:
    person: Payload = {**CONTACT, "name": "Ann", "custom_attributes": {"plan": "team"}, "role": "lead"}

    created = draft_of("intercom", notification("contact.lead.created", person))
    talking = draft_of(
        "intercom", notification("conversation.user.created", {"type": "conversation", "user": person})
    )

    assert created.attributes == {"plan": "team", "name": "Ann", "role": "lead"}
    assert talking.attributes == {}
