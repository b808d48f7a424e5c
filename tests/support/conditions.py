"""Random conditions and random events for them: every operator meets every kind of value."""

from typing import Any

from hypothesis import strategies as st

_TEXTS = ("", "a", "ab", "b", "a b", "A")
_SCALARS = st.sampled_from([*_TEXTS, 0, 1, 1.0, 2, 2.5, -1, 2**53, True, False, None])
_VALUES = _SCALARS | st.sampled_from([[], ["a", 1], [True], {}, {"b": "a"}, {"b": {"c": 1}}, {"b": [1.0]}])
_ORDERED = st.sampled_from([*_TEXTS, 0, 1, 1.0, 2.5])

_ARGUMENTS: dict[str, st.SearchStrategy[Any]] = {
    "eq": _SCALARS,
    "ne": _SCALARS,
    "in": st.lists(_SCALARS, min_size=1, max_size=4),
    "not_in": st.lists(_SCALARS, min_size=1, max_size=4),
    "gt": _ORDERED,
    "gte": _ORDERED,
    "lt": _ORDERED,
    "lte": _ORDERED,
    "exists": st.booleans(),
    "contains": _SCALARS,
    "starts_with": st.sampled_from(_TEXTS),
    "ends_with": st.sampled_from(_TEXTS),
    "matches": st.sampled_from(["", "a", "^a$", "(?i)^a", "(a|b)+$", r"\bb\b"]),
}
_FIELDS = ["type", "source", "properties.a", "properties.a.b", "properties.a.b.c", "properties.class"]

_operation = st.sampled_from(sorted(_ARGUMENTS)).flatmap(lambda name: st.tuples(st.just(name), _ARGUMENTS[name]))
_tests = _SCALARS | st.lists(_operation, min_size=1, max_size=2).map(dict)
_fields = st.dictionaries(st.sampled_from(_FIELDS), _tests, min_size=1, max_size=2)


def conditions() -> st.SearchStrategy[dict[str, Any]]:
    """Valid conditions over an event, nested a little."""
    return st.recursive(
        _fields,
        lambda inner: st.one_of(
            st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=3)}),
            st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)}),
            st.fixed_dictionaries({"not": inner}),
        ),
        max_leaves=6,
    )


def properties() -> st.SearchStrategy[dict[str, Any]]:
    """Properties of an event that such conditions ask for, of any kind or missing."""
    return st.dictionaries(st.sampled_from(["a", "class"]), _VALUES)
