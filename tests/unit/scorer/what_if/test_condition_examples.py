"""Examples satisfy their condition, whatever it is; what contradicts itself has none; words say the same."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scorer.domain.what_if.condition_examples import example, fields_of
from services.scorer.domain.what_if.condition_words import in_words
from shared.documents.conditions import EVENT_FIELDS, Clause, ConditionCompiler
from shared.errors import Fault


def compiled(document: Any) -> Clause:
    faults: list[Fault] = []
    clause = ConditionCompiler(EVENT_FIELDS, faults).compile(document, "if")
    assert faults == []
    return clause


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"properties.path": {"starts_with": "/pricing"}}, "path starts with /pricing"),
        ({"properties.path": "/a", "type": "page_viewed"}, "path is /a and type is page_viewed"),
        (
            {"properties.amount": {"gt": 100, "lt": 101}},
            "amount is above 100 and amount is below 101",
        ),
        ({"properties.tags": {"contains": "demo"}}, "tags contains demo"),
        ({"properties.plan.name": {"in": ["pro", "team"]}}, "plan.name is one of pro, team"),
        ({"properties.path": {"exists": False}}, "path is not given"),
        ({"properties.path": {"exists": True, "ne": "something"}}, "path is given and path is not something"),
        (
            {"any": [{"properties.a": 1}, {"all": [{"properties.b": True}, {"properties.c": None}]}]},
            "a is 1 or (b is true and c is null)",
        ),
        ({"not": {"any": [{"properties.a": {"gte": 5}}, {"properties.b": {"exists": True}}]}}, None),
        ({"properties.url": {"starts_with": "https://", "ends_with": ".pdf", "contains": "price"}}, None),
        ({"properties.title": {"matches": r"(?i)\b(chief|vp|head of \w+)\b"}}, None),
        ({"properties.code": {"matches": r"^[A-Z]{2}-\d{3,5}(\.\d)?$"}}, None),
        ({"properties.text": {"gt": "m"}}, None),
    ],
)
def test_an_example_satisfies_its_condition(document: Any, words: str | None) -> None:
    clause = compiled(document)

    found = example(clause)

    assert found is not None
    assert clause(fields_of(found))
    assert words is None or in_words(clause) == words


def test_what_contradicts_itself_has_no_example_and_is_given_up_soon() -> None:
    many = [{f"properties.f{number}": {"ne": number}} for number in range(12)]
    contradiction = [{"properties.x": 1}, {"properties.x": 2}]

    assert example(compiled({"all": [*many, *contradiction]})) is None
    assert example(compiled({"properties.x": {"matches": "[[:^alpha:]]{1000}"}})) is None


_fields = st.sampled_from(["properties.a", "properties.b", "properties.c.d", "source"])
_scalars = st.one_of(st.booleans(), st.integers(-5, 5), st.sampled_from(["x", "yes", ""]))
_tests = st.one_of(
    _scalars,
    st.fixed_dictionaries({}, optional={"gte": st.integers(-5, 5), "lt": st.integers(-5, 5)}).filter(bool),
    st.fixed_dictionaries({"not_in": st.lists(_scalars, min_size=1, max_size=3)}),
    st.fixed_dictionaries({"exists": st.booleans()}),
)
_conditions = st.recursive(
    st.dictionaries(_fields, _tests, min_size=1, max_size=2),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"not": inner}),
    ),
    max_leaves=5,
)


@given(_conditions)
def test_whatever_is_returned_satisfies_the_condition(document: Any) -> None:
    clause = compiled(document)

    found = example(clause)

    assert found is None or clause(fields_of(found))
