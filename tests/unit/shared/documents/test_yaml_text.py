"""YAML as its authors mean it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.documents.yaml_text import read_yaml, write_yaml
from shared.errors import InvalidInput
from shared.events.json import Json


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on: page_viewed", {"on": "page_viewed"}),
        ("answer: yes", {"answer": "yes"}),
        ("{1: 60, A: 0}", {"1": 60, "A": 0}),
        ("from: 09:30", {"from": "09:30"}),
        ("day: 2026-03-02", {"day": "2026-03-02"}),
        ("zip: 0123", {"zip": "0123"}),
        ("[1, -2, 2.5, 1e3, true, false, null, ~]", [1, -2, 2.5, 1000.0, True, False, None, None]),
        ('{"a": [1, "x"]}', {"a": [1, "x"]}),
        ('{\t"smile": "\\ud83d\\ude00"}', {"smile": "\U0001f600"}),
        ("half_life: none", {"half_life": "none"}),
    ],
    ids=repr,
)
def test_values_are_what_they_look_like(text: str, value: Json) -> None:
    assert read_yaml(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "a: &x [1]\nb: *x",
        "a: 1\na: 2",
        "{[1]: 2}",
        "a: b: c",
        "!!python/object:os.system x",
        "a: \x00",
        "[" * 3000,
        "a" * 1_048_577,
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_plain_document_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        read_yaml(text)


_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
_words = st.one_of(_text, st.sampled_from(["on", "none", "1", "1e5", "true", "~", "2026-03-02", "9:30"]))
_documents = st.dictionaries(
    _words,
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(-1e9, 1e9), _words),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_words, inner, max_size=3)),
        max_leaves=8,
    ),
    max_size=4,
)


@settings(max_examples=100)
@given(_documents)
def test_what_is_written_is_read_as_the_same(document: Json) -> None:
    assert read_yaml(write_yaml(document)) == document


def test_a_model_is_written_as_people_write_it() -> None:
    assert write_yaml(
        {"rules": [{"id": "a", "on": "x", "limit": {"count": 1, "per": "day"}}], "bands": {"1": 60}}
    ) == ("rules:\n- id: a\n  on: x\n  limit: {count: 1, per: day}\nbands: {'1': 60}\n")
