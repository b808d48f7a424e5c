"""JSON as it comes from strangers: parsed without recursion limits to trip over, and checked before
anything is promised, because PostgreSQL and arithmetic choke on values that JSON parsers let through.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from pydantic_core import from_json
from typing_extensions import TypeAliasType

from shared.errors import InvalidInput

# A named alias: pydantic would unfold a recursive TypeAlias for ever.
Json = TypeAliasType("Json", "bool | int | float | str | list[Json] | dict[str, Json] | None")

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
LARGEST_INTEGER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class JsonLimits:
    """How large one JSON value may be; every figure is inclusive."""

    depth: int = 32
    keys: int = 256
    items: int = 500
    string_length: int = 8192


# What PostgreSQL and arithmetic bear, however it came onto the log; ingest's own door is much narrower.
STORABLE = JsonLimits(depth=100, keys=10_000, items=10_000, string_length=1_000_000)


def parse_json(body: bytes) -> Json:
    """The value of a UTF-8 JSON text. Raises InvalidInput for NaN, lone surrogates, deep nesting."""
    try:
        value: Json = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidInput(f"not JSON: {error}", code="not_json") from error
    return value


def is_sound(value: Json, limits: JsonLimits) -> bool:
    """Whether `json_faults` finds none; several times as quick, because it need not say where."""
    return _is_sound(value, limits.depth, limits.keys, limits.items, limits.string_length)


def _is_sound(value: Json, depth: int, keys: int, items: int, length: int) -> bool:
    # Written out, the commonest first, because it looks at every value of every event.
    if isinstance(value, str):
        return len(value) <= length and "\x00" not in value and (value.isascii() or not _UNSTORABLE.search(value))
    if isinstance(value, bool) or value is None:
        return True
    if isinstance(value, int):
        return -LARGEST_INTEGER <= value <= LARGEST_INTEGER
    if isinstance(value, float):
        return isfinite(value)
    if depth <= 0:
        return False
    if isinstance(value, dict):
        if len(value) > keys:
            return False
        for key, item in value.items():
            if len(key) > length or "\x00" in key or not (key.isascii() or not _UNSTORABLE.search(key)):
                return False
            if not _is_sound(item, depth - 1, keys, items, length):
                return False
        return True
    if len(value) > items:
        return False
    return all(_is_sound(item, depth - 1, keys, items, length) for item in value)


def json_faults(value: Json, limits: JsonLimits, path: str = "") -> Iterator[tuple[str, str]]:
    """Each (path, reason) for which `value` could not be stored and scored exactly."""
    if isinstance(value, str):
        yield from _string_faults(value, limits, path)
    elif isinstance(value, bool) or value is None:
        return
    elif isinstance(value, int):
        if abs(value) > LARGEST_INTEGER:
            yield path, "integer beyond 64 bits"
    elif isinstance(value, float):
        if value - value != 0:
            yield path, "number is not finite"
    elif limits.depth <= 0:
        yield path, "nested too deeply"
    else:
        yield from _container_faults(value, limits, path)


def _string_faults(text: str, limits: JsonLimits, path: str) -> Iterator[tuple[str, str]]:
    if len(text) > limits.string_length:
        yield path, f"longer than {limits.string_length} characters"
    unstorable = _UNSTORABLE.search(text)
    if unstorable is not None:
        yield path, "contains a NUL character" if unstorable[0] == "\x00" else "contains a lone surrogate"


def _container_faults(
    value: Mapping[str, Json] | Sequence[Json], limits: JsonLimits, path: str
) -> Iterator[tuple[str, str]]:
    inner = JsonLimits(limits.depth - 1, limits.keys, limits.items, limits.string_length)
    if isinstance(value, Mapping):
        if len(value) > limits.keys:
            yield path, f"more than {limits.keys} keys"
            return
        for key, item in value.items():
            yield from _string_faults(key, limits, f"{path}.{key[:40]}" if path else key[:40])
            yield from json_faults(item, inner, f"{path}.{key}" if path else key)
        return
    if len(value) > limits.items:
        yield path, f"more than {limits.items} items"
        return
    for index, item in enumerate(value):
        yield from json_faults(item, inner, f"{path}[{index}]")
