"""Reading documents: every wrong value becomes a fault with its path, and reading goes on."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from difflib import get_close_matches
from typing import Final, TypeVar

from shared.errors import Fault
from shared.events.json import Json

Value = TypeVar("Value")

NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", re.ASCII)

LARGEST_NUMBER: Final = 10**12

# Looking for what somebody meant is for people's mistakes: bounded, because documents come from anywhere.
_LONGEST_NAME: Final = 64
_MOST_COMPARED: Final = 50


class Section:
    """One mapping of a document, read key by key; `finish` faults the keys that nobody asked for."""

    def __init__(self, value: Json, path: str, faults: list[Fault]) -> None:
        self.path = path
        self.faults = faults
        self.is_mapping = isinstance(value, dict)
        self._asked: set[str] = set()
        # YAML reads the key of the band `1: 60` as a number.
        self._values = {str(key): item for key, item in value.items()} if isinstance(value, dict) else {}
        if not isinstance(value, dict):
            self.fault("", "must be a mapping")

    def fault(self, key: str, message: str) -> None:
        """Record that `key` of this section (or the section itself, for "") is wrong."""
        self.faults.append(Fault(self._path_of(key), message))

    def has(self, key: str) -> bool:
        """Whether the document gives `key`."""
        self._asked.add(key)
        return key in self._values

    def value(self, key: str) -> Json:
        """The raw value of `key`, null when absent."""
        self._asked.add(key)
        return self._values.get(key)

    def section(self, key: str) -> "Section":
        """The mapping under `key`; an empty one when absent."""
        return Section(self.value(key) if self.has(key) else {}, self._path_of(key), self.faults)

    def entries(self) -> Iterator[tuple[str, Json]]:
        """Every (name, value) of a section whose keys are names given by the author."""
        for name, value in self._values.items():
            self._asked.add(name)
            if NAME.fullmatch(name):
                yield name, value
            else:
                self.fault(name, "is no name: up to 64 letters, digits, `_`, `-`, `.`, the first no sign")

    def items(self, key: str) -> Iterator["Section"]:
        """The mappings of the list under `key`; none when absent."""
        value = self.value(key) if self.has(key) else []
        if not isinstance(value, list):
            self.fault(key, "must be a list")
            return
        for index, item in enumerate(value):
            yield Section(item, f"{self._path_of(key)}[{index}]", self.faults)

    def name(self, key: str) -> str:
        """The name that must stand under `key`; empty after a fault."""
        value = self.value(key)
        if isinstance(value, str) and NAME.fullmatch(value):
            return value
        self.fault(key, "must be a name" if self.has(key) else "is missing")
        return ""

    def text(self, key: str) -> str:
        """Optional free text."""
        value = self.value(key) if self.has(key) else ""
        if isinstance(value, str):
            return value
        self.fault(key, "must be text")
        return ""

    def names(self, key: str) -> tuple[str, ...]:
        """One name, or a list of different names."""
        value = self.value(key)
        listed = value if isinstance(value, list) else [value]
        found = [item for item in listed if isinstance(item, str) and NAME.fullmatch(item)]
        if not found or len(found) != len(listed) or len(set(found)) != len(found):
            self.fault(key, "must be a name or a list of different names" if self.has(key) else "is missing")
            return ()
        return tuple(found)

    def number(self, key: str, default: float | None = None) -> float:
        """A number; `default` when absent, a fault when there is no default."""
        if not self.has(key) and default is not None:
            return default
        number = as_number(self.value(key))
        if number is None:
            self.fault(key, "must be a number" if self.has(key) else "is missing")
            return 0.0
        return number

    def number_or_none(self, key: str, default: float | None) -> float | None:
        """A number, or None for `none`."""
        if not self.has(key):
            return default
        value = self.value(key)
        if value == "none":
            return None
        number = as_number(value)
        if number is None:
            self.fault(key, "must be a number or none")
        return number

    def count(self, key: str) -> int:
        """A whole number above zero."""
        value = self.value(key)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST_NUMBER:
            return value
        self.fault(key, "must be a whole number above zero" if self.has(key) else "is missing")
        return 1

    def choice(self, key: str, choices: Sequence[Value]) -> Value:
        """One of `choices`; the first after a fault."""
        value = self.value(key)
        for choice in choices:
            if value == choice:
                return choice
        self.fault(key, f"must be one of {', '.join(map(str, choices))}")
        return choices[0]

    def parsed(self, key: str, parse: Callable[[Json], Value], default: Value) -> Value:
        """What `parse` makes of the value; its ValueError becomes a fault. `default` when absent."""
        if not self.has(key):
            return default
        try:
            return parse(self.value(key))
        except ValueError as error:
            self.fault(key, str(error))
            return default

    def finish(self) -> None:
        """Fault every key that was not asked for."""
        for key in self._values:
            if key not in self._asked:
                self.fault(key, f"unknown key; there are {', '.join(sorted(self._asked))}{meant(key, self._asked)}")

    def _path_of(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path and key else self.path or key


def meant(name: str, known: Collection[str]) -> str:
    """A question to add to a message about `name`, if one of `known` is much like it."""
    if len(name) > _LONGEST_NAME or len(known) > _MOST_COMPARED:
        return ""
    likely = get_close_matches(name, sorted(known), n=1, cutoff=0.7)
    return f": did you mean {likely[0]}?" if likely else ""


def as_number(value: Json) -> float | None:
    """`value` as a finite float of sensible size, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) <= LARGEST_NUMBER else None
