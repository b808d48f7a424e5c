"""Conditions of rules: checked once, when a document is read, and then plain values that can be asked.

A condition sees one mapping, an event's fields or a lead's attributes, and can neither fail nor run away:
kinds that do not fit are false, and patterns are RE2, whose time is linear in the text. `condition_source`
writes the same conditions out as functions, for those who ask them of every event.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol, TypeAlias, cast

import re2

from shared.documents.reading import meant
from shared.errors import Fault
from shared.events.json import Json

Fields: TypeAlias = Mapping[str, "Json"]
Condition: TypeAlias = Callable[[Fields], bool]
Scalar: TypeAlias = bool | int | float | str | None


class Missing:
    """The value of a field that is not there; null is there."""


MISSING: Final = Missing()
Found: TypeAlias = "Json | Missing"
Test: TypeAlias = "Callable[[Found], bool]"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operator with its argument; `test` says whether a value passes."""

    operator: str
    argument: Json
    test: Test


@dataclass(frozen=True, slots=True)
class FieldTest:
    """Holds where the value that `steps` lead to passes every operation."""

    steps: tuple[str, ...]
    operations: tuple[Operation, ...]

    def __call__(self, fields: Fields) -> bool:
        value = value_at(fields, self.steps)
        return all(operation.test(value) for operation in self.operations)


@dataclass(frozen=True, slots=True)
class AllOf:
    """Holds where every part does."""

    parts: "tuple[Clause, ...]"

    def __call__(self, fields: Fields) -> bool:
        return all(part(fields) for part in self.parts)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Holds where one part does; without parts, never."""

    parts: "tuple[Clause, ...]"

    def __call__(self, fields: Fields) -> bool:
        return any(part(fields) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Not:
    """Holds where `part` does not."""

    part: "Clause"

    def __call__(self, fields: Fields) -> bool:
        return not self.part(fields)


Clause: TypeAlias = FieldTest | AllOf | AnyOf | Not

NEVER: Final = AnyOf(())


class _Pattern(Protocol):
    def search(self, text: str) -> object: ...


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The fields that a condition may name: some by name, some by their first step."""

    names: frozenset[str]
    roots: frozenset[str]

    def allows(self, path: str) -> bool:
        """Whether `path` (`type`, `properties.plan.name`) can be seen here."""
        root, dot, rest = path.partition(".")
        return path in self.names or (root in self.roots and bool(dot) and all(rest.split(".")))


EVENT_FIELDS = Vocabulary(names=frozenset({"type", "source"}), roots=frozenset({"properties"}))
ATTRIBUTE_FIELDS = Vocabulary(names=frozenset(), roots=frozenset({"attributes"}))

_DEEPEST = 16

# Bounds what the answers of one pattern take: a quarter of a megabyte at the very most.
_REMEMBERED_TEXTS = 512
_REMEMBERED_LENGTH = 128


class ConditionCompiler:
    """Compiles conditions over one vocabulary and collects every fault with its path."""

    def __init__(self, vocabulary: Vocabulary, faults: list[Fault]) -> None:
        self._vocabulary = vocabulary
        self._faults = faults

    def compile(self, document: Json, path: str, depth: int = 0) -> Clause:
        """The condition in `document`; one that is never true where there are faults."""
        if not isinstance(document, dict) or not document:
            return self._fault(path, "must be a mapping of fields to tests")
        if depth > _DEEPEST:
            return self._fault(path, f"nested deeper than {_DEEPEST}")
        clauses = tuple(self._clause(key, value, f"{path}.{key}", depth) for key, value in document.items())
        return clauses[0] if len(clauses) == 1 else AllOf(clauses)

    def _clause(self, key: str, value: Json, path: str, depth: int) -> Clause:
        match key:
            case "all":
                return AllOf(self._list(value, path, depth))
            case "any":
                return AnyOf(self._list(value, path, depth))
            case "not":
                return Not(self.compile(value, path, depth + 1))
            case _ if not self._vocabulary.allows(key):
                seen = f"a rule here sees {_described(self._vocabulary)}"
                return self._fault(path, f"unknown field; {seen}{_meant(key, self._vocabulary)}")
            case _:
                return self._field_test(key, value, path)

    def _list(self, value: Json, path: str, depth: int) -> tuple[Clause, ...]:
        if not isinstance(value, list) or not value:
            return (self._fault(path, "must be a list of conditions, at least one"),)
        return tuple(self.compile(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value))

    def _field_test(self, field: str, value: Json, path: str) -> Clause:
        operators = value if isinstance(value, dict) else {"eq": value}
        if not operators:
            return self._fault(path, "must have at least one operator")
        operations = [
            Operation(name, argument, self._operator(name, argument, f"{path}.{name}"))
            for name, argument in operators.items()
        ]
        return FieldTest(tuple(field.split(".")), tuple(operations))

    def _operator(self, name: str, argument: Json, path: str) -> Test:
        if name not in OPERATORS:
            self._fault(path, f"unknown operator; there are {', '.join(OPERATORS)}{meant(name, OPERATORS)}")
            return _never
        check, build = OPERATORS[name]
        wrong = check(argument)
        if wrong is not None:
            self._fault(path, wrong)
            return _never
        return build(argument)

    def _fault(self, path: str, message: str) -> Clause:
        self._faults.append(Fault(path, message))
        return NEVER


def value_at(fields: Fields, steps: Sequence[str]) -> Found:
    """The value that `steps` lead to through nested mappings, or MISSING."""
    found: Json | Fields = fields
    for step in steps:
        # Hardly anything else than a dict comes, and to ask an abstract class takes several times as long.
        if (type(found) is not dict and not isinstance(found, Mapping)) or step not in found:
            return MISSING
        found = found[step]
    return cast("Json", found)


def equal(left: Found, right: Found) -> bool:
    """Whether two values are of one kind and the same; truth is no number."""
    return kind(left) is kind(right) and left == right


def kind(value: Found) -> type:
    """What a value can be compared with: numbers with numbers, text with text."""
    return float if isinstance(value, int) and not isinstance(value, bool) else type(value)


def _never(_: object) -> bool:
    return False


def _meant(field: str, vocabulary: Vocabulary) -> str:
    root = field.partition(".")[0]
    return "" if root in vocabulary.roots else meant(root, vocabulary.names | vocabulary.roots)


def _described(vocabulary: Vocabulary) -> str:
    return ", ".join(sorted(vocabulary.names) + [f"{root}.*" for root in sorted(vocabulary.roots)])


def _is_scalar(value: Json) -> bool:
    return not isinstance(value, list | dict)


def _needs_scalar(argument: Json) -> str | None:
    return None if _is_scalar(argument) else "must be text, a number, true, false or null"


def _needs_scalars(argument: Json) -> str | None:
    if isinstance(argument, list) and argument and all(_is_scalar(item) for item in argument):
        return None
    return "must be a list of text, numbers, true, false or null, at least one"


def _needs_ordered(argument: Json) -> str | None:
    return None if kind(argument) in {float, str} else "must be a number or text"


def _needs_text(argument: Json) -> str | None:
    return None if isinstance(argument, str) else "must be text"


def _needs_truth(argument: Json) -> str | None:
    return None if isinstance(argument, bool) else "must be true or false"


def _needs_pattern(argument: Json) -> str | None:
    if not isinstance(argument, str):
        return "must be text"
    try:
        _pattern(argument)
    except re2.error as error:
        return f"is no regular expression of RE2: {_words(error)}"
    return None


def _words(error: Exception) -> str:
    reason = error.args[0] if error.args else ""
    return reason.decode() if isinstance(reason, bytes) else str(reason)


def _pattern(source: str) -> _Pattern:
    options = re2.Options()
    options.log_errors = False
    # Only whether it is found matters, and looking for groups takes half as long again.
    options.never_capture = True
    return cast("_Pattern", re2.compile(source, options))


class _Ordered(Protocol):
    def __lt__(self, other: "_Ordered", /) -> bool: ...
    def __le__(self, other: "_Ordered", /) -> bool: ...
    def __gt__(self, other: "_Ordered", /) -> bool: ...
    def __ge__(self, other: "_Ordered", /) -> bool: ...


def _ordered(compare: Callable[[_Ordered, _Ordered], bool]) -> Callable[[Json], Test]:
    def build(argument: Json) -> Test:
        wanted = kind(argument)
        bound = cast("_Ordered", argument)
        return lambda value: kind(value) is wanted and compare(cast("_Ordered", value), bound)

    return build


def _exists(argument: Json) -> Test:
    return lambda value: (value is not MISSING) is argument


def _equals(argument: Json) -> Test:
    return lambda value: equal(value, argument)


def _differs(argument: Json) -> Test:
    return lambda value: not equal(value, argument)


def _among(argument: Json) -> Test:
    members = _members(argument)
    return lambda value: any(equal(value, member) for member in members)


def _not_among(argument: Json) -> Test:
    members = _members(argument)
    return lambda value: not any(equal(value, member) for member in members)


def _members(argument: Json) -> tuple[Json, ...]:
    return tuple(cast("list[Json]", argument))


def _contains(argument: Json) -> Test:
    def test(value: Found) -> bool:
        if isinstance(value, str):
            return isinstance(argument, str) and argument in value
        return isinstance(value, list) and any(equal(item, argument) for item in value)

    return test


def _starts_with(argument: Json) -> Test:
    prefix = cast("str", argument)
    return lambda value: isinstance(value, str) and value.startswith(prefix)


def _ends_with(argument: Json) -> Test:
    suffix = cast("str", argument)
    return lambda value: isinstance(value, str) and value.endswith(suffix)


def _matches(argument: Json) -> Test:
    pattern = _pattern(cast("str", argument))

    # Job titles and campaign addresses are few and come again; searching them takes twenty times a look-up.
    @lru_cache(_REMEMBERED_TEXTS)
    def is_found(text: str) -> bool:
        return pattern.search(text) is not None

    def test(value: Found) -> bool:
        if not isinstance(value, str):
            return False
        return is_found(value) if len(value) <= _REMEMBERED_LENGTH else pattern.search(value) is not None

    return test


OPERATORS: Final[Mapping[str, tuple[Callable[[Json], str | None], Callable[[Json], Test]]]] = {
    "eq": (_needs_scalar, _equals),
    "ne": (_needs_scalar, _differs),
    "in": (_needs_scalars, _among),
    "not_in": (_needs_scalars, _not_among),
    "gt": (_needs_ordered, _ordered(operator.gt)),
    "gte": (_needs_ordered, _ordered(operator.ge)),
    "lt": (_needs_ordered, _ordered(operator.lt)),
    "lte": (_needs_ordered, _ordered(operator.le)),
    "exists": (_needs_truth, _exists),
    "contains": (_needs_scalar, _contains),
    "starts_with": (_needs_text, _starts_with),
    "ends_with": (_needs_text, _ends_with),
    "matches": (_needs_pattern, _matches),
}
