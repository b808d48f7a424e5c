"""The schema for editors and the parser say the same of a document's form."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from services.pipeline.domain.document import parse_pipeline
from services.pipeline.domain.schema import document_schema
from shared.documents.yaml_text import read_yaml
from shared.errors import InvalidDocument
from shared.events.json import Json
from tests.support.pipeline import B2B
from tests.unit.pipeline.domain.test_no_side_door import documents

DEPLOY = Path(__file__).parents[4] / "deploy" / "examples"
SCHEMA = document_schema()
VALIDATOR = Draft202012Validator(SCHEMA)
# What a schema cannot say, in the parser's words: references, orders, things that must exist in the world.
BEYOND_A_SCHEMA: Final = (
    "there is no stage",
    "there is a stage",
    "exactly one stage",
    "there are only",
    "a stage cannot be initial and terminal",
    "the initial stage takes everybody",
    "a terminal stage is never left",
    "the document does not say who is qualified",
    "the document disqualifies nobody",
    "must say more than `stage_in`",
    "means another stage too",
    "is no regular expression of RE2",
    "is no time zone",
    "must be a time zone",
    "must be later than `from`",
    "days are",
    "a range of days",
    "holidays are dates",
    "must be at most a",
    "nested deeper",
    "must be a whole number above zero",
    "must be what CRMs call the stage",
)
RICH: dict[str, Json] = {
    **B2B,
    "description": "all of it",
    "stages": [
        *B2B["stages"],  # type: ignore[misc] # a list
        {"id": "again", "known_as": ["x", "y"], "on_enter": {"reset_scores": ["engagement"]}},
    ],
}


def parser_faults(document: Json) -> list[str]:
    try:
        parse_pipeline(document)
    except InvalidDocument as error:
        return [fault.message for fault in error.faults]
    return []


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(
    "document",
    [B2B, RICH, *(read_yaml(path.read_text()) for path in [DEPLOY / "pipeline.yaml", *DEPLOY.glob("pipelines/*")])],
)
def test_documents_that_count_are_of_the_form(document: Json) -> None:
    assert parser_faults(document) == []
    assert [error.message for error in VALIDATOR.iter_errors(document)] == []


@given(documents())
@settings(max_examples=50)
def test_random_documents_are_of_the_form(document: dict[str, Json]) -> None:
    assert VALIDATOR.is_valid(document)


def places(value: Json, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in a document, by the way to it."""
    yield path
    items: Iterator[tuple[str | int, Json]] = iter(())
    if isinstance(value, dict):
        items = iter(value.items())
    elif isinstance(value, list):
        items = iter(enumerate(value))
    for key, part in items:
        yield from places(part, (*path, key))


PLACES = [place for place in places(RICH) if place]
STRANGE: list[Json] = [
    None,
    True,
    0,
    1,
    -3,
    2.5,
    "",
    "x y",
    "reason",
    "1d",
    [],
    {},
    ["a"],
    [1],
    {"a": 1},
    [{}],
    "won",
]


def damaged(place: tuple[str | int, ...], how: str, value: Json) -> Json:
    """RICH with one place replaced, taken away, or with a key that does not belong."""
    document: Json = deepcopy(RICH)
    at: Json = document
    for step in place[:-1]:
        at = at[step]  # type: ignore[index] # a way through RICH
    if how == "replaced":
        at[place[-1]] = value  # type: ignore[index]
    elif how == "taken away":
        del at[place[-1]]  # type: ignore[union-attr,arg-type]
    elif isinstance(at, dict):
        at["surprise"] = value
    return document


@given(st.sampled_from(PLACES), st.sampled_from(["replaced", "taken away", "added"]), st.sampled_from(STRANGE))
@settings(max_examples=400)
def test_parser_and_schema_refuse_the_same_forms(place: tuple[str | int, ...], how: str, value: Json) -> None:
    document = damaged(place, how, value)

    faults = parser_faults(document)
    errors = [error.message for error in VALIDATOR.iter_errors(document)]

    if not faults:
        assert errors == [], "the schema refuses what the parser takes"
    elif not all(message.startswith(BEYOND_A_SCHEMA) or "means another" in message for message in faults):
        assert errors, f"only the parser refuses: {faults}"


def test_every_operator_and_every_key_has_a_description_or_a_form() -> None:
    definitions = SCHEMA["$defs"]
    assert isinstance(definitions, Mapping)

    assert {"qualification", "criterion", "condition", "stage", "trigger", "moves", "business_hours"} <= set(
        definitions
    )
