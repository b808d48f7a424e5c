"""From rows to items: what they hold, and ids that tell rows apart and stay the same."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.importing.mapping import ImportMapping, parse_mapping
from services.ingest.importing.translation import event_id, items_of
from services.ingest.importing.values import Kind
from shared.errors import InvalidInput
from shared.events.json import Json

NOW = datetime(2026, 3, 2, tzinfo=UTC)
ROW: Mapping[str, Json] = {"id": "7", "mail": " Ann@Acme.example", "at": "2024-01-31", "won": "", "city": "Select"}


def a_mapping(event: Mapping[str, Json] | None = None, **sections: Json) -> ImportMapping:
    plain: dict[str, Json] = {"occurred_at": "at", **(event or {})}
    return parse_mapping({"lead": {"email": "mail"}, "events": {"signed_up": plain}, **sections})


def item_of(row: Mapping[str, Json], mapping: ImportMapping) -> Any:
    [item] = items_of(row, mapping, NOW)
    return item.element


def id_of(row: Mapping[str, Json], mapping: ImportMapping) -> str:
    return event_id(mapping.source, mapping.events[0], row)


def test_an_item_holds_what_the_mapping_finds() -> None:
    lead: Json = {"email": "mail", "external_ids": {"crm": "id", "none": "won"}, "anonymous_id": "won"}
    mapping = a_mapping(
        {
            "type": "lead_captured",
            "properties": {"number": {"column": "id", "as": "number"}, "channel": {"value": "fair"}, "won": "won"},
            "attributes": {"city": "city"},
        },
        lead=lead,
        nulls=["Select"],
        source="crm",
    )

    item = item_of(ROW, mapping)

    assert item == {
        "id": item["id"],
        "source": "crm",
        "type": "lead_captured",
        "occurred_at": "2024-01-31T00:00:00+00:00",
        "lead": {"email": "Ann@Acme.example", "external_ids": {"crm": "7"}, "anonymous_id": None},
        "properties": {"number": 7, "channel": "fair"},
        "attributes": {},
    }


def test_a_row_may_stand_for_several_events_or_none() -> None:
    won: Json = {"when": {"won": {"exists": True}}, "occurred_at": "won"}
    captured: Json = {"when": {"at": {"exists": True}}, "occurred_at": "at"}
    mapping = parse_mapping({"lead": {"email": "mail"}, "events": {"captured": captured, "deal_won": won}})

    def names(**changes: Json) -> list[str]:
        return [item.event for item in items_of({**ROW, **changes}, mapping, NOW)]

    assert names() == ["captured"]
    assert names(won="2024-02-01") == ["captured", "deal_won"]
    assert names(at="") == []


def test_the_events_of_one_row_have_ids_of_their_own() -> None:
    both: Json = {"first": {"occurred_at": "at", "id": "id"}, "second": {"occurred_at": "at", "id": "id"}}
    mapping = parse_mapping({"lead": {"email": "mail"}, "events": both})

    assert len({event_id("import", event, ROW) for event in mapping.events}) == 2


def test_the_order_of_columns_does_not_make_another_row() -> None:
    assert id_of(ROW, a_mapping()) == id_of(dict(sorted(ROW.items(), reverse=True)), a_mapping())


def test_only_the_columns_of_the_id_tell_rows_apart_when_there_are_some() -> None:
    mapping = a_mapping({"id": ["id", "mail"]})

    assert id_of(ROW, mapping) == id_of({**ROW, "city": "Rome"}, mapping)
    assert id_of(ROW, mapping) != id_of({**ROW, "id": "8"}, mapping)


def test_the_same_row_of_another_source_is_another_event() -> None:
    assert id_of(ROW, a_mapping(source="a")) != id_of(ROW, a_mapping(source="b"))


def test_what_is_mapped_does_not_change_an_id() -> None:
    assert id_of(ROW, a_mapping()) == id_of(ROW, a_mapping({"properties": {"city": "city"}, "type": "other"}))


_CELLS = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.text(max_size=4), min_size=3)


@given(_CELLS, _CELLS)
def test_two_rows_have_one_id_only_if_they_are_the_same(left: dict[str, str], right: dict[str, str]) -> None:
    whole, columns = a_mapping(), a_mapping({"id": ["a", "b", "c"]}, trim=False)

    assert (id_of(dict(left), whole) == id_of(dict(right), whole)) is (left == right)
    if all(left.values()) and all(right.values()):
        assert (id_of(dict(left), columns) == id_of(dict(right), columns)) is (left == right)


def test_a_row_that_lacks_something_is_refused_by_name() -> None:
    def fault(row: Mapping[str, Json], **event: Json) -> tuple[str, str | None]:
        element = item_of({**ROW, **row}, a_mapping(event))
        assert isinstance(element, InvalidInput)
        return element.code, element.field

    assert fault({"id": ""}, id="id") == ("missing", "id")
    assert fault({"at": ""}) == ("missing", "occurred_at")
    assert fault({"at": "2027-01-01"}) == ("invalid_time", "occurred_at")
    assert fault({}, type={"column": "won"}) == ("invalid_type", "type")
    assert fault({}, properties={"n": {"column": "city", "as": "number"}}) == ("invalid_value", "properties.n")
    assert fault({"mail": ["a"]}) == ("invalid_value", "lead.email")


_JSON: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["a", "b", "at", "mail"]), _JSON))
def test_no_row_of_json_crashes_a_mapping(row: dict[str, Json]) -> None:
    kinds: dict[str, Json] = {str(kind): {"column": "a.b", "as": str(kind)} for kind in Kind}
    event: dict[str, Json] = {"properties": kinds, "type": {"column": "a", "as": "name"}, "id": ["a", "b"]}

    elements = [item.element for item in items_of(row, a_mapping(event), NOW)]

    assert [isinstance(element, InvalidInput | dict) for element in elements] == [True]
