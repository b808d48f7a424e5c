"""What the templates of Marketo's customers mean."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.ingest.kinds import marketo
from services.ingest.kinds.kind import NotVerified
from shared.errors import InvalidInput
from shared.events.json import Json, parse_json
from tests.support.deliveries import NOON, a_delivery, a_source
from tests.support.translations import Meaning, Payload, draft_of, meaning_of


def called(event: str, **more: Json) -> Payload:
    return {"event": event, "email": "ann@example.com", "lead_id": "7", "occurred_at": "2026-03-02 12:00:00", **more}


@pytest.mark.parametrize(
    ("event", "meaning"),
    [
        ("Fills Out Form", ("accepted", "form_submitted")),
        ("Fill Out Form", ("accepted", "form_submitted")),
        ("Visits Web Page", ("accepted", "page_viewed")),
        ("Visit Webpage", ("accepted", "page_viewed")),
        ("Clicks Link in Email", ("accepted", "email_clicked")),
        ("Opens Email", ("accepted", "email_opened")),
        ("opens email", ("accepted", "email_opened")),
        ("Unsubscribes from Email", ("accepted", "unsubscribed")),
        ("Email Bounces", ("accepted", "bounced")),
        ("Email Bounces Soft", ("accepted", "bounced")),
        ("Attended Event", ("accepted", "webinar_attended")),
        ("Email is Delivered", ("ignored", "email_delivered")),
        ("Is Sent Email", ("ignored", "email_sent")),
        ("Interesting Moment", ("parked", "unknown_type")),
        ("", ("parked", "unknown_type")),
    ],
)
def test_marketo(event: str, meaning: Meaning) -> None:
    assert meaning_of("marketo", called(event)) == meaning


def test_other_names_count_as_the_source_maps_them() -> None:
    names = {"Interesting Moment": "content_downloaded", "Opens Email": "newsletter_opened"}

    assert meaning_of("marketo", called("Interesting Moment"), names) == ("accepted", "content_downloaded")
    assert meaning_of("marketo", called("Opens Email"), names) == ("accepted", "newsletter_opened")


def test_known_fields_are_read_and_all_others_are_properties() -> None:
    in_berlin = replace(a_source("marketo", source_id="emea"), time_zone="Europe/Berlin")
    element = called("Fills Out Form", form="Demo", page="", attributes={"job_title": "CEO", "industry": ""})

    draft = draft_of("marketo", element, in_berlin)

    assert draft.lead.email == "ann@example.com"
    assert draft.lead.external_ids == {"marketo:emea": "7"}
    assert draft.occurred_at == NOON - timedelta(hours=1)
    assert draft.properties == {"form": "Demo"}
    assert draft.attributes == {"job_title": "CEO"}


def test_tokens_that_were_empty_name_nobody() -> None:
    draft = draft_of("marketo", called("Opens Email", email="", lead_id=""))

    assert (draft.lead.email, draft.lead.external_ids) == (None, {})


def test_bounces_are_classed() -> None:
    assert draft_of("marketo", called("Email Bounces Soft")).properties == {"bounce_class": "soft"}
    assert draft_of("marketo", called("Email Bounces")).properties == {"bounce_class": "hard"}


def test_the_same_fields_are_one_event_a_day_where_no_time_and_no_id_tells_more() -> None:
    timeless = called("Opens Email", occurred_at="")

    def id_at(element: Payload, days: int) -> str:
        delivery = replace(a_delivery(), received_at=NOON + timedelta(days=days))
        found = marketo.translate(element, delivery, a_source("marketo"))
        return found.draft.id  # type: ignore[union-attr]  # a type that is known becomes a draft

    assert id_at(timeless, 0) == id_at(timeless, 0) != id_at(timeless, 1)
    assert id_at(called("Opens Email"), 0) == id_at(called("Opens Email"), 1)
    assert id_at(called("Opens Email", occurred_at="2026-03-02 12:00:01"), 0) != id_at(called("Opens Email"), 0)
    assert id_at(called("Opens Email", event_id="e-7"), 0) == "e-7"


@pytest.mark.parametrize(
    ("method", "query", "body"),
    [
        ("POST", "", b'{"event":"Opens Email","email":"ann@example.com"}'),
        ("POST", "token=t", b"event=Opens+Email&email=ann%40example.com"),
        ("GET", "token=t&event=Opens+Email&secret=s&access_token=a&email=ann%40example.com", b""),
    ],
)
def test_json_forms_and_parameters_are_read(method: str, query: str, body: bytes) -> None:
    read = marketo.read_body(replace(a_delivery(), method=method, query=query, body=body))

    assert (parse_json(read) if isinstance(read, bytes) else read) == {
        "event": "Opens Email",
        "email": "ann@example.com",
    }


@pytest.mark.parametrize("body", [b"<lead/>", b' \n<?xml version="1.0"?><lead/>'])
def test_xml_is_refused_by_name(body: bytes) -> None:
    with pytest.raises(InvalidInput, match="XML") as refusal:
        marketo.read_body(replace(a_delivery(), body=body))

    assert refusal.value.code == "unsupported_media_type"


@pytest.mark.parametrize("header", ["x-leadflow-token", "authorization"])
def test_the_secret_may_come_in_a_header_of_the_customers(header: str) -> None:
    source = a_source("marketo", "a secret")
    value = "Bearer a secret" if header == "authorization" else "a secret"

    marketo.verify(replace(a_delivery(), headers={header: value}), source)
    with pytest.raises(NotVerified):
        marketo.verify(replace(a_delivery(), headers={header: value + "s"}), source)
