"""Form bodies: order, repetition and brackets mean something, and sizes are bounded."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.kinds.forms import parse_form
from shared.errors import InvalidInput
from shared.events.json import Json
from tests.support.webhooks import as_form

NAMES = st.text(st.characters(exclude_characters="[]", exclude_categories=["Cs"]), min_size=1, max_size=6)
VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@pytest.mark.parametrize(
    ("body", "tree"),
    [
        (b"", {}),
        (b"a=1&b=2", {"a": "1", "b": "2"}),
        (b"a", {"a": ""}),
        (b"a=1&&b=2&", {"a": "1", "b": "2"}),
        (b"a=x+y%2Bz%26%3D", {"a": "x y+z&="}),
        (b"a=1&a=2", {"a": "2"}),
        (b"n=%C3%A9%E9%9B%AA", {"n": "é雪"}),
        (b"data%5Bemail%5D=a", {"data": {"email": "a"}}),
        (b"data[merges][ADDRESS][city]=Cork", {"data": {"merges": {"ADDRESS": {"city": "Cork"}}}}),
        (
            b"data[merges][ADDRESS]=&data[merges][ADDRESS][city]=Cork",
            {"data": {"merges": {"ADDRESS": {"city": "Cork"}}}},
        ),
        (b"tags[]=a&tags[]=b", {"tags": ["a", "b"]}),
        (b"list[0][id]=7", {"list": {"0": {"id": "7"}}}),
        (b"a[b=1", {"a[b": "1"}),
        (b"a[b]c=1", {"a[b]c": "1"}),
        (b"[a]=1", {"[a]": "1"}),
    ],
)
def test_a_form_nests_as_php_does(body: bytes, tree: dict[str, Json]) -> None:
    assert parse_form(body).tree() == tree


def test_of_a_repeated_name_each_value_can_be_had() -> None:
    form = parse_form(b"tag=1&token=a&tag=2&token=b")

    assert form.first("token") == "a"
    assert form.last("token") == "b"
    assert form.all("tag") == ["1", "2"]
    assert form.first("nothing") is form.last("nothing") is None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"&".join([b"a=1"] * 1001), "not_form"),
        (b"a" * 5000 + b"=1", "not_form"),
        (b"a=%FF", "not_utf8"),
        (b"a[b][c][d][e]=1", "not_form"),
    ],
)
def test_what_is_no_form_or_too_much_of_one_is_refused(body: bytes, code: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse_form(body).tree()

    assert refusal.value.code == code


def test_a_thousand_fields_and_three_levels_are_taken() -> None:
    assert len(parse_form(b"&".join([b"a=1"] * 1000)).fields) == 1000
    assert parse_form(b"a[b][c][d]=1").tree() == {"a": {"b": {"c": {"d": "1"}}}}


@given(st.dictionaries(NAMES, VALUES | st.dictionaries(NAMES, VALUES, min_size=1, max_size=3), max_size=4))
def test_what_was_written_is_read(tree: dict[str, Json]) -> None:
    assert parse_form(as_form(tree)).tree() == tree


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with suppress(InvalidInput):
        parse_form(body).tree()
