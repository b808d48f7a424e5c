"""Criteria know a third answer."""

import pytest

from services.pipeline.domain.criteria import compile_condition, compile_question, fields_of, is_given
from shared.errors import Fault
from shared.events.json import Json


def answer(document: Json, **attributes: Json) -> bool | None:
    faults: list[Fault] = []
    question = compile_question(document, "if", faults)
    assert not faults
    return question(fields_of(attributes))


RICH: Json = {"attributes.budget": {"gte": 100}}
SWEDISH: Json = {"attributes.country": "SE"}


@pytest.mark.parametrize(
    ("document", "attributes", "expected"),
    [
        (RICH, {"budget": 100}, True),
        (RICH, {"budget": 99}, False),
        (RICH, {}, None),
        ({"not": RICH}, {}, None),
        ({"not": RICH}, {"budget": 1}, True),
        ({"all": [RICH, SWEDISH]}, {"budget": 1}, False),
        ({"all": [RICH, SWEDISH]}, {"budget": 100}, None),
        ({"any": [RICH, SWEDISH]}, {"budget": 100}, True),
        ({"any": [RICH, SWEDISH]}, {"budget": 1}, None),
        ({"attributes.budget": {"exists": True}}, {}, None),
        ({"attributes.budget": {"exists": True}}, {"budget": 1}, True),
        ({"attributes.budget": {"exists": False}}, {}, True),
        ({"attributes.country": {"ne": "SE"}}, {}, None),
    ],
)
def test_what_is_missing_is_unknown_unless_the_rest_decides(
    document: Json, attributes: dict[str, Json], expected: bool | None
) -> None:
    assert answer(document, **attributes) is expected


@pytest.mark.parametrize("document", [{"properties.path": "/"}, {"type": "x"}, {}, [], {"attributes.a": {"like": 1}}])
def test_a_criterion_sees_attributes_alone(document: Json) -> None:
    faults: list[Fault] = []

    compile_question(document, "if", faults)
    compile_condition(document, "if", faults)

    assert len(faults) >= 2


@pytest.mark.parametrize(("value", "given"), [(0, True), (False, True), ("x", True), (None, False), ("", False)])
def test_null_and_empty_text_are_no_value(value: Json, given: bool) -> None:
    assert is_given(fields_of({"amount": value}), "attributes.amount") is given
