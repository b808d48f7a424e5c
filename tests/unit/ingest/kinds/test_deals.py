"""CRMs tell of deals by the kinds of webhook that take any type: whose deal it is, and its facts as they are."""

import pytest

from shared.events.json import Json
from tests.support.deliveries import a_source
from tests.support.translations import Payload, draft_of

FACTS: dict[str, Json] = {"owner": "bo", "amount": 9_000, "close_date": "2026-09-01", "reason": "too dear"}


def delivered(kind: str, native_type: str, data: dict[str, Json]) -> Payload:
    """The delivery of a CRM that names its events in its own way."""
    event: Payload = {"type": native_type, "data": data}
    if kind == "cloudevents":
        event |= {"specversion": "1.0", "id": "1", "source": "/crm", "time": "2026-03-02T12:00:00Z"}
    return event


@pytest.mark.parametrize("kind", ["standardwebhooks", "cloudevents"])
@pytest.mark.parametrize(
    ("native_type", "event_type"),
    [
        ("Opportunity.StageChanged", "stage_changed"),
        ("Opportunity.Updated", "deal_updated"),
        ("Opportunity.Won", "deal_won"),
        ("Opportunity.Lost", "deal_lost"),
    ],
)
@pytest.mark.parametrize(
    "lead", [{"email": "ann@acme.example"}, {"external_ids": {"crm": "7"}}], ids=["by address", "by external id"]
)
def test_a_deal_is_told_of_with_all_its_facts(
    kind: str, native_type: str, event_type: str, lead: dict[str, Json]
) -> None:
    source = a_source(kind, event_names={native_type: event_type})
    data: dict[str, Json] = {"lead": lead, "properties": {**FACTS, "stage": "closedlost"}}

    draft = draft_of(kind, delivered(kind, native_type, data), source)

    assert draft.type == event_type
    assert {**draft.properties} == {**FACTS, "stage": "closedlost"}
    assert (draft.lead.email, dict(draft.lead.external_ids or {})) == (
        lead.get("email"),
        lead.get("external_ids", {}),
    )


def test_a_standard_webhook_needs_no_mapping_for_leadflows_own_names() -> None:
    data: dict[str, Json] = {"email": "ann@acme.example", **FACTS}

    draft = draft_of("standardwebhooks", delivered("standardwebhooks", "deal.lost", data))

    assert (draft.type, dict(draft.properties)) == ("deal_lost", FACTS)
