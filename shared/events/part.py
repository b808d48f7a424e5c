"""Parts of messages that are built and written by the thousand: structs, which pydantic reads and describes.

A struct is built in a twentieth of the time that a model takes, because it checks nothing: whoever builds one has
checked its values. Readers do check: models and adapters with such a part read it as they would read a model.
"""

from functools import cache
from types import new_class
from typing import Annotated, Any, Final, NotRequired

from msgspec import NODEFAULT, Struct, to_builtins
from msgspec.structs import FieldInfo, fields
from pydantic import ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema
from typing_extensions import TypedDict

_TOLERANT: Final = ConfigDict(extra="ignore")


class Part(Struct, frozen=True, gc=False):
    """A part of a message: immutable, and tolerant of fields that a later release may add.

    It is written as it is, so whoever builds one gives moments in UTC, and floats, not integers, for floats.
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        described: Any = {**handler.resolve_ref_schema(handler.generate_schema(_described(cls)))}
        del described["ref"]
        return core_schema.json_or_python_schema(
            core_schema.no_info_after_validator_function(lambda read: cls(**read), described),
            core_schema.no_info_wrap_validator_function(
                lambda value, check: value if isinstance(value, cls) else cls(**check(value)), described
            ),
            ref=f"{cls.__module__}.{cls.__qualname__}:{id(cls)}",
            serialization=core_schema.plain_serializer_function_ser_schema(to_builtins),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        told = handler(schema)
        if handler.mode == "serialization":
            handler.resolve_ref_schema(told)["required"] = list(cls.__struct_fields__)
        return told


@cache
def _described(part: type[Part]) -> Any:
    """The fields of a part in a type that pydantic knows; one for each, so that schemas tell it once."""
    # mypy knows no types that are made as the program runs.
    members = {
        "__module__": part.__module__,
        "__doc__": part.__doc__,
        "__annotations__": {field.name: _type_of(field) for field in fields(part)},
        "__pydantic_config__": _TOLERANT,
    }
    return new_class(part.__name__, (TypedDict,), exec_body=lambda body: body.update(members))


def _type_of(field: FieldInfo) -> Any:
    if field.default is NODEFAULT:
        return field.type
    return NotRequired[Annotated[field.type, Field(default=field.default)]]
