"""Examples of what satisfies a condition, so that advice can be tried out before it is given.

A search over values that the condition itself suggests. What it returns satisfies the condition, always; that it
returns nothing does not prove that nothing could.
"""

from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from shared.documents.conditions import (
    MISSING,
    AllOf,
    AnyOf,
    Clause,
    Fields,
    FieldTest,
    Found,
    Missing,
    Not,
    Operation,
)
from shared.events.json import Json

Steps: TypeAlias = tuple[str, ...]
Assignment: TypeAlias = Mapping[Steps, Found]

_MOST_TRIES: Final = 2_000
_FALLBACKS: Final[tuple[Found, ...]] = (MISSING, "something", 1, True, 0, "")


def example(clause: Clause) -> Assignment | None:
    """Values per field under which `clause` holds, MISSING for one that must not be there; None if none is found."""
    search = _Search()
    return next((found for found in search.solutions(clause, {}, wanted=True) if clause(fields_of(found))), None)


def fields_of(assignment: Assignment) -> Fields:
    """The same as nested mappings, as conditions see them."""
    fields: dict[str, Json] = {}
    for steps, value in assignment.items():
        if not isinstance(value, Missing):
            _put(fields, steps, value)
    return fields


def _put(fields: dict[str, Json], steps: Steps, value: Json) -> None:
    inner = fields
    for step in steps[:-1]:
        found = inner.setdefault(step, {})
        if not isinstance(found, dict):
            return
        inner = found
    inner[steps[-1]] = value


class _Search:
    """Tries values field by field, and gives up after so many: parts may contradict each other."""

    def __init__(self) -> None:
        self._tries_left = _MOST_TRIES

    def solutions(self, clause: Clause, given: Assignment, *, wanted: bool) -> Iterator[Assignment]:
        match clause:
            case FieldTest():
                yield from self._values(clause, given, wanted=wanted)
            case Not():
                yield from self.solutions(clause.part, given, wanted=not wanted)
            case AllOf() if wanted:
                yield from self._all(clause.parts, given, wanted=True)
            case AnyOf() if not wanted:
                yield from self._all(clause.parts, given, wanted=False)
            case AllOf() | AnyOf():
                for part in clause.parts:
                    yield from self.solutions(part, given, wanted=wanted)

    def _all(self, parts: tuple[Clause, ...], given: Assignment, *, wanted: bool) -> Iterator[Assignment]:
        if not parts:
            yield given
            return
        for found in self.solutions(parts[0], given, wanted=wanted):
            yield from self._all(parts[1:], found, wanted=wanted)

    def _values(self, test: FieldTest, given: Assignment, *, wanted: bool) -> Iterator[Assignment]:
        candidates = (given[test.steps],) if test.steps in given else (*_suggested(test), *_FALLBACKS)
        for value in candidates:
            if self._tries_left <= 0:
                return
            self._tries_left -= 1
            if all(operation.test(value) for operation in test.operations) is wanted:
                yield {**given, test.steps: value}


def _suggested(test: FieldTest) -> Iterator[Found]:
    arguments = {operation.operator: operation.argument for operation in test.operations}
    yield from _between(arguments)
    start, end = (str(arguments.get(name, "")) for name in ("starts_with", "ends_with"))
    inside = arguments.get("contains", "")
    if start or end:
        yield f"{start}{inside if isinstance(inside, str) else ''}{end}"
        yield start if start.endswith(end) else start + end
    for operation in test.operations:
        yield from _by(operation)


def _between(arguments: Mapping[str, Json]) -> Iterator[Found]:
    bounds = [arguments[name] for name in ("gt", "gte", "lt", "lte") if name in arguments]
    numbers = [bound for bound in bounds if isinstance(bound, int | float) and not isinstance(bound, bool)]
    if len(numbers) > 1:
        middle = (min(numbers) + max(numbers)) / 2
        yield int(middle)
        yield middle


def _by(operation: Operation) -> Iterator[Found]:
    argument = operation.argument
    match operation.operator:
        case "in" if isinstance(argument, list):
            yield from argument
        case "contains":
            yield from (argument, [argument])
        case "matches" if isinstance(argument, str):
            yield pattern_example(argument)
        case "gt" | "lt" if isinstance(argument, int | float) and not isinstance(argument, bool):
            yield argument + (1 if operation.operator == "gt" else -1)
        case "gt" if isinstance(argument, str):
            yield argument + "a"
        case "exists":
            yield from ()
        case _:
            yield argument


def pattern_example(pattern: str) -> str:
    """A text that a plain regular expression finds; for a fanciful one a guess, which the condition then refuses."""
    return _PatternReader(pattern).alternatives()


class _PatternReader:
    """Reads a pattern from left to right, and writes the shortest text that comes to mind."""

    _CLASSES: Final[Mapping[str, str]] = {"d": "1", "w": "a", "s": " ", "b": "", "B": "", "A": "", "z": "", "t": "\t"}
    _REPEATS: Final[Mapping[str, int]] = {"?": 0, "*": 0, "+": 1}

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    def alternatives(self) -> str:
        """The first alternative, up to the end of the group."""
        first = self._sequence()
        while self._peek() == "|":
            self._at += 1
            self._sequence()
        return first

    def _sequence(self) -> str:
        parts: list[str] = []
        while self._peek() not in {"", "|", ")"}:
            parts.append(self._repeated(self._piece()))
        return "".join(parts)

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _next(self) -> str:
        self._at += 1
        return self._pattern[self._at - 1 : self._at]

    def _piece(self) -> str:
        match self._next():
            case "(":
                return self._group()
            case "[":
                return self._class()
            case "\\":
                escaped = self._next()
                return self._CLASSES.get(escaped, escaped)
            case "^" | "$":
                return ""
            case ".":
                return "a"
            case plain:
                return plain

    def _group(self) -> str:
        if self._peek() == "?":
            while self._peek() not in {"", ":", ">", ")"}:
                self._at += 1
            if self._next() == ")":
                return ""
        inside = self.alternatives()
        self._at += 1
        return inside

    def _class(self) -> str:
        negated = self._peek() == "^"
        self._at += negated
        members: list[str] = []
        while self._peek() not in {"", "]"} or not members:
            member = self._next()
            members.append(self._CLASSES.get(self._peek(), self._peek()) if member == "\\" else member)
            self._at += member == "\\"
            if not member:
                break
        self._at += 1
        return next(letter for letter in "a1 -/é" if letter not in members) if negated else members[0]

    def _repeated(self, piece: str) -> str:
        mark = self._peek()
        if mark == "{":
            return piece * self._least()
        if mark not in self._REPEATS:
            return piece
        while self._peek() in self._REPEATS:
            self._at += 1
        return piece * max(self._REPEATS[mark], 1 if mark == "+" else 0)

    def _least(self) -> int:
        end = self._pattern.find("}", self._at)
        least = self._pattern[self._at + 1 : end].partition(",")[0]
        self._at = end + 1 if end > 0 else len(self._pattern)
        return min(int(least), 100) if least.isdecimal() else 1
