"""What a subscriber wants to be told: a filter on the message, of values and tests by path."""

import re
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from shared.documents.conditions import OPERATORS, Found, Missing, equal, value_at
from shared.errors import Fault, InvalidDocument
from shared.events.json import Json

Filter: TypeAlias = Mapping[str, tuple[Json, ...]]
"""Per path of the message (`data.to_stage`) what passes, one of several values or tests; all paths must pass.

A test is a mapping of operators to arguments, `{"gte": 60}`, all of which must hold: those of models' conditions.
"""

_PATH: Final = re.compile(r"[a-z_]+(\.[A-Za-z0-9_-]+){0,7}", re.ASCII)
_MOST_PATHS: Final = 20
_MOST_VALUES: Final = 100


def parse_filter(document: Mapping[str, Json]) -> Filter:
    """A filter from `{path: value}`, `{path: test}` or `{path: [values and tests]}`.

    Raises InvalidDocument with every fault.
    """
    faults = [Fault("filter", f"more than {_MOST_PATHS} paths")] if len(document) > _MOST_PATHS else []
    found: dict[str, tuple[Json, ...]] = {}
    for path, value in document.items():
        values = tuple(value) if isinstance(value, list) else (value,)
        if not _PATH.fullmatch(path):
            faults.append(Fault(f"filter.{path[:80]}", "is no path such as `data.to_stage`"))
        if not values or len(values) > _MOST_VALUES or any(isinstance(item, list) for item in values):
            faults.append(Fault(f"filter.{path[:80]}", f"must be a value or a list of 1 to {_MOST_VALUES} values"))
        for test in values:
            if isinstance(test, dict):
                faults += [Fault(f"filter.{path[:80]}", wrong) for wrong in _wrong(test)]
        found[path] = values
    if faults:
        raise InvalidDocument(faults)
    return found


def passes(conditions: Filter, message: Mapping[str, Json]) -> bool:
    """Whether what the message has at every path is wanted there; truth is no number, and null is like nothing."""
    return all(
        any(_meets(value_at(message, path.split(".")), one) for one in wanted) for path, wanted in conditions.items()
    )


def _meets(found: Found, wanted: Json) -> bool:
    if isinstance(wanted, dict):
        return all(OPERATORS[name][1](argument)(found) for name, argument in wanted.items())
    return equal(None if isinstance(found, Missing) else found, wanted)


def _wrong(test: Mapping[str, Json]) -> Iterator[str]:
    if not test:
        yield "must have at least one operator"
    for name, argument in test.items():
        if name not in OPERATORS:
            yield f"unknown operator; there are {', '.join(OPERATORS)}"
        elif (fault := OPERATORS[name][0](argument)) is not None:
            yield f"{name} {fault}"
