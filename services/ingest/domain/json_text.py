"""JSON text that a parser refused: where its elements lie, and which field the trouble is in.

One bad event must not fail its neighbours, and its sender wants to know which field to mend. So when a
batch does not parse as a whole, its elements are cut out of the text and parsed one by one.
"""

import re
from collections.abc import Iterator

# Possessive, and a text that is never closed runs to the end: so no input takes more than linear time.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[\]{},:]', re.DOTALL)
_WHITESPACE = b" \t\r\n"
_POSITION = re.compile(r"at line (\d+) column (\d+)$")
_LONGEST_PATH = 120
# Beyond these, looking would keep others waiting.
_DEEPEST = 20_000
_LONGEST_FIRST_ELEMENT_BYTES = 64 * 1024
_FARTHEST_FAULT_BYTES = 1024 * 1024


def split_array(text: bytes, *, most: int) -> list[bytes] | None:
    """The texts of an array's elements, of the first `most` + 1 if there are more.

    None when the brackets do not add up, or it is no array.
    """
    body = text.strip(_WHITESPACE)
    if not body.startswith(b"["):
        return None
    elements: list[bytes] = []
    start = 1
    for depth, position, mark in _marks(body):
        if depth == 1 and mark == b",":
            elements.append(body[start:position].strip(_WHITESPACE))
            start = position + 1
            if len(elements) > most:
                return elements
        if depth == 0 and mark == b"]":
            last = body[start:position].strip(_WHITESPACE)
            complete = position == len(body) - 1
            return [*elements, *([last] if last or elements else [])] if complete else None
    return None


def first_element(text: bytes) -> bytes | None:
    """The text of an array's first element, without looking at what follows it.

    None for no array, and for an element of more than 64 KiB: it is looked for before anybody vouches for it.
    """
    body = text[:_LONGEST_FIRST_ELEMENT_BYTES].lstrip(_WHITESPACE)
    if not body.startswith(b"["):
        return None
    for depth, position, mark in _marks(body):
        if (depth == 1 and mark == b",") or (depth == 0 and mark == b"]"):
            return body[1:position].strip(_WHITESPACE) or None
    return None


def offset_of(message: str, text: bytes) -> int | None:
    """The byte that a parser's message `... at line 2 column 7` speaks of."""
    found = _POSITION.search(message)
    if found is None:
        return None
    line, column = int(found[1]), int(found[2])
    start = 0
    for _ in range(line - 1):
        start = text.find(b"\n", start) + 1
    return start + column - 1


def path_at(text: bytes, offset: int) -> str | None:
    """The field that holds the byte at `offset`, such as `properties.items[2].price`.

    None at the top, and for a fault beyond the first MiB.
    """
    if offset > _FARTHEST_FAULT_BYTES:
        return None
    steps: list[int | str] = []
    key: str | None = None
    for token in _TOKEN.finditer(text):
        if token.start() > offset:
            break
        mark = token.group()
        if mark == b"{":
            steps.append("")
        elif mark == b"[":
            steps.append(0)
        elif mark in b"}]" and steps:
            steps.pop()
        elif mark == b"," and steps:
            last = steps[-1]
            steps[-1] = last + 1 if isinstance(last, int) else ""
        elif mark == b":" and steps and key is not None:
            steps[-1] = key
        key = _key(mark)
    return _written(steps)


def _marks(text: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(depth after it, position, mark) of every structural mark."""
    depth = 0
    for token in _TOKEN.finditer(text):
        mark = token.group()
        if mark in b"[{":
            depth += 1
        elif mark in b"]}":
            depth -= 1
        if depth > _DEEPEST:
            return
        yield depth, token.start(), mark


def _key(token: bytes) -> str | None:
    return token[1:-1].decode("utf-8", "replace") if token.startswith(b'"') else None


def _written(steps: list[int | str]) -> str | None:
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps if step != "")
    return path.removeprefix(".")[:_LONGEST_PATH] or None
