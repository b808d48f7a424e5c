"""Conditions of rules as people say them: `path starts with /pricing and amount is at least 100`."""

from collections.abc import Callable, Mapping
from typing import Final

from pydantic_core import to_json

from shared.documents.conditions import AllOf, AnyOf, Clause, FieldTest, Not, Operation
from shared.events.json import Json


def in_words(clause: Clause) -> str:
    """The whole condition in one phrase."""
    match clause:
        case FieldTest():
            return " and ".join(_operation(clause, operation) for operation in clause.operations)
        case AllOf():
            return " and ".join(_part(part) for part in clause.parts)
        case AnyOf():
            return " or ".join(_part(part) for part in clause.parts) or "never"
        case Not():
            return f"not ({in_words(clause.part)})"


def _part(part: Clause) -> str:
    words = in_words(part)
    return f"({words})" if isinstance(part, AllOf | AnyOf) and len(part.parts) > 1 else words


def _operation(test: FieldTest, operation: Operation) -> str:
    steps = test.steps[1:] if len(test.steps) > 1 else test.steps
    return f"{'.'.join(steps)} {_TESTS[operation.operator](operation.argument)}"


def _value(argument: Json) -> str:
    return argument if isinstance(argument, str) and argument else to_json(argument).decode()


def _several(argument: Json) -> str:
    return ", ".join(_value(item) for item in argument) if isinstance(argument, list) else _value(argument)


_TESTS: Final[Mapping[str, Callable[[Json], str]]] = {
    "eq": lambda argument: f"is {_value(argument)}",
    "ne": lambda argument: f"is not {_value(argument)}",
    "in": lambda argument: f"is one of {_several(argument)}",
    "not_in": lambda argument: f"is none of {_several(argument)}",
    "gt": lambda argument: f"is above {_value(argument)}",
    "gte": lambda argument: f"is at least {_value(argument)}",
    "lt": lambda argument: f"is below {_value(argument)}",
    "lte": lambda argument: f"is at most {_value(argument)}",
    "exists": lambda argument: "is given" if argument else "is not given",
    "contains": lambda argument: f"contains {_value(argument)}",
    "starts_with": lambda argument: f"starts with {_value(argument)}",
    "ends_with": lambda argument: f"ends with {_value(argument)}",
    "matches": lambda argument: f"matches {_value(argument)}",
}
