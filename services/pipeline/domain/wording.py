"""Conditions, triggers and stages in words, for diagrams and for what a new version changes."""

from collections.abc import Iterator
from typing import Final, assert_never

from services.pipeline.domain.due import BusinessHours
from services.pipeline.domain.stages import Stage
from services.pipeline.domain.triggers import (
    AllOf,
    AnyOf,
    EventSeen,
    Inside,
    LeftThreshold,
    StandsIn,
    Trigger,
    VerdictIs,
)
from shared.events.json import Json

_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_OPERATORS: Final = {
    "eq": "is",
    "ne": "is not",
    "in": "is one of",
    "not_in": "is none of",
    "gt": "is more than",
    "gte": "is at least",
    "lt": "is less than",
    "lte": "is at most",
    "contains": "contains",
    "starts_with": "starts with",
    "ends_with": "ends with",
    "matches": "matches",
}


def condition_words(document: Json) -> str:
    """A condition of the document in words; one with faults as well as it goes."""
    if not isinstance(document, dict):
        return ""
    return " and ".join(part for key, value in document.items() for part in _clause(key, value))


def fields_read(document: Json) -> tuple[str, ...]:
    """Every field that a condition looks at, once, in the order of the document."""
    return tuple(dict.fromkeys(_fields(document)))


def trigger_words(trigger: Trigger) -> str:
    """What makes a rule act, without the stages that it names as its origins."""
    match trigger:
        case Inside(names):
            return f"inside {_either(names)}"
        case LeftThreshold(names):
            return f"left {_either(names)}"
        case EventSeen(names):
            return f"event {_either(names)}"
        case VerdictIs(state):
            return state
        case StandsIn():
            return ""
        case AllOf(parts):
            return _joined(parts, " and ", AnyOf)
        case AnyOf(parts):
            return _joined(parts, " or ", AllOf)
        case _:
            assert_never(trigger)


def _joined(parts: tuple[Trigger, ...], joint: str, bracketed: type[AllOf | AnyOf]) -> str:
    """Parts that say something, together; those of the kind `bracketed` in brackets, unless they stand alone."""
    spoken = [(part, words) for part in parts if (words := trigger_words(part))]
    if len(spoken) == 1:
        return spoken[0][1]
    return joint.join(
        f"({words})" if isinstance(part, bracketed) and (" and " in words or " or " in words) else words
        for part, words in spoken
    )


def _either(names: tuple[str, ...]) -> str:
    return " or ".join(names)


def _clause(key: str, value: Json) -> Iterator[str]:
    match key:
        case "all" | "any" if isinstance(value, list):
            joint = " and " if key == "all" else " or "
            yield f"({joint.join(condition_words(item) for item in value)})"
        case "not":
            yield f"not ({condition_words(value)})"
        case _:
            yield from _tests(key.removeprefix("attributes."), value)


def _tests(field: str, value: Json) -> Iterator[str]:
    for operator, argument in (value if isinstance(value, dict) else {"eq": value}).items():
        if operator == "exists":
            yield f"{field} is {'given' if argument else 'not given'}"
        else:
            yield f"{field} {_OPERATORS.get(operator, operator)} {_literal(argument)}"


def _literal(value: Json) -> str:
    if isinstance(value, list):
        return ", ".join(_literal(item) for item in value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _fields(document: Json) -> Iterator[str]:
    if not isinstance(document, dict):
        return
    for key, value in document.items():
        if key in {"all", "any"}:
            for item in value if isinstance(value, list) else ():
                yield from _fields(item)
        elif key == "not":
            yield from _fields(value)
        else:
            yield key


def stage_facts(stage: Stage) -> tuple[str, ...]:
    """What there is to know of a stage besides how it is entered."""
    facts = (
        f"due {stage.due.count}{stage.due.unit}" if stage.due is not None else None,
        f"{stage.probability:.0%}" if stage.probability is not None else None,
        f"requires {', '.join(need.removeprefix('attributes.') for need in stage.requires)}"
        if stage.requires
        else None,
        f"resets {', '.join(stage.resets)}" if stage.resets else None,
        f"known as {', '.join(stage.known_as)}" if stage.known_as else None,
    )
    return tuple(fact for fact in facts if fact is not None)


def hours_words(hours: BusinessHours | None) -> str:
    """Business hours in words."""
    if hours is None:
        return "all hours"
    days = ", ".join(_WEEKDAYS[day] for day in sorted(hours.weekdays))
    holidays = f", {len(hours.holidays)} holidays aside" if hours.holidays else ""
    return f"{days} {hours.opens:%H:%M} to {hours.closes:%H:%M} in {hours.zone.key}{holidays}"
