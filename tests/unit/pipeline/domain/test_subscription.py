"""Filters of subscriptions."""

import pytest

from services.pipeline.domain.subscription import parse_filter, passes
from shared.errors import InvalidDocument
from shared.events.json import Json

MESSAGE: dict[str, Json] = {"type": "lead.stage_changed", "data": {"to_stage": "mql", "sequence": 1, "won": True}}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({}, True),
        ({"data.to_stage": "mql"}, True),
        ({"data.to_stage": ["sql", "mql"]}, True),
        ({"data.to_stage": "sql"}, False),
        ({"data.to_stage": "mql", "type": "x"}, False),
        ({"data.sequence": 1.0}, True),
        ({"data.sequence": True}, False),
        ({"data.won": True}, True),
        ({"data.won": 1}, False),
        ({"data.missing": None}, True),
        ({"data.missing.deeper": "x"}, False),
        ({"data.sequence": {"gte": 1, "lt": 2}}, True),
        ({"data.sequence": {"gt": 1}}, False),
        ({"data.sequence": [{"gt": 1}, 1]}, True),
        ({"data.to_stage": {"matches": "^m"}}, True),
        ({"data.to_stage": {"not_in": ["won", "lost"]}}, True),
        ({"data.missing": {"exists": False}}, True),
        ({"data.to_stage": {"exists": True, "ne": "mql"}}, False),
    ],
)
def test_a_message_passes_with_a_wanted_value_at_every_path(document: dict[str, Json], expected: bool) -> None:
    assert passes(parse_filter(document), MESSAGE) is expected


@pytest.mark.parametrize(
    "document",
    [
        {"": 1},
        {"a..b": 1},
        {"a b": 1},
        {"a": []},
        {"a": [[1]]},
        {"a": {}},
        {"a": {"above": 1}},
        {"a": {"gte": True}},
        {"a": [1, {"matches": "("}]},
    ],
)
def test_a_filter_that_is_none_is_refused(document: dict[str, Json]) -> None:
    with pytest.raises(InvalidDocument):
        parse_filter(document)
