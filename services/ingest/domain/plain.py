"""Items that are as most senders write them: read straight from the bytes, by their types.

Whatever these types do not take is read by `items`, which decides, and words what is wrong. So they may refuse too
much, and never take what `items` would not, or otherwise than it would: tests hold them to that.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

from msgspec import DecodeError, Meta, Raw, Struct, ValidationError, defstruct, field
from msgspec.json import Decoder
from msgspec.structs import fields

from services.ingest.domain.draft import Draft
from services.ingest.domain.identity import LeadNames
from shared.events.json import LARGEST_INTEGER, JsonLimits

# Properties within properties, and so on; who nests deeper is read the other way. The item around them, `lead` and
# `external_ids` are levels too.
_LEVELS = 4
_FEWEST_KEYS = 16
# Of what senders cannot say: no text is as long, and as short, as that.
_NEVER = Annotated[str, Meta(min_length=1, max_length=0)]
# A NUL can be written in no other way, and what a sender writes like this is seldom anything else. A single byte is
# looked for at a fraction of the cost.
_NUL = rb"\u0000"
_ESCAPE = b"\\"
_APART = Decoder(list[Raw]).decode
# What an item has seldom.
_COMMAS_EACH = 64
_Read = TypeVar("_Read")
_Plain = TypeVar("_Plain", bound=Struct)
# Types made at run time, which no checker can follow.
_Type = Any
_ANNOTATED: _Type = Annotated
_DICT: _Type = dict
_LIST: _Type = list
_FIELD: _Type = field
_DEFSTRUCT: _Type = defstruct


class PlainItem(Draft, frozen=True, gc=False):
    """An item whose values can all be kept; what it says has yet to make sense."""

    source: str | None = None


class PlainReader:
    """Reads bodies that hold items within `limits`."""

    def __init__(self, limits: JsonLimits) -> None:
        self._is_usual = limits.depth > _LEVELS + 1 and limits.keys >= _FEWEST_KEYS
        item = _item_type(limits)
        self._one: Decoder[PlainItem] = Decoder(item)
        self._many: Decoder[list[PlainItem]] = Decoder(_LIST[item])

    def one(self, body: bytes) -> PlainItem | None:
        """The item that `body` is; None when it is not as plain as that."""
        return self._read(self._one.decode, body)

    def many(self, body: bytes) -> Sequence[PlainItem] | None:
        """The items of the array that `body` is; None when one of them is not as plain as that."""
        return self._read(self._many.decode, body)

    def _read(self, decode: Callable[[bytes], _Read], body: bytes) -> _Read | None:
        if not self._is_usual or (_ESCAPE in body and _NUL in body):
            return None
        try:
            return decode(body)
        except (DecodeError, ValidationError, UnicodeDecodeError, RecursionError):
            return None


def apart(body: bytes, *, most: int) -> Sequence[bytes] | None:
    """The texts of the items of the array that `body` is, whatever they say.

    None when it is no array, and when there may be many times `most` of them: each takes memory before it is counted.
    """
    if body.count(b",") > _COMMAS_EACH * most:
        return None
    try:
        return [bytes(part) for part in _APART(body)]
    except (DecodeError, RecursionError):
        return None


def _item_type(limits: JsonLimits) -> type[PlainItem]:
    """PlainItem with the limits in its types."""
    text = _ANNOTATED[str, Meta(max_length=limits.string_length)]
    values = _ANNOTATED[_DICT[text, _value_type(text, limits)], Meta(max_length=limits.keys)]
    ids = _ANNOTATED[_DICT[text, text], Meta(max_length=limits.keys)]
    lead = _narrowed(LeadNames, {"email": text | None, "external_ids": ids | None, "anonymous_id": text | None})
    types = {"id": text, "type": text, "lead": lead, "source": text | None, "occurred_at": text | None}
    return _narrowed(PlainItem, {**types, "native_type": _NEVER, "properties": values, "attributes": values})


def _value_type(text: _Type, limits: JsonLimits) -> _Type:
    """A value of `properties`: down to so many levels, because types cannot speak of themselves here."""
    single = bool | _ANNOTATED[int, Meta(ge=-LARGEST_INTEGER, le=LARGEST_INTEGER)] | float | text | None
    value = single
    for _ in range(_LEVELS):
        listed = _ANNOTATED[_LIST[value], Meta(max_length=limits.items)]
        value = single | listed | _ANNOTATED[_DICT[text, value], Meta(max_length=limits.keys)]
    return value


def _narrowed(base: type[_Plain], types: Mapping[str, _Type]) -> type[_Plain]:
    """`base` with other types of the same fields, and without room for others."""
    made = [
        (one.name, types[one.name], _FIELD(default=one.default, default_factory=one.default_factory))
        for one in fields(base)
    ]
    narrowed: type[_Plain] = _DEFSTRUCT(
        base.__name__, made, bases=(base,), forbid_unknown_fields=True, frozen=True, gc=False
    )
    return narrowed
