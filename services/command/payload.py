"""Bytes for people's eyes: as JSON where they are JSON, as text where they are text, else in hex."""

from dataclasses import dataclass
from typing import Literal

from pydantic_core import to_json

from shared.errors import InvalidInput
from shared.events.json import parse_json

_BYTES_PER_LINE = 16
_PRINTED_WHITESPACE = frozenset("\n\r\t")


@dataclass(frozen=True, slots=True)
class Payload:
    """How bytes are shown; `text` is safe to print on a terminal."""

    form: Literal["json", "text", "hex"]
    text: str


def payload_of(value: bytes) -> Payload:
    """`value` in the most readable of the three forms."""
    try:
        return Payload("json", to_json(parse_json(value), indent=2).decode())
    except (InvalidInput, ValueError):
        pass
    try:
        decoded = value.decode()
    except UnicodeDecodeError:
        return Payload("hex", _hex(value))
    if all(character.isprintable() or character in _PRINTED_WHITESPACE for character in decoded):
        return Payload("text", decoded)
    return Payload("hex", _hex(value))


def one_line(value: bytes) -> str:
    """A short value, such as a key or a header: as text if all of it can be printed, else in hex."""
    decoded = value.decode(errors="replace")
    return decoded if decoded.isprintable() and "\ufffd" not in decoded else value.hex()


def _hex(value: bytes) -> str:
    lines = (value[start : start + _BYTES_PER_LINE] for start in range(0, len(value), _BYTES_PER_LINE))
    return "\n".join(f"{number * _BYTES_PER_LINE:08x}  {line.hex(' ')}" for number, line in enumerate(lines))
