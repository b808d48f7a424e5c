"""A mapping document: what it may say, and every fault with its path."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from services.ingest.importing.mapping import parse_mapping
from services.ingest.importing.translation import items_of
from shared.documents.yaml_text import read_yaml
from shared.errors import InvalidDocument
from shared.events.json import Json
from tests.support.datasets import MAPPINGS

NOW = datetime(2026, 3, 2, tzinfo=UTC)


def a_mapping(event: Mapping[str, Json] | None = None, **sections: Json) -> dict[str, Json]:
    """A good mapping with one event; `event` and `sections` change it."""
    plain: dict[str, Json] = {"occurred_at": "at", **(event or {})}
    return {"lead": {"email": "mail"}, "events": {"signed_up": plain}, **sections}


def faults_of(document: Json) -> dict[str, str]:
    with pytest.raises(InvalidDocument) as refused:
        parse_mapping(document)
    return {fault.path: fault.message for fault in refused.value.faults}


def test_what_is_not_said_has_a_default() -> None:
    mapping = parse_mapping(a_mapping())

    assert (mapping.source, mapping.workspace, mapping.format) == ("import", "default", None)
    assert (mapping.encoding, mapping.delimiter) == ("utf-8", ",")
    assert mapping.events[0].type.constant == "signed_up"


@pytest.mark.parametrize("path", sorted(MAPPINGS.glob("*.yaml")), ids=lambda path: path.name)
def test_the_examples_are_good_mappings(path: object) -> None:
    assert parse_mapping(read_yaml(path.read_text(encoding="utf-8"))).events  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (a_mapping(colour="red"), "colour"),
        (a_mapping(source="two words"), "source"),
        (a_mapping(workspace="Not A Slug"), "workspace"),
        (a_mapping(format="xlsx"), "format"),
        (a_mapping(encoding="klingon"), "encoding"),
        (a_mapping(encoding="hex"), "encoding"),
        (a_mapping(delimiter=";;"), "delimiter"),
        (a_mapping(trim="yes"), "trim"),
        (a_mapping(nulls="unknown"), "nulls"),
        (a_mapping(nulls=[None]), "nulls"),
        (a_mapping(time_zone="Mars/Olympus"), "time_zone"),
        (a_mapping(time_zone="../etc/passwd"), "time_zone"),
        (a_mapping(lead={}), "events.signed_up.lead"),
        (a_mapping(lead={"phone": "x"}), "lead.phone"),
        (a_mapping(lead={"email": ["a"]}), "lead.email"),
        (a_mapping(lead={"external_ids": ["a"]}), "lead.external_ids"),
        (a_mapping(events={}), "events"),
        (a_mapping(events=["a"]), "events"),
        (a_mapping(events={"a": 1}), "events.a"),
        ({"lead": {"email": "mail"}, "events": {"a": {}}}, "events.a.occurred_at"),
        (a_mapping({"type": "Not Snake"}), "events.signed_up.type"),
        (a_mapping({"type": {"columns": "x"}}), "events.signed_up.type.columns"),
        (a_mapping({"id": []}), "events.signed_up.id"),
        (a_mapping({"id": [1]}), "events.signed_up.id"),
        (a_mapping({"occurred_at": {"column": "at", "form": "%H"}}), "events.signed_up.occurred_at.form"),
        (a_mapping({"occurred_at": {"column": "at", "form": 7}}), "events.signed_up.occurred_at.form"),
        (a_mapping({"occurred_at": {"column": "at", "time_zone": "x"}}), "events.signed_up.occurred_at.time_zone"),
        (a_mapping({"occurred_at": {"value": "soon"}}), "events.signed_up.occurred_at"),
        (a_mapping({"when": "a"}), "events.signed_up.when"),
        (a_mapping({"when": {"a": {}}}), "events.signed_up.when.a"),
        (a_mapping({"when": {"a": {"gt": 1}}}), "events.signed_up.when.a.gt"),
        (a_mapping({"when": {"a": {"matches": "("}}}), "events.signed_up.when.a.matches"),
        (a_mapping({"when": {"a": {"in": []}}}), "events.signed_up.when.a.in"),
        (a_mapping({"properties": {"p": {"column": "x", "as": "money"}}}), "events.signed_up.properties.p.as"),
        (a_mapping({"properties": {"p": {"column": "x", "map": 1}}}), "events.signed_up.properties.p.map"),
        (a_mapping({"properties": {"p": {"value": None}}}), "events.signed_up.properties.p.value"),
        (a_mapping({"properties": {"p": {"value": 1, "column": "x"}}}), "events.signed_up.properties.p.column"),
        (a_mapping({"attributes": {"not a name": "x"}}), "events.signed_up.attributes.not a name"),
        ("text", ""),
    ],
)
def test_a_fault_is_told_with_its_path(document: Json, path: str) -> None:
    assert path in faults_of(document)


def test_all_faults_are_told_at_once() -> None:
    document = a_mapping({"type": "No", "id": []}, delimiter="", time_zone=5)

    assert set(faults_of(document)) == {"events.signed_up.type", "events.signed_up.id", "delimiter", "time_zone"}


def test_every_column_is_looked_for_in_the_header() -> None:
    mapping = parse_mapping(a_mapping({"id": "key", "when": {"state": "won"}, "properties": {"p": {"value": 1}}}))
    mapping.check_header(["at", "mail", "key", "state", "more"])

    with pytest.raises(InvalidDocument) as refused:
        mapping.check_header(["at", "more"])

    assert [fault.path for fault in refused.value.faults] == [
        "lead.email",
        "events.signed_up.id",
        "events.signed_up.when.state",
    ]


@pytest.mark.parametrize(
    ("condition", "cell", "holds"),
    [
        ({"exists": True}, "x", True),
        ({"exists": True}, " ", False),
        ({"exists": True}, None, False),
        ({"exists": False}, "unknown", True),
        ("Won", "Won ", True),
        ("Won", "won", False),
        (1, "1", True),
        ("1", 1, True),
        (True, "true", True),
        ({"in": ["Won", 2]}, 2, True),
        ({"not_in": ["Won"]}, "Lost", True),
        ({"starts_with": "A_", "ne": "A_X"}, "A_X", False),
        ({"matches": "^[AO]_"}, "O_SENT", True),
    ],
)
def test_a_condition_compares_cells_as_text(condition: Json, cell: Json, holds: bool) -> None:
    mapping = parse_mapping(a_mapping({"when": {"state": condition}}, nulls=["unknown"]))
    row: dict[str, Json] = {"at": "2024-01-01", "mail": "a@b.example", "state": cell}

    assert bool(list(items_of(row, mapping, NOW))) is holds
