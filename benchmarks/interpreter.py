"""A plain interpreter of a model's event rules: what compiling them is measured and checked against.

It walks the document for every event, as one would write it down without a thought for speed and without any
for slowness: rules whose type does not fit are left at once, and patterns are compiled once.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import re2

from services.scorer.domain.events.event import Event
from services.scorer.domain.states.limits import canonical
from services.scorer.domain.states.state import LimitKey
from shared.documents.conditions import MISSING

Document = Mapping[str, Any]


def matches(model: Document, event: Event) -> list[LimitKey]:
    """The rules of `model` that `event` matches, each with what its limit counts apart."""
    fields = {"type": event.type, "source": event.source, "properties": event.properties}
    found: list[LimitKey] = []
    for name, score in model["scores"].items():
        for rule in score.get("rules", ()):
            if "on" in rule and _is_on(rule["on"], event.type) and ("if" not in rule or holds(rule["if"], fields)):
                by = rule.get("limit", {}).get("by")
                found.append(LimitKey(name, rule["id"], canonical(_value(fields, by)) if by else ""))
    return found


def _is_on(types: str | list[str], event_type: str) -> bool:
    return event_type == types if isinstance(types, str) else event_type in types


def holds(condition: Document, fields: Document) -> bool:
    """Whether `condition` holds for an event's, or a lead's, `fields`."""
    return all(_clause_holds(key, wanted, fields) for key, wanted in condition.items())


def _clause_holds(key: str, wanted: Any, fields: Document) -> bool:
    if key == "all":
        return all(holds(part, fields) for part in wanted)
    if key == "any":
        return any(holds(part, fields) for part in wanted)
    if key == "not":
        return not holds(wanted, fields)
    value = _value(fields, key)
    if not isinstance(wanted, dict):
        return _passes("eq", wanted, value)
    return all(_passes(operator, argument, value) for operator, argument in wanted.items())


def _value(fields: Document, path: str) -> Any:
    found: Any = fields
    for step in path.split("."):
        if not isinstance(found, dict) or step not in found:
            return MISSING
        found = found[step]
    return found


def _passes(operator: str, argument: Any, value: Any) -> bool:
    if value is MISSING:
        return operator in {"ne", "not_in"} or (operator == "exists" and not argument)
    match operator:
        case "eq":
            return _same(value, argument)
        case "ne":
            return not _same(value, argument)
        case "in":
            return any(_same(value, each) for each in argument)
        case "not_in":
            return not any(_same(value, each) for each in argument)
        case "exists":
            return bool(argument)
        case "contains" if isinstance(value, list):
            return any(_same(each, argument) for each in value)
        case "contains" | "starts_with" | "ends_with" | "matches":
            return isinstance(value, str) and isinstance(argument, str) and _text_passes(operator, argument, value)
        case _:
            return _kind(value) is _kind(argument) and _compared(operator, value, argument)


def _text_passes(operator: str, argument: str, value: str) -> bool:
    match operator:
        case "contains":
            return argument in value
        case "starts_with":
            return value.startswith(argument)
        case "ends_with":
            return value.endswith(argument)
        case _:
            return _pattern(argument).search(value) is not None


def _compared(operator: str, value: Any, argument: Any) -> bool:
    match operator:
        case "gt":
            return bool(value > argument)
        case "gte":
            return bool(value >= argument)
        case "lt":
            return bool(value < argument)
        case _:
            return bool(value <= argument)


def _same(one: Any, other: Any) -> bool:
    return _kind(one) is _kind(other) and bool(one == other)


def _kind(value: Any) -> type:
    return float if type(value) is int else type(value)


@lru_cache
def _pattern(source: str) -> Any:
    return re2.compile(source)
