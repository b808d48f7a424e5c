"""Items that are as most senders write them: read straight from the bytes, by their types.

Whatever these types do not take is read by `items`, which decides, and words what is wrong. So they may refuse too
much, and never take what `items` would not, or otherwise than it would: tests hold them to that.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

from msgspec import DecodeError, Meta, Struct, ValidationError, defstruct, field
from msgspec.json import Decoder
from msgspec.structs import fields

from services.ingest.domain.draft import Draft
from services.ingest.domain.identity import LeadNames
from services.ingest.domain.items import DEFAULT_SOURCE, parse_moment
from shared.events.json import LARGEST_INTEGER, Json, JsonLimits

# Properties within properties, and so on; who nests deeper is read the other way. The item around them, `lead` and
# `external_ids` are levels too.
_LEVELS = 4
_FEWEST_KEYS = 16
# A NUL can be written in no other way, and what a sender writes like this is seldom anything else.
_NUL = rb"\u0000"
_Read = TypeVar("_Read")
_Plain = TypeVar("_Plain", bound=Struct)
# Types made at run time, which no checker can follow.
_Type = Any
_ANNOTATED: _Type = Annotated
_DICT: _Type = dict
_LIST: _Type = list
_FIELD: _Type = field
_DEFSTRUCT: _Type = defstruct


class PlainLead(Struct, gc=False):
    """The names of a lead."""

    email: str | None = None
    external_ids: dict[str, str] | None = None
    anonymous_id: str | None = None


class PlainItem(Struct, gc=False):
    """An item whose values can all be kept; what it says has yet to make sense."""

    id: str
    type: str
    lead: PlainLead
    source: str | None = None
    occurred_at: str | None = None
    properties: dict[str, Json] = {}
    attributes: dict[str, Json] = {}


def plain_draft(item: PlainItem) -> tuple[Draft, str]:
    """The draft of an item, and its source. Raises InvalidInput naming the field."""
    lead = item.lead
    occurred_at = item.occurred_at
    draft = Draft(
        item.id,
        item.type,
        LeadNames(lead.email, lead.external_ids or {}, lead.anonymous_id),
        None if occurred_at is None else parse_moment(occurred_at, "occurred_at"),
        None,
        item.properties,
        item.attributes,
    )
    return draft, item.source or DEFAULT_SOURCE


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
        if not self._is_usual or _NUL in body:
            return None
        try:
            return decode(body)
        except (DecodeError, ValidationError, UnicodeDecodeError, RecursionError):
            return None


def _item_type(limits: JsonLimits) -> type[PlainItem]:
    """PlainItem with the limits in its types."""
    text = _ANNOTATED[str, Meta(max_length=limits.string_length)]
    values = _ANNOTATED[_DICT[text, _value_type(text, limits)], Meta(max_length=limits.keys)]
    ids = _ANNOTATED[_DICT[text, text], Meta(max_length=limits.keys)]
    lead = _narrowed(PlainLead, {"email": text | None, "external_ids": ids | None, "anonymous_id": text | None})
    types = {"id": text, "type": text, "lead": lead, "source": text | None, "occurred_at": text | None}
    return _narrowed(PlainItem, {**types, "properties": values, "attributes": values})


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
    narrowed: type[_Plain] = _DEFSTRUCT(base.__name__, made, bases=(base,), forbid_unknown_fields=True, gc=False)
    return narrowed
