"""JSON from strangers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidInput
from shared.events.json import Json, JsonLimits, is_sound, json_faults, parse_json

LIMITS = JsonLimits(depth=3, keys=2, items=2, string_length=5)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"NaN", b"[Infinity]", b'"\\ud800"', b'"\xff"', b"[" * 10_000, b"9" * 5_000, b"{'a': 1}", b"1 2"],
)
def test_what_is_not_json_is_refused_whatever_its_depth(text: bytes) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse_json(text)

    assert refusal.value.code == "not_json"


@given(st.binary(max_size=60))
def test_any_bytes_parse_or_are_refused(text: bytes) -> None:
    try:
        parse_json(text)
    except InvalidInput:
        return


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": "\x00"}, "a"),
        ({"a": {"b": "\udfff"}}, "a.b"),
        ({"a": ["x", float("inf")]}, "a[1]"),
        ({"a": float("nan")}, "a"),
        ({"a": 2**63}, "a"),
        ({"a": -(2**63)}, "a"),
        ({"a": "sixsix"}, "a"),
        ({"\x00": 1}, "\x00"),
        ([1, 2, 3], ""),
        ({"a": 1, "b": 2, "c": 3}, ""),
        ([[[[]]]], "[0][0][0]"),
    ],
)
def test_what_cannot_be_stored_exactly_is_named_by_its_path(value: Json, path: str) -> None:
    faults = list(json_faults(value, LIMITS))

    assert [where for where, _ in faults] == [path]


@pytest.mark.parametrize("value", [None, True, 2**63 - 1, -1.5, "fives", ["a", {}], {"a": {"b": [1]}}], ids=str)
def test_what_is_just_within_the_limits_has_no_fault(value: Json) -> None:
    assert list(json_faults(value, LIMITS)) == []


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64)
    | st.sampled_from([2**63 - 1, 2**63, -(2**63), 1 - 2**63])
    | st.floats()
    | st.text(st.characters(exclude_categories=[]) | st.sampled_from("\x00\ud800a"), max_size=7),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab\x00\ud800é", max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(VALUES)
def test_what_is_sound_is_what_has_no_fault(value: Json) -> None:
    assert is_sound(value, LIMITS) == (not list(json_faults(value, LIMITS)))
