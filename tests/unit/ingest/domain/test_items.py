"""Items of the events API."""

import pytest

from services.ingest.domain.items import id_of, item_draft
from shared.errors import InvalidInput
from shared.events.json import Json

ITEM: dict[str, Json] = {"id": "e", "type": "x", "lead": {"email": "ann@example.com"}}


def test_an_item_says_what_it_must_and_the_rest_has_a_default() -> None:
    draft, source = item_draft(ITEM)

    assert source == "api"
    assert (draft.id, draft.type, draft.occurred_at, draft.native_type) == ("e", "x", None, None)
    assert (draft.properties, draft.attributes) == ({}, {})


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"id": None}, "missing", "id"),
        ({"id": 7}, "invalid_value", "id"),
        ({"lead": None}, "missing", "lead"),
        ({"lead": []}, "invalid_value", "lead"),
        ({"lead": {"mail": "a@b.de"}}, "unknown_field", "lead.mail"),
        ({"lead": {"email": 1}}, "invalid_value", "lead.email"),
        ({"lead": {"external_ids": {"crm": 7}}}, "invalid_value", "lead.external_ids.crm"),
        ({"lead": {"external_ids": []}}, "invalid_value", "lead.external_ids"),
        ({"properties": None}, "invalid_value", "properties"),
        ({"attributes": "a"}, "invalid_value", "attributes"),
        ({"occurred_at": 1718006700}, "invalid_value", "occurred_at"),
        ({"occurred_at": "2026-01-01T00:00:00"}, "invalid_time", "occurred_at"),
        ({"source": 5}, "invalid_value", "source"),
        ({"points": 5}, "unknown_field", "points"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Json], code: str, field: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        item_draft({**ITEM, **change})

    assert (refusal.value.code, refusal.value.field) == (code, field)


@pytest.mark.parametrize("item", [None, 7, "x", []])
def test_an_item_is_an_object(item: Json) -> None:
    with pytest.raises(InvalidInput):
        item_draft(item)

    assert id_of(item) is None
