"""What a cell becomes, case by case."""

from typing import Any

import pytest

from services.ingest.importing.values import Cleaning, Kind, Others, Value, as_text, cell_of
from shared.documents.conditions import MISSING
from shared.errors import InvalidInput
from shared.events.json import Json


def a_value(**changes: Any) -> Value:
    return Value("properties.x", column="c", **changes)


@pytest.mark.parametrize(
    ("cell", "cleaned"),
    [
        ("  Ann ", "Ann"),
        ("", MISSING),
        ("   ", MISSING),
        (None, MISSING),
        ("Select", MISSING),
        (" SELECT ", MISSING),
        ("selected", "selected"),
        (0, 0),
        (False, False),
        ([], []),
    ],
)
def test_blanks_go_and_null_words_are_like_no_cell(cell: Json, cleaned: object) -> None:
    assert Cleaning(nulls=frozenset({"", "select"})).clean(cell) == cleaned


def test_blanks_stay_where_they_are_wanted() -> None:
    assert Cleaning(trim=False).clean(" a ") == " a "


@pytest.mark.parametrize(
    ("kind", "cell", "becomes"),
    [
        (Kind.AS_IS, "017", "017"),
        (Kind.AS_IS, [1, 2], [1, 2]),
        (Kind.TEXT, 7, "7"),
        (Kind.TEXT, True, "true"),
        (Kind.NUMBER, "017", 17),
        (Kind.NUMBER, "-2.50", -2.5),
        (Kind.NUMBER, "1e3", 1000.0),
        (Kind.NUMBER, 2.5, 2.5),
        (Kind.INTEGER, "17850.0", 17850),
        (Kind.INTEGER, "-3", -3),
        (Kind.BOOLEAN, "Yes", True),
        (Kind.BOOLEAN, "0", False),
        (Kind.BOOLEAN, True, True),
        (Kind.NAME, "W_Nabellen offertes", "w_nabellen_offertes"),
        (Kind.NAME, "  Email -- Opened!", "email_opened"),
    ],
)
def test_a_cell_becomes_its_kind(kind: Kind, cell: Json, becomes: Json) -> None:
    found = a_value(kind=kind).of({"c": cell})

    assert (found, type(found)) == (becomes, type(becomes))


@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        (Kind.NUMBER, "1,5"),
        (Kind.NUMBER, "nan"),
        (Kind.NUMBER, "1e999"),
        (Kind.NUMBER, "١٢"),
        (Kind.NUMBER, [1]),
        (Kind.INTEGER, "1.5"),
        (Kind.INTEGER, "99999999999999999999"),
        (Kind.BOOLEAN, "maybe"),
        (Kind.NAME, "???"),
        (Kind.TEXT, {"a": 1}),
    ],
)
def test_what_is_not_of_its_kind_is_refused_with_its_column(kind: Kind, cell: Json) -> None:
    with pytest.raises(InvalidInput, match="column c: ") as refused:
        a_value(kind=kind).of({"c": cell})

    assert (refused.value.code, refused.value.field) == ("invalid_value", "properties.x")


def test_words_are_exchanged_and_others_kept() -> None:
    value = a_value(words={"GTXPro": "GTX Pro", "none": None})

    assert [value.of({"c": cell}) for cell in ("GTXPro", "GTX Pro", "none")] == ["GTX Pro", "GTX Pro", MISSING]


def test_words_can_be_told_from_each_other_without_regard_to_case() -> None:
    assert a_value(words={"google": "Google"}, lower=True).of({"c": "GOOGLE"}) == "Google"


def test_numbers_are_looked_up_by_their_text() -> None:
    assert a_value(words={"1": True}).of({"c": 1}) is True


def test_other_words_can_be_dropped_or_refused() -> None:
    assert a_value(words={"a": "b"}, others=Others.DROP).of({"c": "z"}) is MISSING
    with pytest.raises(InvalidInput, match="none of the words"):
        a_value(words={"a": "b"}, others=Others.REFUSE).of({"c": "z"})


def test_a_default_stands_in_for_what_is_missing() -> None:
    value = a_value(default="direct")

    assert [value.of({"c": ""}), value.of({}), value.of({"c": "mail"})] == ["direct", "direct", "mail"]


def test_a_constant_needs_no_column() -> None:
    assert Value("properties.x", constant=5).of({}) == 5


@pytest.mark.parametrize(
    ("column", "cell"),
    [("plain", 1), ("a.b", "exact"), ("deep.er.x", 2), ("deep.nothing", MISSING), ("nothing", MISSING)],
)
def test_a_column_is_a_name_or_else_a_path(column: str, cell: object) -> None:
    assert cell_of({"plain": 1, "a.b": "exact", "a": {"b": "nested"}, "deep": {"er": {"x": 2}}}, column) == cell


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", "a"), (1, "1"), (1.5, "1.5"), (False, "false"), (None, None), ([], None), ({}, None)],
)
def test_text_of_what_is_no_single_value_is_none(value: Json, text: str | None) -> None:
    assert as_text(value) == text
