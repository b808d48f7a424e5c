"""What ActiveCampaign's forms mean."""

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlencode

import pytest

from services.ingest.kinds import activecampaign
from services.ingest.kinds.kind import NotVerified
from services.ingest.kinds.reading import members
from tests.support.deliveries import NOON, a_delivery, a_source
from tests.support.translations import Meaning, Payload, draft_of, drafts, meaning_of

FIELDS = {"date_time": "2026-03-02T07:00:00-05:00", "contact[id]": "36", "contact[email]": "ann@example.com"}


def form(kind: str, fields: Mapping[str, str] | None = None) -> Payload:
    """The element of a form, read from its text."""
    body = urlencode({**FIELDS, "type": kind, **(fields or {})}).encode()
    return dict(members(activecampaign.read_body(replace(a_delivery(), body=body))))


@pytest.mark.parametrize(
    ("kind", "meaning"),
    [
        ("subscribe", ("accepted", "subscribed")),
        ("unsubscribe", ("accepted", "unsubscribed")),
        ("open", ("accepted", "email_opened")),
        ("read", ("accepted", "email_opened")),
        ("click", ("accepted", "email_clicked")),
        ("forward", ("accepted", "email_forwarded")),
        ("share", ("accepted", "email_shared")),
        ("reply", ("accepted", "conversation_started")),
        ("bounce", ("accepted", "bounced")),
        ("sent", ("ignored", "email_sent")),
        ("update", ("ignored", "contact_updated")),
        ("contact_tag_added", ("ignored", "contact_updated")),
        ("contact_tag_removed", ("ignored", "contact_updated")),
        ("deal_add", ("parked", "unknown_type")),
        ("account_add", ("parked", "unknown_type")),
        ("", ("parked", "unknown_type")),
    ],
)
def test_activecampaign(kind: str, meaning: Meaning) -> None:
    assert meaning_of("activecampaign", form(kind)) == meaning


def test_a_tag_may_stand_for_something_that_the_lead_did() -> None:
    names = {"contact_tag_added:Got the guide": "content_downloaded"}

    guide = form("contact_tag_added", {"tag": "Got the guide"})
    other = form("contact_tag_added", {"tag": "VIP"})

    assert meaning_of("activecampaign", guide, names) == ("accepted", "content_downloaded")
    assert meaning_of("activecampaign", other, names) == ("ignored", "contact_updated")


def test_whoever_subscribes_by_a_form_has_submitted_it_too() -> None:
    by_form = drafts("activecampaign", form("subscribe", {"form[id]": "9"}))
    by_hand = drafts("activecampaign", form("subscribe", {"form[id]": "0"}))

    assert [draft.type for draft in by_form] == ["subscribed", "form_submitted"]
    assert len({draft.id for draft in by_form}) == 2
    assert [draft.type for draft in by_hand] == ["subscribed"]


def test_lead_time_lists_and_facts_are_read_from_brackets() -> None:
    fields = {"list[0][id]": "3", "list[1][id]": "4", "contact[fields][1]": "70", "contact[first_name]": "Ann & Co"}

    draft = draft_of("activecampaign", form("update", fields))

    assert (draft.lead.email, draft.lead.external_ids) == ("ann@example.com", {"activecampaign": "36"})
    assert draft.occurred_at == NOON
    assert draft.properties == {"list": "3, 4"}
    assert draft.attributes == {"1": "70", "first_name": "Ann & Co"}


def test_list_0_is_no_list_and_contact_0_nobody() -> None:
    draft = draft_of("activecampaign", form("subscribe", {"list": "0", "contact[id]": "0"}))

    assert draft.properties == {}
    assert draft.lead.external_ids == {}


def test_bounces_are_hard_unless_told_otherwise() -> None:
    soft = draft_of("activecampaign", form("bounce", {"bounce[type]": "soft"}))
    untold = draft_of("activecampaign", form("bounce"))

    assert (soft.properties["bounce_class"], untold.properties["bounce_class"]) == ("soft", "hard")


def test_what_differs_has_another_id_and_what_is_sent_again_the_same() -> None:
    first = form("click", {"link[url]": "https://a"})
    others = [
        form("click", {"link[url]": "https://b"}),
        form("open", {"link[url]": "https://a"}),
        form("click", {"link[url]": "https://a", "contact[id]": "37"}),
        form("click", {"link[url]": "https://a", "date_time": "2026-03-02T07:00:01-05:00"}),
        form("click", {"link[url]": "https://a", "campaign[id]": "5"}),
        form("click", {"link[url]": "https://a", "list": "5"}),
    ]

    ids = {draft_of("activecampaign", one).id for one in (first, form("click", {"link[url]": "https://a"}), *others)}

    assert len(ids) == 7


@pytest.mark.parametrize(("query", "taken"), [("token=a+secret", True), ("token=another", False), ("", False)])
def test_the_secret_is_in_the_url(query: str, taken: bool) -> None:
    delivery = replace(a_delivery(), query=query)
    source = a_source("activecampaign", "a secret")

    if taken:
        activecampaign.verify(delivery, source)
    else:
        with pytest.raises(NotVerified):
            activecampaign.verify(delivery, source)
