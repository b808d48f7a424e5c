"""Reading a document key by key: wrong values become faults, and reading goes on."""

from collections.abc import Callable

import pytest

from shared.documents.reading import Section, meant
from shared.errors import Fault
from shared.events.json import Json


def test_a_key_that_nobody_asked_for_is_a_fault_that_lists_the_known_ones() -> None:
    faults: list[Fault] = []
    section = Section({"name": "a", "nmae": "b"}, "model", faults)

    section.name("name")
    section.finish()

    assert faults == [Fault("model.nmae", "unknown key; there are name: did you mean name?")]


def test_faults_of_inner_sections_carry_the_whole_path() -> None:
    faults: list[Fault] = []
    section = Section({"rules": [{}, {"limit": {"count": "two"}}]}, "score", faults)

    for item in section.items("rules"):
        if item.has("limit"):
            item.section("limit").count("count")

    assert faults == [Fault("score.rules[1].limit.count", "must be a whole number above zero")]


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (lambda section: section.name("key"), "two words"),
        (lambda section: section.text("key"), 1),
        (lambda section: section.names("key"), ["a", 1]),
        (lambda section: section.number("key"), "1"),
        (lambda section: section.number("key"), True),
        (lambda section: section.number_or_none("key", None), "nothing"),
        (lambda section: section.count("key"), 1.5),
        (lambda section: section.choice("key", ("a", "b")), "c"),
        (lambda section: section.section("key"), []),
        (lambda section: list(section.items("key")), {}),
    ],
)
def test_a_wrong_value_is_one_fault_and_no_error(read: Callable[[Section], object], value: Json) -> None:
    faults: list[Fault] = []

    read(Section({"key": value}, "", faults))

    assert [fault.path for fault in faults] == ["key"]


def test_a_name_that_is_like_none_of_many_is_left_without_a_guess() -> None:
    assert meant("engagment", ["engagement", "fit"]) == ": did you mean engagement?"
    assert meant("total", ["engagement", "fit"]) == ""
    assert meant("engagment" * 10, ["engagement"]) == ""
    assert meant("name1", [f"name{number}" for number in range(1000)]) == ""
