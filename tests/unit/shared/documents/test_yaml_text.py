"""YAML as its authors mean it."""

import pytest

from shared.documents.yaml_text import read_yaml
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
