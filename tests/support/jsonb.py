"""JSON as PostgreSQL gives it back: numbers spelled out, keys by their length, and room between all."""

from decimal import Decimal
from json import dumps

from msgspec.json import Decoder

_EXACTLY = Decoder(float_hook=Decimal).decode


def as_postgresql(body: bytes) -> str:
    """What a jsonb made of `body` says as text."""
    return _written(_EXACTLY(body))


def _written(value: object) -> str:
    if isinstance(value, dict):
        items = sorted(value.items(), key=lambda item: (len(item[0].encode()), item[0]))
        return "{" + ", ".join(f"{_written(name)}: {_written(item)}" for name, item in items) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_written, value)) + "]"
    return format(value, "f") if isinstance(value, Decimal) else dumps(value, ensure_ascii=False)
