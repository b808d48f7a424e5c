"""The schema for editors and the parser say the same, as far as a schema can say it."""

import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scorer.domain.models.document import parse_model
from services.scorer.domain.models.schema import ARGUMENTS, BEYOND, model_schema
from shared.documents.conditions import OPERATORS
from shared.documents.yaml_text import read_yaml
from shared.errors import InvalidDocument
from tests.unit.scorer.histories import MODEL_DOCUMENT

EXAMPLES = Path(__file__).resolve().parents[4] / "deploy" / "examples"
SCHEMA = jsonschema.Draft7Validator(model_schema())


def parses(document: Any) -> bool:
    try:
        parse_model(document)
    except InvalidDocument:
        return False
    return True


def fits(document: Any) -> bool:
    return bool(SCHEMA.is_valid(document))


_names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,7}", fullmatch=True)
_numbers = st.one_of(st.integers(-1000, 1000), st.floats(-1000, 1000, allow_nan=False))
_durations = st.one_of(st.just("none"), st.builds("{}{}".format, st.integers(1, 99), st.sampled_from("smhdw")))
_days = st.one_of(st.just("none"), st.builds("{}{}".format, st.integers(1, 99), st.sampled_from("dw")))
_scalars = st.one_of(st.none(), st.booleans(), _numbers, st.text(max_size=5))
_arguments: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("eq", "ne", "contains"), _scalars),
    **dict.fromkeys(("in", "not_in"), st.lists(_scalars, min_size=1, max_size=3)),
    **dict.fromkeys(("gt", "gte", "lt", "lte"), st.one_of(_numbers, st.text(max_size=5))),
    **dict.fromkeys(("starts_with", "ends_with"), st.text(max_size=5)),
    "exists": st.booleans(),
    "matches": st.sampled_from(["(?i)chief", "^a.*b$", ""]),
}
_tests = st.one_of(
    _scalars,
    st.sampled_from(sorted(_arguments)).flatmap(lambda name: st.fixed_dictionaries({name: _arguments[name]})),
)


def _conditions(fields: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.dictionaries(fields, _tests, min_size=1, max_size=2),
        lambda inner: st.one_of(
            st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=2)}),
            st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=2)}),
            st.fixed_dictionaries({"not": inner}),
        ),
        max_leaves=3,
    )


_event_fields = st.sampled_from(["type", "source", "properties.path", "properties.plan.name", "properties.ä b"])
_attribute_fields = st.sampled_from(["attributes.title", "attributes.a.b"])
_limits = st.fixed_dictionaries(
    {"count": st.integers(1, 9), "per": st.sampled_from(["hour", "day", "week", "month", "ever"])},
    optional={"by": _event_fields},
)
_bounds = {
    "min": st.one_of(st.just("none"), st.integers(-9, 0)),
    "max": st.one_of(st.just("none"), st.integers(1, 9)),
}


@st.composite
def models(draw: st.DrawFn) -> dict[str, Any]:
    """Valid documents that use every part of the form."""
    groups = draw(st.dictionaries(_names, st.fixed_dictionaries({}, optional=_bounds), max_size=2))
    shared: dict[str, Any] = {"description": st.text(max_size=5)}
    if groups:
        shared["group"] = st.sampled_from(sorted(groups))
    ids = draw(st.lists(_names, min_size=2, max_size=4, unique=True))
    events = [draw(_event_rules(id_, shared)) for id_ in ids]
    facts = [draw(_attribute_rules(id_, shared)) for id_ in ids]
    by_events = {
        "rules": events,
        "groups": groups,
        **draw(st.fixed_dictionaries({}, optional={**_bounds, "half_life": _durations})),
    }
    by_facts = {"rules": facts, "groups": groups, **draw(st.fixed_dictionaries({}, optional=_bounds))}
    combined = {
        "combine": {"e": draw(_numbers), "f": draw(_numbers)},
        **draw(st.fixed_dictionaries({}, optional=_bounds)),
    }
    return {
        "model": draw(_names),
        "scores": {"e": by_events, "f": by_facts, "t": combined},
        **draw(st.fixed_dictionaries({}, optional={"description": st.text(max_size=5)})),
        **draw(st.sampled_from([{}, _BANDS])),
    }


_BANDS: dict[str, Any] = {
    "bands": {"e": {"1": 5, "2": 0}, "f": {"A": 1.5}},
    "grade": ["f", "e"],
    "thresholds": {
        "hot": {"score": "t", "enter": 5, "exit": 2.5, "cooldown": "7d"},
        "warm": {"score": "e", "enter": 1, "cooldown": "none"},
        "mql": {"grade": ["A1"]},
        "sql": {"grade": "A2"},
    },
}


def _event_rules(id_: str, shared: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "id": st.just(id_),
            "on": st.one_of(_names, st.lists(_names, min_size=1, max_size=2, unique=True)),
            "points": _numbers,
        },
        optional={
            **shared,
            "if": _conditions(_event_fields),
            "half_life": _durations,
            "expires_after": _days,
            "limit": _limits,
        },
    )


def _attribute_rules(id_: str, shared: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"id": st.just(id_), "points": _numbers, "if": _conditions(_attribute_fields)}, optional=shared
    )


@settings(max_examples=60)
@given(models())
def test_what_is_valid_fits_the_schema(document: dict[str, Any]) -> None:
    assert parses(document)
    assert fits(document)


@pytest.mark.parametrize(
    "document",
    [MODEL_DOCUMENT, read_yaml((EXAMPLES / "model.yaml").read_text(encoding="utf-8"))],
    ids=["test", "example"],
)
def test_models_of_ours_fit(document: Any) -> None:
    assert parses(document)
    assert fits(document)


def a_model(*path: str | int, value: Any = None, without: bool = False) -> dict[str, Any]:
    """A valid model in which what stands at `path` is `value`, or nothing."""
    rule = {"id": "r", "on": "x", "points": 1, "if": {"properties.p": {"gt": 1}}, "limit": {"count": 1, "per": "day"}}
    document: dict[str, Any] = {
        "model": "m",
        "scores": {
            "e": {"rules": [rule], "groups": {"g": {"max": 1}}},
            "f": {"rules": [{"id": "r", "if": {"attributes.a": 1}, "points": 1}]},
            "t": {"combine": {"e": 1}},
        },
        **copy.deepcopy(_BANDS),
    }
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    if without:
        del place[path[-1]]
    elif path:
        place[path[-1]] = value
    return document


RULE = ("scores", "e", "rules", 0)
FACT = ("scores", "f", "rules", 0)
MISSING: Any = object()
FAULTS: list[tuple[tuple[str | int, ...], Any]] = [
    (("model",), ""),
    (("model",), MISSING),
    (("model",), "two words"),
    (("model",), "x" * 65),
    (("description",), 1),
    (("description",), None),
    (("version",), 1),
    (("scores",), {}),
    (("scores",), MISSING),
    (("scores",), []),
    (("scores", "two words"), {"combine": {"e": 1}}),
    (("scores", "e", "rules"), []),
    (("scores", "e", "rules"), MISSING),
    (("scores", "e", "rules"), {}),
    (("scores", "e", "max"), "high"),
    (("scores", "e", "max"), 10**13),
    (("scores", "e", "half_life"), "2 weeks"),
    (("scores", "e", "half_life"), "0d"),
    (("scores", "e", "decay"), "2d"),
    (("scores", "e", "groups", "g", "cap"), 2),
    (("scores", "e", "groups", "g"), 2),
    (("scores", "f", "half_life"), "2d"),
    (("scores", "t", "combine"), {}),
    (("scores", "t", "combine", "e"), "half"),
    (("scores", "t", "rules"), []),
    ((*RULE, "id"), MISSING),
    ((*RULE, "id"), 7),
    ((*RULE, "on"), []),
    ((*RULE, "on"), ["a", "a"]),
    ((*RULE, "on"), None),
    ((*RULE, "points"), MISSING),
    ((*RULE, "points"), True),
    ((*RULE, "points"), "5"),
    ((*RULE, "point"), 5),
    ((*RULE, "half_life"), "1y"),
    ((*RULE, "expires_after"), "24h"),
    ((*RULE, "group"), "two words"),
    ((*RULE, "limit", "count"), 0),
    ((*RULE, "limit", "count"), 1.5),
    ((*RULE, "limit", "count"), True),
    ((*RULE, "limit", "count"), MISSING),
    ((*RULE, "limit", "per"), "year"),
    ((*RULE, "limit", "per"), MISSING),
    ((*RULE, "limit", "by"), "attributes.a"),
    ((*RULE, "limit", "by"), "properties"),
    ((*RULE, "limit", "each"), 1),
    ((*RULE, "if"), {}),
    ((*RULE, "if"), []),
    ((*RULE, "if", "attributes.a"), 1),
    ((*RULE, "if", "properties."), 1),
    ((*RULE, "if", "properties.a..b"), 1),
    ((*RULE, "if", "properties.p"), {}),
    ((*RULE, "if", "properties.p"), [1]),
    ((*RULE, "if", "properties.p", "like"), 1),
    ((*RULE, "if", "properties.p", "gt"), True),
    ((*RULE, "if", "properties.p", "in"), []),
    ((*RULE, "if", "properties.p", "in"), [[1]]),
    ((*RULE, "if", "properties.p", "exists"), 1),
    ((*RULE, "if", "properties.p", "contains"), {"a": 1}),
    ((*RULE, "if", "properties.p", "starts_with"), 1),
    ((*RULE, "if", "properties.p", "matches"), 1),
    ((*RULE, "if", "all"), []),
    ((*RULE, "if", "all"), {"type": 1}),
    ((*RULE, "if", "any"), [{"attributes.a": 1}]),
    ((*RULE, "if", "not"), {}),
    ((*FACT, "if"), MISSING),
    ((*FACT, "if"), {"properties.a": 1}),
    ((*FACT, "half_life"), "1d"),
    ((*FACT, "limit"), {"count": 1, "per": "day"}),
    (("bands",), []),
    (("bands", "t"), {}),
    (("bands", "t"), {"hot": "high"}),
    (("bands", "t"), {"two words": 1}),
    (("grade",), ["f"]),
    (("grade",), ["f", "f"]),
    (("grade",), "fe"),
    (("thresholds", "two words"), {"score": "t", "enter": 1}),
    (("thresholds", "hot", "enter"), MISSING),
    (("thresholds", "hot", "score"), MISSING),
    (("thresholds", "hot", "exit"), "low"),
    (("thresholds", "hot", "cooldown"), "soon"),
    (("thresholds", "hot", "leave"), 1),
    (("thresholds", "mql", "grade"), []),
    (("thresholds", "mql", "enter"), 1),
]


@pytest.mark.parametrize(("path", "value"), FAULTS, ids=lambda value: str(value)[:60])
def test_a_fault_is_refused_by_both(path: tuple[str | int, ...], value: Any) -> None:
    assert parses(a_model())
    assert fits(a_model())
    document = a_model(*path, without=True) if value is MISSING else a_model(*path, value=value)

    assert not parses(document)
    assert not fits(document)


DEEP: dict[str, Any] = {"type": "x"}
for _ in range(18):
    DEEP = {"not": DEEP}

ONLY_THE_PARSER: list[tuple[tuple[str | int, ...], Any]] = [
    ((*RULE, "group"), "other"),
    (("grade",), ["f", "t"]),
    (("bands", "e"), {"1": 5, "2": 5}),
    (("scores", "e", "groups", "g", "min"), 2),
    (("scores", "t", "combine"), {"t": 1}),
    ((*RULE, "if", "properties.p", "matches"), "("),
    ((*RULE, "half_life"), "99999w"),
    ((*RULE, "limit", "count"), 3.0),
    ((*RULE, "if"), DEEP),
]


@pytest.mark.parametrize(("path", "value"), ONLY_THE_PARSER, ids=lambda value: str(value)[:60])
def test_what_is_beyond_a_schema_is_refused_by_the_parser(path: tuple[str | int, ...], value: Any) -> None:
    document = a_model(*path, value=value)

    assert not parses(document)
    assert fits(document)


def test_what_is_beyond_a_schema_is_listed() -> None:
    assert len(BEYOND) == len(ONLY_THE_PARSER)


def test_the_schema_is_one_itself_and_knows_every_operator() -> None:
    jsonschema.Draft7Validator.check_schema(model_schema())
    assert ARGUMENTS.keys() == OPERATORS.keys() == _arguments.keys()
