"""What each platform's words mean here."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from services.ingest.domain.draft import Draft
from services.ingest.kinds.hubspot import signed_url
from services.ingest.kinds.kind import Parked, Source, Translated
from services.ingest.kinds.registry import KINDS
from shared.errors import InvalidInput
from shared.events.json import Json
from tests.support.deliveries import a_delivery, a_source

Payload = dict[str, Json]


def translated(kind: str, element: Payload, source: Source | None = None) -> Translated | Parked:
    delivery = replace(a_delivery(), headers={"webhook-id": "msg_1"})
    found = KINDS[kind].translate(element, delivery, source or a_source(kind))
    assert isinstance(found, Translated | Parked), found
    return found


def draft_of(kind: str, element: Payload, source: Source | None = None) -> Draft:
    found = translated(kind, element, source)
    assert isinstance(found, Translated), found
    return found.draft


def type_of(kind: str, element: Payload, event_names: Mapping[str, str] | None = None) -> tuple[str, str]:
    """("accepted" or "ignored", type), or ("parked", code)."""
    found = translated(kind, element, a_source(kind, event_names=event_names))
    if isinstance(found, Parked):
        return "parked", found.code
    return "ignored" if found.ignored else "accepted", found.draft.type


def hubspot(subscription: str, name: str | None = None, value: str | None = None, **more: Json) -> Payload:
    changed: Payload = {"propertyName": name, "propertyValue": value} if name else {}
    return {"subscriptionType": subscription, "objectId": 7, "portalId": 3, "occurredAt": 1, **changed, **more}


CHANGE = "contact.propertyChange"


@pytest.mark.parametrize(
    ("element", "meaning"),
    [
        (hubspot("contact.creation"), ("accepted", "contact_created")),
        (hubspot("contact.deletion"), ("accepted", "contact_deleted")),
        (hubspot("contact.privacyDeletion"), ("accepted", "contact_deleted")),
        (hubspot("contact.merge"), ("accepted", "contact_merged")),
        (hubspot("contact.restore"), ("ignored", "contact_updated")),
        (hubspot(CHANGE, "hs_email_last_open_date", "1700000000000"), ("accepted", "email_opened")),
        (hubspot(CHANGE, "hs_email_last_click_date", "1700000000000"), ("accepted", "email_clicked")),
        (hubspot(CHANGE, "hs_email_optout", "true"), ("accepted", "unsubscribed")),
        (hubspot(CHANGE, "hs_email_optout", "false"), ("accepted", "subscribed")),
        (hubspot(CHANGE, "hs_email_bounce", "1"), ("accepted", "bounced")),
        (hubspot(CHANGE, "hs_email_bounce", "0"), ("ignored", "contact_updated")),
        (hubspot(CHANGE, "hs_email_last_open_date", ""), ("ignored", "contact_updated")),
        (hubspot(CHANGE, "recent_conversion_date", "1700000000000"), ("accepted", "form_submitted")),
        (hubspot(CHANGE, "recent_conversion_event_name", "Demo"), ("ignored", "contact_updated")),
        (hubspot(CHANGE, "engagements_last_meeting_booked", "1"), ("accepted", "meeting_booked")),
        (hubspot(CHANGE, "jobtitle", "CEO"), ("ignored", "contact_updated")),
        (hubspot("object.creation", objectTypeId="0-1"), ("accepted", "contact_created")),
        (hubspot("object.creation", objectTypeId="0-3"), ("parked", "no_identity")),
        (hubspot("deal.creation"), ("parked", "no_identity")),
        (hubspot("contact.somethingNew"), ("parked", "unknown_type")),
        ({}, ("parked", "unknown_type")),
    ],
)
def test_hubspot(element: Payload, meaning: tuple[str, str]) -> None:
    assert type_of("hubspot", element) == meaning


def test_a_property_that_changed_is_a_fact_about_the_lead_and_a_new_address_a_name_of_it() -> None:
    job = draft_of("hubspot", hubspot(CHANGE, "jobtitle", "CEO"))
    address = draft_of("hubspot", hubspot(CHANGE, "email", "Ann@example.com"))

    assert job.attributes == {"jobtitle": "CEO"}
    assert (address.lead.email, address.lead.external_ids) == ("Ann@example.com", {"hubspot:3:contact": "7"})
    assert address.attributes == {}


def test_hubspot_ids_differ_where_events_differ_and_not_where_attempts_do() -> None:
    one = hubspot(CHANGE, "jobtitle", "CEO", eventId=1, subscriptionId=2)

    again = draft_of("hubspot", {**one, "attemptNumber": 3})
    changes: list[Payload] = [
        {"objectId": 8}, {"occurredAt": 2}, {"eventId": 9}, {"portalId": 9}, {"propertyName": "city"}
    ]  # fmt: skip
    others = {draft_of("hubspot", one | change).id for change in changes}

    assert again.id == draft_of("hubspot", one).id
    assert len(others | {again.id}) == 6


def test_hubspot_signs_the_url_with_some_characters_decoded() -> None:
    url = "https://x.example/a%3Ab%2fc?d=%40%21&e=%20%26"

    assert signed_url(url) == "https://x.example/a:b/c?d=@!&e=%20%26"


@pytest.mark.parametrize(
    ("event", "meaning"),
    [
        ("processed", ("ignored", "email_sent")),
        ("delivered", ("ignored", "email_delivered")),
        ("deferred", ("ignored", "email_deferred")),
        ("dropped", ("accepted", "email_dropped")),
        ("bounce", ("accepted", "bounced")),
        ("open", ("accepted", "email_opened")),
        ("click", ("accepted", "email_clicked")),
        ("spamreport", ("accepted", "spam_complaint")),
        ("unsubscribe", ("accepted", "unsubscribed")),
        ("group_unsubscribe", ("accepted", "unsubscribed")),
        ("group_resubscribe", ("accepted", "subscribed")),
        ("account_status_change", ("parked", "unknown_type")),
    ],
)
def test_sendgrid(event: str, meaning: tuple[str, str]) -> None:
    assert type_of("sendgrid", {"event": event, "email": "a@b.de", "timestamp": 1}) == meaning


def test_a_machine_that_opens_is_told_from_a_person_and_a_block_from_a_bounce() -> None:
    machine = draft_of("sendgrid", {"event": "open", "sg_machine_open": True})
    person = draft_of("sendgrid", {"event": "open", "sg_machine_open": False})
    blocked = draft_of("sendgrid", {"event": "bounce", "type": "blocked"})
    bounced = draft_of("sendgrid", {"event": "bounce"})

    assert machine.properties == {"machine": True}
    assert person.properties == {}
    assert (blocked.properties, bounced.properties) == ({"bounce_class": "block"}, {"bounce_class": "hard"})


def test_arguments_of_the_customers_own_are_kept_apart() -> None:
    draft = draft_of("sendgrid", {"event": "click", "url": "https://x", "campaign_id": "c", "ip": "10.0.0.1"})

    assert draft.properties == {"url": "https://x", "custom": {"campaign_id": "c"}}


@pytest.mark.parametrize(
    ("call", "meaning"),
    [
        ({"type": "page"}, ("accepted", "page_viewed")),
        ({"type": "screen"}, ("accepted", "page_viewed")),
        ({"type": "identify"}, ("ignored", "contact_updated")),
        ({"type": "group"}, ("ignored", "contact_updated")),
        ({"type": "alias"}, ("ignored", "contact_merged")),
        ({"type": "delete"}, ("accepted", "contact_deleted")),
        ({"type": "track", "event": "Signed Up"}, ("accepted", "trial_started")),
        ({"type": "track", "event": "content_downloaded"}, ("accepted", "content_downloaded")),
        ({"type": "track", "event": "Looked Around"}, ("parked", "unknown_type")),
        ({"type": "track"}, ("parked", "unknown_type")),
        ({"type": "other"}, ("parked", "unknown_type")),
    ],
)
def test_segment(call: Payload, meaning: tuple[str, str]) -> None:
    assert type_of("segment", call, event_names={"Signed Up": "trial_started"}) == meaning


def test_segment_knows_people_by_user_by_visitor_and_by_address() -> None:
    page = draft_of("segment", {"type": "page", "userId": "u", "anonymousId": "v", "traits": {"email": "a@b.de"}})
    alias = draft_of("segment", {"type": "alias", "userId": "u", "previousId": "v"})
    by_address = draft_of("segment", {"type": "page", "userId": "ann@example.com"})

    for lead in (page.lead, alias.lead):
        assert (lead.external_ids, lead.anonymous_id) == ({"segment": "u"}, "v")
    assert page.lead.email == "a@b.de"
    assert by_address.lead.email == "ann@example.com"


def test_traits_are_facts_about_the_lead_and_those_of_a_group_about_its_company() -> None:
    lead = draft_of("segment", {"type": "identify", "traits": {"email": "a@b.de", "job_title": "CEO"}})
    company = draft_of("segment", {"type": "group", "traits": {"name": "Acme", "employees": 70, "plan": "x"}})

    assert lead.attributes == {"job_title": "CEO"}
    assert company.attributes == {"company": "Acme", "employees": 70}


@pytest.mark.parametrize(
    ("event", "payload", "meaning"),
    [
        ("invitee.created", {}, ("accepted", "meeting_booked")),
        ("invitee.created", {"old_invitee": "https://c/1"}, ("ignored", "meeting_rescheduled")),
        ("invitee.canceled", {"rescheduled": False}, ("accepted", "meeting_canceled")),
        ("invitee.canceled", {"rescheduled": True}, ("ignored", "meeting_slot_released")),
        ("invitee_no_show.created", {}, ("accepted", "meeting_no_show")),
        ("invitee_no_show.deleted", {}, ("ignored", "meeting_no_show_undone")),
        ("routing_form_submission.created", {}, ("accepted", "form_submitted")),
        ("something.new", {}, ("parked", "unknown_type")),
    ],
)
def test_calendly(event: str, payload: Payload, meaning: tuple[str, str]) -> None:
    assert type_of("calendly", {"event": event, "payload": payload}) == meaning


def test_the_lead_of_calendly_is_the_invitee_and_of_a_routing_form_whoever_answered() -> None:
    host: Json = {"event_memberships": [{"user_email": "host@example.com"}]}
    invited = draft_of(
        "calendly", {"event": "invitee.created", "payload": {"email": "a@b.de", "scheduled_event": host}}
    )
    answers: Json = [{"question": "Name", "answer": "Ann"}, {"question": "Mail", "answer": "ann@example.com"}]
    routed = draft_of(
        "calendly", {"event": "routing_form_submission.created", "payload": {"questions_and_answers": answers}}
    )

    assert (invited.lead.email, routed.lead.email) == ("a@b.de", "ann@example.com")


def test_typeform_answers_are_facts_under_their_references_and_addresses_are_names() -> None:
    answers: Json = [
        {"type": "email", "email": "ann@example.com", "field": {"ref": "mail"}},
        {"type": "choice", "choice": {"label": "51-200"}, "field": {"ref": "size"}},
        {"type": "choices", "choices": {"labels": ["a", "b"]}, "field": {"ref": "interests"}},
        {"type": "number", "number": 7, "field": {"ref": "employees"}},
        {"type": "phone_number", "phone_number": "+49", "field": {"ref": "phone"}},
        {"type": "boolean", "boolean": False, "field": {"ref": "has_budget"}},
        "nonsense",
    ]
    response: Json = {"answers": answers, "hidden": {"user_id": "7", "utm_source": "ads"}}

    draft = draft_of("typeform", {"event_type": "form_response", "event_id": "t", "form_response": response})

    assert draft.lead.email == "ann@example.com"
    assert draft.lead.external_ids == {"typeform:hidden:user_id": "7"}
    assert draft.attributes == {
        "size": "51-200",
        "interests": ["a", "b"],
        "employees": 7,
        "has_budget": False,
    }
    assert draft.properties["hidden"] == {"user_id": "7", "utm_source": "ads"}


@pytest.mark.parametrize(
    ("native_type", "meaning"),
    [
        ("trial.started", ("accepted", "trial_started")),
        ("contact.created", ("accepted", "contact_created")),
        ("Mapped Name", ("accepted", "webinar_attended")),
        ("Not Mapped", ("parked", "unknown_type")),
        ("", ("parked", "unknown_type")),
    ],
)
def test_standard_webhooks(native_type: str, meaning: tuple[str, str]) -> None:
    names = {"Mapped Name": "webinar_attended"}

    assert type_of("standardwebhooks", {"type": native_type, "data": {}}, event_names=names) == meaning


def test_an_id_from_a_system_of_the_customers_belongs_to_that_source() -> None:
    shop = a_source("standardwebhooks", source_id="shop")

    person = draft_of("standardwebhooks", {"type": "contact.created", "data": {"id": 7}}, shop)
    thing = draft_of("standardwebhooks", {"type": "order.created", "data": {"id": 7, "email": "a@b.de"}}, shop)

    assert person.lead.external_ids == {"shop": "7"}
    assert thing.lead.external_ids == {}


@pytest.mark.parametrize("kind", ["calendly", "typeform", "standardwebhooks"])
@pytest.mark.parametrize("body", [[], "x", None, 7])
def test_kinds_that_send_one_object_take_nothing_else(kind: str, body: Json) -> None:
    with pytest.raises(InvalidInput):
        KINDS[kind].elements(body)


@pytest.mark.parametrize("kind", ["hubspot", "segment", "sendgrid"])
def test_kinds_that_send_lists_take_one_object_too(kind: str) -> None:
    assert list(KINDS[kind].elements([{}, {}])) == [{}, {}]
    assert list(KINDS[kind].elements({})) == [{}]
    with pytest.raises(InvalidInput):
        KINDS[kind].elements("x")
