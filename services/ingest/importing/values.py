"""One value of an event, taken from a row: which column, what counts as absent, what kind it becomes. Pure."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias

from shared.documents.conditions import MISSING, Missing, value_at
from shared.errors import InvalidInput
from shared.events.json import LARGEST_INTEGER, Json

Row: TypeAlias = "Mapping[str, Json]"
Cell: TypeAlias = "Json | Missing"

_NUMBER: Final = re.compile(r"[+-]?\d{1,30}(\.\d{1,30})?([eE][+-]?\d{1,3})?", re.ASCII)
_WHOLE: Final = re.compile(r"[+-]?\d{1,30}(\.0{1,30})?", re.ASCII)
_NOT_IN_NAME: Final = re.compile(r"[^a-z0-9]+", re.ASCII)
_TRUTHS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class Kind(StrEnum):
    """What a cell becomes. `as_is` keeps the text of a CSV cell, and whatever an NDJSON row holds."""

    AS_IS = "as_is"
    TEXT = "text"
    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    NAME = "name"


class Others(StrEnum):
    """What becomes of a value that a map does not name."""

    KEEP = "keep"
    DROP = "drop"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Cleaning:
    """What is done to every cell first. `nulls` are words, in lower case, that mean that nothing is known."""

    trim: bool = True
    nulls: frozenset[str] = frozenset({""})

    def clean(self, cell: Cell) -> Cell:
        """`cell` without blanks around it; MISSING for null and for a null word."""
        if cell is None or isinstance(cell, Missing):
            return MISSING
        if not isinstance(cell, str):
            return cell
        text = cell.strip() if self.trim else cell
        return MISSING if text.lower() in self.nulls else text


@dataclass(frozen=True, slots=True)
class Value:
    """A value of an event: a constant, or what stands in a column.

    A column is found by its name, else, in nested rows, by a path with dots. `words` are compared after folding.
    """

    path: str
    column: str | None = None
    constant: Json = None
    kind: Kind = Kind.AS_IS
    words: Mapping[str, Json] = field(default_factory=dict)
    others: Others = Others.KEEP
    lower: bool = False
    default: Cell = MISSING
    cleaning: Cleaning = field(default_factory=Cleaning)

    def of(self, row: Row) -> Cell:
        """The value in `row`; MISSING when there is none. Raises InvalidInput for what does not fit its kind."""
        if self.column is None:
            return self.constant
        cell = self.cleaning.clean(cell_of(row, self.column))
        if isinstance(cell, Missing):
            return self.default
        if self.lower and isinstance(cell, str):
            cell = cell.lower()
        return self._mapped(cell) if self.words else self._converted(cell)

    def text_of(self, row: Row) -> str | None:
        """The value as text, for ids and addresses; None when there is none."""
        cell = self.of(row)
        return None if isinstance(cell, Missing) else self._text(cell)

    def _mapped(self, cell: Json) -> Cell:
        text = self._text(cell)
        if text in self.words:
            word = self.words[text]
            return MISSING if word is None else word
        if self.others is Others.REFUSE:
            raise self._fault("is none of the words that the map knows")
        return MISSING if self.others is Others.DROP else self._converted(cell)

    def _converted(self, cell: Json) -> Json:
        return cell if self.kind is Kind.AS_IS else _CONVERSIONS[self.kind](self, self._text(cell))

    def _text(self, cell: Json) -> str:
        text = as_text(cell)
        if text is None:
            raise self._fault("is a list or an object, not one value")
        return text

    def _number(self, text: str) -> Json:
        if _NUMBER.fullmatch(text) is None:
            raise self._fault("is not a number")
        if not re.search(r"[.eE]", text):
            return int(text)
        number = float(text)
        if number - number != 0:
            raise self._fault("is too large for a number")
        return number

    def _integer(self, text: str) -> Json:
        if _WHOLE.fullmatch(text) is None or abs(int(text.partition(".")[0])) > LARGEST_INTEGER:
            raise self._fault("is not a whole number")
        return int(text.partition(".")[0])

    def _boolean(self, text: str) -> Json:
        if text.lower() not in _TRUTHS:
            raise self._fault("is neither true nor false")
        return _TRUTHS[text.lower()]

    def _name(self, text: str) -> Json:
        name = _NOT_IN_NAME.sub("_", text.lower()).strip("_")
        if not name:
            raise self._fault("has no letters to make a name of")
        return name

    def _fault(self, reason: str) -> InvalidInput:
        return InvalidInput(f"column {self.column}: {reason}", code="invalid_value", field=self.path)


_CONVERSIONS: Final[Mapping[Kind, Callable[[Value, str], Json]]] = {
    Kind.TEXT: lambda _value, text: text,
    Kind.NUMBER: Value._number,  # noqa: SLF001 - the table belongs to the class
    Kind.INTEGER: Value._integer,  # noqa: SLF001
    Kind.BOOLEAN: Value._boolean,  # noqa: SLF001
    Kind.NAME: Value._name,  # noqa: SLF001
}


def cell_of(row: Row, column: str) -> Cell:
    """What stands in `column`, or MISSING."""
    if column in row:
        return row[column]
    return value_at(row, column.split(".")) if "." in column else MISSING


def as_text(cell: Json) -> str | None:
    """One value as its text: 7 as `7`, true as `true`; None for a list, an object and null."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return str(cell) if isinstance(cell, int | float) else None
