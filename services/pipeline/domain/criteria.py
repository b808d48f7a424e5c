"""Criteria of a pipeline: the condition language of rules, with a third answer for what is not known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import TypeAlias

from pydantic_core import to_json

from shared.documents.conditions import (
    ATTRIBUTE_FIELDS,
    MISSING,
    Condition,
    ConditionCompiler,
    Fields,
    Missing,
    value_at,
)
from shared.errors import Fault
from shared.events.json import Json

Truth: TypeAlias = bool | None
Question: TypeAlias = Callable[[Fields], Truth]


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing to know of a lead. `answer` is None while a field that decides it is missing.

    `reads` are the fields it looks at, `words` the condition as people read it.
    """

    name: str
    answer: Question
    expires_after: timedelta | None
    reads: tuple[str, ...]
    words: str


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A condition that rules a lead out, and the reason to give."""

    holds: Condition
    reason: str
    words: str


def compile_question(document: Json, path: str, faults: list[Fault]) -> Question:
    """A condition over `attributes.*` in Kleene's logic; faults are collected, never raised."""
    before = len(faults)
    compiler = ConditionCompiler(ATTRIBUTE_FIELDS, faults)
    compiler.compile(document, path)
    return _question(document, compiler) if len(faults) == before else _unknown


def compile_condition(document: Json, path: str, faults: list[Fault]) -> Condition:
    """The same language in its plain two-valued meaning: a missing field fails most tests."""
    return ConditionCompiler(ATTRIBUTE_FIELDS, faults).compile(document, path)


def digest_of(criterion: Criterion, fields: Fields) -> str:
    """What the criterion looks at, in a few characters: others for other values."""
    values = [value_at(fields, path.split(".")) for path in criterion.reads]
    return sha256(to_json([None if isinstance(value, Missing) else [value] for value in values])).hexdigest()[:16]


def fields_of(attributes: "Fields") -> Fields:
    """What conditions see: the attributes under their name in the language."""
    return {"attributes": dict(attributes)}


def is_given(fields: Fields, path: str) -> bool:
    """Whether the field is there with a value; null and empty text are none."""
    value = value_at(fields, path.split("."))
    return value is not MISSING and value is not None and value != ""


def _question(document: Json, compiler: ConditionCompiler) -> Question:
    assert isinstance(document, dict)
    return _all([_clause(key, value, compiler) for key, value in document.items()])


def _clause(key: str, value: Json, compiler: ConditionCompiler) -> Question:
    match key:
        case "all" | "any":
            assert isinstance(value, list)
            parts = [_question(item, compiler) for item in value]
            return _all(parts) if key == "all" else _any(parts)
        case "not":
            return _not(_question(value, compiler))
        case _:
            return _leaf(key, value, compiler)


def _leaf(field: str, test: Json, compiler: ConditionCompiler) -> Question:
    condition = compiler.compile({field: test}, field)
    if isinstance(test, dict) and test.get("exists") is False:
        return condition
    steps = field.split(".")
    return lambda fields: None if value_at(fields, steps) is MISSING else condition(fields)


def _unknown(_: Fields) -> Truth:
    return None


def _all(parts: Sequence[Question]) -> Question:
    def answer(fields: Fields) -> Truth:
        answers = [part(fields) for part in parts]
        return False if False in answers else None if None in answers else True

    return answer


def _any(parts: Sequence[Question]) -> Question:
    def answer(fields: Fields) -> Truth:
        answers = [part(fields) for part in parts]
        return True if True in answers else None if None in answers else False

    return answer


def _not(part: Question) -> Question:
    def answer(fields: Fields) -> Truth:
        found = part(fields)
        return None if found is None else not found

    return answer
