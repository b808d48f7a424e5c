"""What a subscriber wants to be told: event types, and a filter of equalities on the message."""

import re
from collections.abc import Mapping
from typing import Final, TypeAlias

from shared.errors import Fault, InvalidDocument
from shared.events.json import Json

Filter: TypeAlias = Mapping[str, tuple[Json, ...]]
"""Per path of the message (`data.to_stage`) the values that pass; several paths must all pass."""

_PATH: Final = re.compile(r"[a-z_]+(\.[A-Za-z0-9_-]+){0,7}", re.ASCII)
_MOST_PATHS: Final = 20
_MOST_VALUES: Final = 100


def parse_filter(document: Mapping[str, Json]) -> Filter:
    """A filter from `{path: value}` or `{path: [values]}`. Raises InvalidDocument with every fault."""
    faults = [Fault("filter", f"more than {_MOST_PATHS} paths")] if len(document) > _MOST_PATHS else []
    found: dict[str, tuple[Json, ...]] = {}
    for path, value in document.items():
        values = tuple(value) if isinstance(value, list) else (value,)
        if not _PATH.fullmatch(path):
            faults.append(Fault(f"filter.{path[:80]}", "is no path such as `data.to_stage`"))
        if not values or len(values) > _MOST_VALUES or any(isinstance(item, list | dict) for item in values):
            faults.append(Fault(f"filter.{path[:80]}", f"must be a value or a list of 1 to {_MOST_VALUES} values"))
        found[path] = values
    if faults:
        raise InvalidDocument(faults)
    return found


def passes(conditions: Filter, message: Mapping[str, Json]) -> bool:
    """Whether the message has one of the wanted values at every path; truth is no number."""
    return all(
        any((type(found) is type(value) and found == value) or _same_number(found, value) for value in wanted)
        for path, wanted in conditions.items()
        for found in [_at(message, path)]
    )


def _same_number(one: Json, other: Json) -> bool:
    numbers = all(isinstance(item, int | float) and not isinstance(item, bool) for item in (one, other))
    return numbers and one == other


def _at(message: Mapping[str, Json], path: str) -> Json:
    found: Json = dict(message)
    for step in path.split("."):
        if not isinstance(found, dict) or step not in found:
            return None
        found = found[step]
    return found
