"""Where in a JSON text the trouble is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.json_text import first_element, offset_of, path_at, split_array

VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(values=st.lists(VALUES, max_size=5), indent=st.sampled_from([None, 2]))
def test_an_array_falls_into_the_texts_of_its_elements(values: list[object], indent: int | None) -> None:
    text = json.dumps(values, indent=indent).encode()

    parts = split_array(text, most=100)

    assert parts is not None
    assert [json.loads(part) for part in parts] == values  # noqa: TID251
    first = first_element(text)
    assert (None if first is None else [json.loads(first)]) == (values[:1] or None)  # noqa: TID251


@pytest.mark.parametrize("text", [b"", b"{}", b"[1", b"[1}]", b"[[1]", b"[1] 2", b"1,2"])
def test_what_does_not_hold_together_is_no_array(text: bytes) -> None:
    parts = split_array(text, most=100)

    assert parts is None or parts == [b"1}"]


def test_the_texts_of_elements_are_the_bytes_as_they_came() -> None:
    assert split_array(b' [ {"a" : "],\\"["} , 2,NaN ] ', most=3) == [b'{"a" : "],\\"["}', b"2", b"NaN"]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (b"#", None),
        (b'{"a": #}', "a"),
        (b'{"a": 1, "b": {"c": #}}', "b.c"),
        (b'{"a": [1, {"b": 2}, #]}', "a[2]"),
        (b'{"a": {"x": 1}, "b": #}', "b"),
        (b"[[1], [2, #]]", "[1][1]"),
        (b'{"a:b": {"c,d": #}}', "a:b.c,d"),
    ],
)
def test_a_byte_lies_in_a_field(text: bytes, path: str | None) -> None:
    assert path_at(text, text.index(b"#")) == path


def test_a_parser_tells_line_and_column() -> None:
    text = b'{\n "a": 1,\n  "b": nul}'

    offset = offset_of("expected ident at line 3 column 10", text)

    assert offset is not None
    assert path_at(text, offset) == "b"
    assert offset_of("no idea", text) is None


@given(st.binary(max_size=80), st.integers(0, 80))
def test_any_bytes_have_a_path_or_none(text: bytes, offset: int) -> None:
    path = path_at(text, offset)

    assert path is None or len(path) <= 120


def test_no_more_elements_are_cut_out_than_are_wanted() -> None:
    assert split_array(b"[1,2,3,4,5,6]", most=2) == [b"1", b"2", b"3"]


HOSTILE = {
    "escaped quotes": b'["' + b'\\"' * 2_000_000,
    "backslashes": b'["' + b"\\" * 4_000_001,
    "brackets": b"[" * 4_000_000,
    "objects": b"[" + b'{"":' * 1_000_000,
    "commas": b"[" + b"," * 4_000_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.timeout(10)
def test_hostile_texts_do_not_keep_others_waiting(text: bytes) -> None:
    parts = split_array(text, most=100)
    first = first_element(text)

    assert parts is None or len(parts) == 101
    assert first is None
    assert path_at(text, len(text)) is None


def test_of_a_long_body_only_the_first_element_is_looked_at() -> None:
    assert first_element(b'[{"a": 1}, ' + b"x" * 1_000_000) == b'{"a": 1}'
    assert first_element(b'[{"a": "' + b"x" * 100_000 + b'"}]') is None
