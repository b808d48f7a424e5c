"""Types of fields that msgspec reads as pydantic does: each is declared once, for both."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

from msgspec import Meta
from pydantic import AwareDatetime, GetPydanticSchema

from shared.events.json import LARGEST_INTEGER, STORABLE, Json

# Values within values, and so on; who nests deeper is read by pydantic alone.
_LEVELS: Final = 6
# From here on pydantic writes a float otherwise than msgspec does.
_LARGEST_FLOAT: Final = 1e16

StorableText = Annotated[str, Meta(max_length=STORABLE.string_length)]

if TYPE_CHECKING:
    Moment = datetime
    AnyJson = Json
    StorableValues = dict[str, Json]
    StorableNames = dict[str, str]
else:

    def _as_pydantic_reads(declared: Any) -> GetPydanticSchema:
        return GetPydanticSchema(lambda _, handler: handler.generate_schema(declared))

    def _by_name(value: Any) -> Any:
        return Annotated[dict[StorableText, value], Meta(max_length=STORABLE.keys)]

    def _values() -> Any:
        """JSON that can be stored, down to so many levels: a type of msgspec's cannot speak of itself."""
        integer = Annotated[int, Meta(ge=-LARGEST_INTEGER, le=LARGEST_INTEGER)]
        number = Annotated[float, Meta(gt=-_LARGEST_FLOAT, lt=_LARGEST_FLOAT)]
        single = bool | integer | number | StorableText | None
        value = single
        for _ in range(_LEVELS):
            value = single | Annotated[list[value], Meta(max_length=STORABLE.items)] | _by_name(value)
        return _by_name(value)

    Moment = Annotated[datetime, Meta(tz=True), _as_pydantic_reads(AwareDatetime)]
    AnyJson = Annotated[Any, _as_pydantic_reads(Json)]
    StorableValues = Annotated[_values(), _as_pydantic_reads(dict[str, Json])]
    StorableNames = _by_name(StorableText)
