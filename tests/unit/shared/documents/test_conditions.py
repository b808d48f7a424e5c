"""The condition language: what each test means, and every fault with its path."""

import pytest

from shared.documents.conditions import ATTRIBUTE_FIELDS, EVENT_FIELDS, Clause, ConditionCompiler, Fields
from shared.errors import Fault
from shared.events.json import Json

EVENT: Fields = {
    "type": "page_viewed",
    "source": "web",
    "properties": {
        "path": "/pricing/enterprise",
        "amount": 100,
        "ratio": 1.0,
        "paid": True,
        "note": None,
        "tags": ["a", 1],
        "plan": {"name": "pro"},
    },
}


TEXTS = [("/p", 10), ("/q", 10), ("/p", 200), ("/q", 200)]


def read(condition: Json) -> Clause:
    faults: list[Fault] = []
    clause = ConditionCompiler(EVENT_FIELDS, faults).compile(condition, "if")
    assert faults == []
    return clause


def holds(condition: Json, fields: Fields = EVENT) -> bool:
    return read(condition)(fields)


def faults_of(condition: Json) -> list[tuple[str, str]]:
    faults: list[Fault] = []
    ConditionCompiler(EVENT_FIELDS, faults).compile(condition, "if")
    return [(fault.path, fault.message) for fault in faults]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"type": "page_viewed"}, True),
        ({"source": {"ne": "web"}}, False),
        ({"properties.plan.name": "pro"}, True),
        ({"properties.plan.name.first": "pro"}, False),
        ({"properties.amount": 100.0}, True),
        ({"properties.amount": "100"}, False),
        ({"properties.amount": {"ne": "100"}}, True),
        ({"properties.ratio": True}, False),
        ({"properties.paid": 1}, False),
        ({"properties.paid": True}, True),
        ({"properties.note": None}, True),
        ({"properties.note": {"exists": True}}, True),
        ({"properties.amount": {"gte": 100, "lt": 101}}, True),
        ({"properties.amount": {"gt": 100}}, False),
        ({"properties.amount": {"gt": "1"}}, False),
        ({"properties.amount": {"lte": 100}}, True),
        ({"properties.paid": {"gte": 0}}, False),
        ({"properties.path": {"gt": "/a"}}, True),
        ({"properties.path": {"in": ["/a", "/pricing/enterprise"]}}, True),
        ({"properties.amount": {"in": ["100"]}}, False),
        ({"properties.amount": {"not_in": ["100"]}}, True),
        ({"properties.path": {"contains": "enter"}}, True),
        ({"properties.tags": {"contains": "a"}}, True),
        ({"properties.tags": {"contains": True}}, False),
        ({"properties.amount": {"contains": "1"}}, False),
        ({"properties.path": {"starts_with": "/pricing"}}, True),
        ({"properties.path": {"ends_with": "/pricing"}}, False),
        ({"properties.path": {"matches": "(?i)\\bENTERPRISE\\b"}}, True),
        ({"properties.amount": {"matches": "1"}}, False),
        ({"all": [{"type": "page_viewed"}, {"source": "web"}]}, True),
        ({"any": [{"type": "x"}, {"source": "web"}]}, True),
        ({"any": [{"type": "x"}, {"source": "y"}]}, False),
        ({"not": {"type": "x", "source": "web"}}, True),
        ({"type": "page_viewed", "source": "crm"}, False),
    ],
    ids=repr,
)
def test_a_condition_means_what_the_page_says(condition: Json, expected: bool) -> None:
    assert holds(condition) is expected


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ({"eq": "x"}, False),
        ({"ne": "x"}, True),
        ({"in": ["x"]}, False),
        ({"not_in": ["x"]}, True),
        ({"gt": 0}, False),
        ({"gte": 0}, False),
        ({"lt": 0}, False),
        ({"lte": 0}, False),
        ({"exists": True}, False),
        ({"exists": False}, True),
        ({"contains": "x"}, False),
        ({"starts_with": "x"}, False),
        ({"ends_with": "x"}, False),
        ({"matches": "x"}, False),
        (None, False),
    ],
    ids=repr,
)
def test_a_missing_field_fails_every_test_but_three(test: Json, expected: bool) -> None:
    assert holds({"properties.absent": test}) is expected


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*a){12}$", "((a?){20}){20}a{400}$", "(?i)(a*)*b$"])
@pytest.mark.parametrize("length", [100, 8192])
def test_a_pattern_that_backtracks_elsewhere_answers_at_once(pattern: str, length: int) -> None:
    assert holds({"properties.path": {"matches": pattern}}, {"properties": {"path": "a" * length + "!"}}) is False


def test_a_pattern_that_would_take_much_memory_is_refused() -> None:
    ((path, message),) = faults_of({"properties.path": {"matches": "((a{100}){100}){100}"}})

    assert path == "if.properties.path.matches"
    assert "RE2" in message


def test_answers_that_a_pattern_remembers_are_those_it_gave() -> None:
    condition = read({"properties.path": {"matches": "^/p"}})

    for _ in range(2):
        answers = [condition({"properties": {"path": f"{start}{'x' * 200}"[:length]}}) for start, length in TEXTS]
        assert answers == [True, False, True, False]


@pytest.mark.parametrize(
    ("condition", "path"),
    [
        (None, "if"),
        ({}, "if"),
        ({"attributes.size": 1}, "if.attributes.size"),
        ({"properties": 1}, "if.properties"),
        ({"properties.": 1}, "if.properties."),
        ({"properties.x": {}}, "if.properties.x"),
        ({"properties.x": [1]}, "if.properties.x.eq"),
        ({"properties.x": {"like": 1}}, "if.properties.x.like"),
        ({"properties.x": {"in": "a"}}, "if.properties.x.in"),
        ({"properties.x": {"in": []}}, "if.properties.x.in"),
        ({"properties.x": {"gt": True}}, "if.properties.x.gt"),
        ({"properties.x": {"exists": 1}}, "if.properties.x.exists"),
        ({"properties.x": {"starts_with": 1}}, "if.properties.x.starts_with"),
        ({"properties.x": {"matches": "("}}, "if.properties.x.matches"),
        ({"properties.x": {"matches": "(?=a)"}}, "if.properties.x.matches"),
        ({"properties.x": {"matches": 1}}, "if.properties.x.matches"),
        ({"all": []}, "if.all"),
        ({"any": [{"type": "x"}, 1]}, "if.any[1]"),
        ({"not": {"all": {}}}, "if.not.all"),
    ],
    ids=repr,
)
def test_a_wrong_condition_is_a_fault_with_its_path(condition: Json, path: str) -> None:
    assert [found for found, _ in faults_of(condition)] == [path]


def test_every_fault_is_found_at_once() -> None:
    faults = faults_of({"all": [{"nowhere": 1}, {"type": {"like": 1, "gt": None}}]})

    assert [path for path, _ in faults] == ["if.all[0].nowhere", "if.all[1].type.like", "if.all[1].type.gt"]


def test_conditions_nested_without_end_are_refused() -> None:
    condition: Json = {"type": "x"}
    for _ in range(50):
        condition = {"not": condition}

    assert "nested deeper" in faults_of(condition)[0][1]


def test_an_attribute_condition_sees_attributes_alone() -> None:
    faults: list[Fault] = []

    ConditionCompiler(ATTRIBUTE_FIELDS, faults).compile({"attributes.a": 1, "type": "x"}, "if")

    assert [fault.path for fault in faults] == ["if.type"]
