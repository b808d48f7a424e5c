"""CloudEvents as events."""

from datetime import UTC, datetime

import pytest

from services.ingest.domain.cloud_events import cloud_event_draft, from_headers, is_json_content
from shared.errors import InvalidInput
from shared.events.json import Json

EVENT: dict[str, Json] = {"specversion": "1.0", "id": "1", "source": "/s", "type": "email_clicked"}


def test_its_envelope_becomes_the_event() -> None:
    draft, source = cloud_event_draft({**EVENT, "time": "2026-01-01T00:00:00Z", "data": {"email": "a@b.de"}}, {})

    assert (draft.id, source, draft.type, draft.native_type) == ("1", "/s", "email_clicked", "email_clicked")
    assert draft.occurred_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert draft.lead.email == "a@b.de"


def test_all_of_data_that_names_nobody_is_properties() -> None:
    data: Json = {"email": "a@b.de", "url": "https://x", "attributes": {"job_title": "CEO"}}

    draft, _ = cloud_event_draft({**EVENT, "data": data}, {})

    assert draft.properties == {"url": "https://x"}
    assert draft.attributes == {"job_title": "CEO"}


def test_the_subject_is_the_lead_when_it_is_an_address_and_a_property_otherwise() -> None:
    by_address, _ = cloud_event_draft({**EVENT, "subject": "ann@example.com"}, {})
    by_data, _ = cloud_event_draft({**EVENT, "subject": "Newsletter 7", "data": {"email": "a@b.de"}}, {})

    assert (by_address.lead.email, by_address.properties) == ("ann@example.com", {})
    assert (by_data.lead.email, by_data.properties) == ("a@b.de", {"subject": "Newsletter 7"})


def test_a_type_is_mapped_by_its_source_alone() -> None:
    names = {"/s": {"com.x.click": "email_clicked"}}

    draft, _ = cloud_event_draft({**EVENT, "type": "com.x.click"}, names)
    with pytest.raises(InvalidInput) as refusal:
        cloud_event_draft({**EVENT, "type": "com.x.click", "source": "/other"}, names)

    assert (draft.type, draft.native_type) == ("email_clicked", "com.x.click")
    assert refusal.value.code == "unknown_type"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"specversion": None}, "specversion"),
        ({"id": ""}, "id"),
        ({"source": None}, "source"),
        ({"type": 7}, "type"),
        ({"time": "soon"}, "time"),
        ({"subject": 7}, "subject"),
        ({"data": []}, "data"),
        ({"data_base64": "e30="}, "data_base64"),
        ({"datacontenttype": "text/xml"}, "datacontenttype"),
        ({"data": {"lead": {"mail": "x"}}}, "data.lead.mail"),
        ({"data": {"email": 7}}, "data.email"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Json], field: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        cloud_event_draft({**EVENT, **change}, {})

    assert refusal.value.field == field


@pytest.mark.parametrize(
    ("sent", "meant"),
    [("Euro%20%E2%82%AC", "Euro €"), ('"a \\"b\\""', 'a "b"'), ("plain", "plain"), ("%2541", "%41")],
)
def test_headers_are_percent_decoded_once(sent: str, meant: str) -> None:
    assert from_headers([("ce-subject", sent), ("host", "x")], None) == {"subject": meant}


def test_headers_that_are_not_utf_8_are_refused() -> None:
    with pytest.raises(InvalidInput) as refusal:
        from_headers([("ce-subject", "%FF")], None)

    assert refusal.value.field == "ce-subject"


@pytest.mark.parametrize(
    ("content_type", "is_json"),
    [("application/json", True), ("application/vnd.x+json; charset=utf-8", True), ("text/xml", False), ("", False)],
)
def test_json_content_is_told_by_its_type(content_type: str, is_json: bool) -> None:
    assert is_json_content(content_type) is is_json
