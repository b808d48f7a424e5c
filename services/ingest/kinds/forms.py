"""Bodies as browsers and PHP write them: `application/x-www-form-urlencoded`, with brackets in the names.

Order and repetition are kept, because platforms give them a meaning; sizes are bounded, because anybody
can send one before anything is verified.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from shared.errors import InvalidInput
from shared.events.json import Json

# PHP itself takes no more than a thousand.
_MOST_FIELDS = 1_000
_LONGEST_NAME = 512
_DEEPEST_BRACKETS = 3
_BRACKETED = re.compile(r"(?P<name>[^\[\]]+)(?P<steps>(\[[^\[\]]*\])+)")
_STEP = re.compile(r"\[([^\[\]]*)\]")


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form as (name, value), decoded, in their order."""

    fields: tuple[tuple[str, str], ...]

    def first(self, name: str) -> str | None:
        """The value of the first field of that name."""
        return next(iter(self.all(name)), None)

    def last(self, name: str) -> str | None:
        """The value of the last field of that name, which is the one PHP would see."""
        return next(reversed(self.all(name)), None)

    def all(self, name: str) -> list[str]:
        """Every value of that name, in order."""
        return [value for other, value in self.fields if other == name]

    def tree(self) -> dict[str, Json]:
        """The fields as PHP nests them: `a[b][c]=1` is {"a": {"b": {"c": "1"}}}, `a[]=1&a[]=2` a list.

        Of a repeated name the last counts; names whose brackets do not match are taken as they are written.
        Raises InvalidInput for more than three levels of brackets.
        """
        tree: dict[str, Json] = {}
        for name, value in self.fields:
            _put(tree, _path(name), value)
        return tree


def parse_form(body: bytes) -> Form:
    """The form in `body` (or in a query string). Raises InvalidInput: not_form, not_utf8."""
    parts = body.split(b"&", _MOST_FIELDS)
    if len(parts) > _MOST_FIELDS:
        raise InvalidInput(f"more than {_MOST_FIELDS} form fields", code="not_form")
    return Form(tuple(_field(part) for part in parts if part.strip()))


def _field(part: bytes) -> tuple[str, str]:
    name, _, value = part.partition(b"=")
    if len(name) > 3 * _LONGEST_NAME:
        raise InvalidInput("the name of a form field is too long", code="not_form")
    return _text(name), _text(value)


def _text(encoded: bytes) -> str:
    try:
        return unquote_to_bytes(encoded.replace(b"+", b" ")).decode()
    except UnicodeDecodeError as error:
        raise InvalidInput("a form field is not UTF-8", code="not_utf8") from error


def _path(name: str) -> list[str]:
    match = _BRACKETED.fullmatch(name)
    if match is None:
        return [name]
    steps = _STEP.findall(match["steps"])
    if len(steps) > _DEEPEST_BRACKETS:
        raise InvalidInput(f"more than {_DEEPEST_BRACKETS} levels of brackets in a form", code="not_form")
    return [match["name"], *steps]


def _put(tree: dict[str, Json], path: list[str], value: str) -> None:
    *parents, last = path[:-1] if path[-1] == "" and len(path) > 1 else path
    node = tree
    for step in parents:
        inner = node.get(step)
        if not isinstance(inner, dict):
            inner = {}
            node[step] = inner
        node = inner
    if len(parents) + 1 == len(path):
        node[last] = value
        return
    listed = node.get(last)
    node[last] = [*listed, value] if isinstance(listed, list) else [value]
