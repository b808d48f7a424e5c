"""Which paths the messages have, by their schemas: a filter on any other would never let one through."""

from collections.abc import Collection, Iterable, Iterator
from functools import cache
from typing import TypedDict, cast

from shared.documents.reading import meant
from shared.errors import Fault, InvalidDocument
from shared.events.codec import message_schema

_Schema = TypedDict(
    "_Schema",
    {
        "$ref": str,
        "anyOf": list["_Schema"],
        "properties": dict[str, "_Schema"],
        "additionalProperties": "_Schema",
    },
    total=False,
)


class _Discriminator(TypedDict):
    mapping: dict[str, str]


_Messages = TypedDict("_Messages", {"$defs": dict[str, _Schema], "discriminator": _Discriminator})


def check_paths(paths: Iterable[str], types: Collection[str]) -> None:
    """Check that messages of `types` can have the `paths` (`data.to_stage`) of a filter, each at least one of them.

    Raises InvalidDocument, with the paths that there are instead of a wrong one. Below a field that may hold
    anything, such as `data.attributes`, every path can be had.
    """
    looked_at = ((path, _fault(path, types)) for path in paths)
    if faults := [Fault(f"filter.{path[:80]}", words) for path, words in looked_at if words is not None]:
        raise InvalidDocument(faults)


def _fault(path: str, types: Collection[str]) -> str | None:
    places = [place for name in types for place in _branches({"$ref": _messages()["discriminator"]["mapping"][name]})]
    way = ""
    for step in path.split("."):
        below = [branch for place in places for branch in _below(place, step)]
        if not below:
            return f"no message of these types has {way}{step[:80]}{_others(way, step, places)}"
        places, way = below, f"{way}{step}."
    return None


def _others(way: str, step: str, places: Iterable[_Schema]) -> str:
    known = sorted({name for place in places for name in place.get("properties", {})})
    return f"; there are {', '.join(f'{way}{name}' for name in known)}{meant(step, known)}" if known else ""


def _below(place: _Schema, step: str) -> Iterator[_Schema]:
    if step in place.get("properties", {}):
        yield from _branches(place["properties"][step])
    elif "additionalProperties" in place:
        yield from _branches(place["additionalProperties"])


def _branches(schema: _Schema) -> Iterator[_Schema]:
    """What may stand at a place, without references."""
    if "$ref" in schema:
        yield from _branches(_messages()["$defs"][schema["$ref"].rpartition("/")[2]])
    elif "anyOf" in schema:
        for branch in schema["anyOf"]:
            yield from _branches(branch)
    else:
        yield schema


@cache
def _messages() -> _Messages:
    return cast("_Messages", message_schema())
