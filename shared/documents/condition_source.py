"""Conditions written out as one Python function, because a rule is asked of every event of its type.

Nothing that a document says becomes source: its values are constants bound by numbered names, and only shapes
fixed here are written. An operator without a shape of its own is asked as `conditions` asks it. The function
gives what asking the conditions one by one gives, which tests assert for every operator and kind of value.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias, cast

from shared.documents.conditions import MISSING, AllOf, AnyOf, Clause, FieldTest, Not, Operation
from shared.events.json import Json

_COMPARISONS: Final = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}

_Identity: TypeAlias = tuple[tuple[str, ...], str, str]


class FunctionSource:
    """Writes one function of `parameters`, the first steps of the fields that it sees.

    Fields are read once, at the top, into local names; `known` are those that are the same at every call.
    """

    def __init__(self, parameters: Sequence[str], known: Mapping[str, Json]) -> None:
        self._parameters = tuple(parameters)
        self._constants: dict[str, object] = {"MISSING": MISSING}
        self._fields: dict[tuple[str, ...], str] = {(name,): name for name in parameters}
        self._fields.update({(name,): self.constant(value) for name, value in known.items()})
        self._flags: set[str] = set()
        self._shared: dict[_Identity, str] = {}
        self._reads: list[str] = []
        self._lines: list[str] = []

    def constant(self, value: object) -> str:
        """The name by which the function knows `value`."""
        name = f"c{len(self._constants)}"
        self._constants[name] = value
        return name

    def field(self, steps: Sequence[str]) -> str:
        """The local name of the value that `steps` lead to; the first step is a parameter or known."""
        path = tuple(steps)
        if path not in self._fields:
            parent, key = path[:-1], self.constant(path[-1])
            inner = self.field(parent)
            found = f"{inner}.get({key}, MISSING)"
            name = f"v{len(self._fields)}"
            # What is nested may be anything; a parameter is a mapping.
            self._reads.append(
                f"{name} = {found}" if len(parent) == 1 else f"{name} = {found} if type({inner}) is dict else MISSING"
            )
            self._fields[path] = name
        return self._fields[path]

    def is_text(self, value: str) -> str:
        """The local name of whether the field `value` is text: asked once, however many tests depend on it."""
        return self._flag(f"{value}_is_text", f"type({value}) is str")

    def is_number(self, value: str) -> str:
        """The local name of whether the field `value` is a number; truth is none."""
        return self._flag(f"{value}_is_number", f"type({value}) is int or type({value}) is float")

    def _flag(self, name: str, meaning: str) -> str:
        if name not in self._flags:
            self._flags.add(name)
            self._reads.append(f"{name} = {meaning}")
        return name

    def share(self, clauses: Iterable[Clause]) -> None:
        """Let tests that stand more than once in `clauses`, which this function will hold, be asked once."""
        asked = [each for clause in clauses for each in _field_operations(clause)]
        times = Counter(_identity(steps, operation) for steps, operation in asked)
        for steps, operation in asked:
            identity = _identity(steps, operation)
            if times[identity] > 1 and identity not in self._shared:
                test = self._operation(operation, self.field(steps))
                self._shared[identity] = self._flag(f"shared{len(self._shared)}", test)

    def condition(self, clause: Clause) -> str:
        """An expression that is true where `clause` holds."""
        match clause:
            case FieldTest(steps, operations):
                return _joined("and", [self._field_operation(steps, operation) for operation in operations])
            case AllOf(parts):
                return _joined("and", [self.condition(part) for part in parts])
            case AnyOf(parts):
                return _joined("or", [self.condition(part) for part in parts])
            case Not(part):
                return f"(not {self.condition(part)})"

    def line(self, text: str) -> None:
        """One more line of the function's body."""
        self._lines.append(text)

    def compiled(self) -> Callable[..., object]:
        """The function."""
        body = "\n    ".join([*self._reads, *self._lines])
        source = f"def generated({', '.join(self._parameters)}):\n    {body}\n"
        namespace = dict(self._constants)
        # Fixed shapes and numbered names alone: no text of a document is in `source`.
        exec(compile(source, "<rules>", "exec"), namespace)  # noqa: S102
        return cast("Callable[..., object]", namespace["generated"])

    def _field_operation(self, steps: tuple[str, ...], operation: Operation) -> str:
        shared = self._shared.get(_identity(steps, operation))
        return shared or self._operation(operation, self.field(steps))

    def _operation(self, operation: Operation, value: str) -> str:
        shape = _SHAPES.get(operation.operator, _as_asked)
        return shape(self, operation, value)


def _field_operations(clause: Clause) -> Iterator[tuple[tuple[str, ...], Operation]]:
    match clause:
        case FieldTest(steps, operations):
            yield from ((steps, operation) for operation in operations)
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from _field_operations(part)
        case Not(part):
            yield from _field_operations(part)


def _identity(steps: tuple[str, ...], operation: Operation) -> _Identity:
    # As text, 1 and true and 1.0 are three arguments.
    return steps, operation.operator, repr(operation.argument)


_Shape: TypeAlias = Callable[[FunctionSource, Operation, str], str]


def _as_asked(source: FunctionSource, operation: Operation, value: str) -> str:
    return f"{source.constant(operation.test)}({value})"


def _of_text(source: FunctionSource, operation: Operation, value: str) -> str:
    """Tests that only text can pass are not asked of anything else."""
    return f"({source.is_text(value)} and {_as_asked(source, operation, value)})"


def _equals(source: FunctionSource, operation: Operation, value: str) -> str:
    return _same(source, operation.argument, value)


def _differs(source: FunctionSource, operation: Operation, value: str) -> str:
    return f"(not {_same(source, operation.argument, value)})"


def _same(source: FunctionSource, argument: Json, value: str) -> str:
    match argument:
        case None | True | False:
            return f"({value} is {argument})"
        case str():
            return f"({value} == {source.constant(argument)})"
        case _:
            return f"({value} == {source.constant(argument)} and type({value}) is not bool)"


def _among(source: FunctionSource, operation: Operation, value: str) -> str:
    members = cast("list[Json]", operation.argument)
    texts = frozenset(member for member in members if isinstance(member, str))
    others = [_same(source, member, value) for member in members if not isinstance(member, str)]
    among_texts = [f"({source.is_text(value)} and {value} in {source.constant(texts)})"] if texts else []
    return _joined("or", among_texts + others)


def _not_among(source: FunctionSource, operation: Operation, value: str) -> str:
    return f"(not {_among(source, operation, value)})"


def _compared(source: FunctionSource, operation: Operation, value: str) -> str:
    kind = (
        f"type({value}) is str"
        if isinstance(operation.argument, str)
        else f"(type({value}) is int or type({value}) is float)"
    )
    sign = _COMPARISONS[operation.operator]
    return f"({kind} and {value} {sign} {source.constant(operation.argument)})"


def _exists(_: FunctionSource, operation: Operation, value: str) -> str:
    return f"({value} {'is not' if operation.argument else 'is'} MISSING)"


def _contains(source: FunctionSource, operation: Operation, value: str) -> str:
    if not isinstance(operation.argument, str):
        return _as_asked(source, operation, value)
    within = f"{source.constant(operation.argument)} in {value}"
    return f"({within} if {source.is_text(value)} else {_as_asked(source, operation, value)})"


def _starts(source: FunctionSource, operation: Operation, value: str) -> str:
    return f"({source.is_text(value)} and {value}.startswith({source.constant(operation.argument)}))"


def _ends(source: FunctionSource, operation: Operation, value: str) -> str:
    return f"({source.is_text(value)} and {value}.endswith({source.constant(operation.argument)}))"


_SHAPES: Final[Mapping[str, _Shape]] = {
    "eq": _equals,
    "ne": _differs,
    "in": _among,
    "not_in": _not_among,
    "gt": _compared,
    "gte": _compared,
    "lt": _compared,
    "lte": _compared,
    "exists": _exists,
    "contains": _contains,
    "starts_with": _starts,
    "ends_with": _ends,
    "matches": _of_text,
}


def _joined(word: str, parts: Sequence[str]) -> str:
    if not parts:
        return "True" if word == "and" else "False"
    return parts[0] if len(parts) == 1 else f"({f' {word} '.join(parts)})"
