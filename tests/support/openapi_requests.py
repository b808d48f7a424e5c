"""Requests made up from an OpenAPI document and from what somebody really has, so that a new route needs no list.

Every path, query and body takes values that were found in somebody's answers: by the field's name first, then
whatever has the type that is asked for.
"""

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import jsonschema

Schema = Mapping[str, Any]  # of a document: JSON as it comes
Document = Mapping[str, Any]

METHODS: Final = ("get", "head", "options", "put", "post", "patch", "delete")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Of one field: so many values by its name, or one of each kind of thing that somebody has.
_MOST_NAMED = 3
_MOST_PATHS = 4
_LONG_AGO: Final = "2026-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One method of one path."""

    method: str
    path: str
    parameters: Sequence[Mapping[str, Any]]
    body: Schema | None
    statuses: frozenset[str]
    has_key: bool
    streams: bool

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def ids(self) -> list[str]:
        """The parameters of its path."""
        return re.findall(r"{(\w+)}", self.path)

    @property
    def is_of_something_there(self) -> bool:
        """Whether it names something that has to be there already, and so may be told that it is not."""
        return bool(self.ids) and "404" in self.statuses


@dataclass(frozen=True, slots=True)
class Request:
    """An operation on something: `sent` is all that the caller knew already."""

    operation: Operation
    path: str
    query: Sequence[tuple[str, str]] = ()
    body: object = None

    @property
    def sent(self) -> list[str]:
        values = [self.path, *self.path.split("/"), *(value for _, value in self.query)]
        return [*values, *(text for name, leaf in leaves(self.body, objects=True) for text in (name, str(leaf)))]


@dataclass(slots=True)
class Belongings:
    """What somebody has: the values in their answers by the name of the field, and the members of each collection."""

    by_name: dict[str, list[Any]] = field(default_factory=dict)
    members: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)

    def learn(self, answer: object) -> None:
        """Take in the values of an answer."""
        for name, value in leaves(answer, objects=True):
            known = self.by_name.setdefault(name, [])
            if value is not None and value not in known:
                known.append(value)

    def collect(self, path: str, answer: object) -> None:
        """Take in the members of the collection that GET `path` has answered with."""
        lists = [answer] if isinstance(answer, list) else []
        lists += [value for value in answer.values() if isinstance(value, list)] if isinstance(answer, dict) else []
        for items in lists:
            known = self.members.setdefault(path, [])
            known.extend(item for item in items if isinstance(item, dict) and item not in known)

    def ids(self) -> list[str]:
        """Every id that was made for them."""
        texts = (value for values in self.by_name.values() for value in values if isinstance(value, str))
        return [value for value in dict.fromkeys(texts) if _UUID.fullmatch(value)]

    def some_of_each(self, most: int = _MOST_NAMED) -> list[str]:
        """What names some members of each collection."""
        found = (_member(item, "id") for items in self.members.values() for item in items[:most])
        return [value for value in dict.fromkeys(found) if value is not None]


def leaves(value: object, name: str = "", *, objects: bool = False) -> Iterator[tuple[str, Any]]:
    """Every plain value in a document with the name of its field; what is in a list goes by the list's name.

    The `id` of one of `events` is an `event_id` too. With `objects` every object too, by its name.
    """
    if isinstance(value, Mapping):
        if objects and name:
            yield name, value
        for key, item in value.items():
            yield from leaves(item, str(key), objects=objects)
            if name.endswith("s") and isinstance(item, str | int):
                yield f"{name[:-1]}_{key}", item
    elif isinstance(value, list | tuple):
        for item in value:
            yield from leaves(item, name, objects=objects)
    else:
        yield name, value


def operations(document: Document) -> list[Operation]:
    """Every operation of the document, in its order."""
    return [
        _operation(method, path, found)
        for path, methods in document["paths"].items()
        for method, found in methods.items()
        if method in METHODS
    ]


def _operation(method: str, path: str, found: Mapping[str, Any]) -> Operation:
    contents = found.get("requestBody", {}).get("content", {})
    answers = found["responses"].get("200", {}).get("content", {})
    return Operation(
        method,
        path,
        found.get("parameters", ()),
        contents.get("application/json", {}).get("schema"),
        frozenset(found["responses"]),
        has_key=bool(found.get("security")),
        streams="text/event-stream" in answers,
    )


class Requests:
    """What can be asked of an operation of `document` about `belongings`."""

    def __init__(self, document: Document, operation: Operation, belongings: Belongings) -> None:
        self._document = document
        self._operation = operation
        self._has = belongings
        self._collections = {(other.path, name) for other in operations(document) for name in other.ids}

    def made(self) -> Iterator[Request]:
        """Every way to name what there is in the path; and with the first of them, in the query and in the body."""
        paths = list(dict.fromkeys(self._paths()))
        queries, bodies = list(self._queries()), list(self._bodies())
        for path in paths:
            yield Request(self._operation, path, queries[0], bodies[0])
        for path in paths[:1]:
            yield from (Request(self._operation, path, query, bodies[0]) for query in queries[1:])
            yield from (Request(self._operation, path, queries[0], body) for body in bodies[1:])

    def _paths(self) -> Iterator[str]:
        path, names = self._operation.path, self._operation.ids
        choices = [self._named(path, name)[:_MOST_PATHS] for name in names]
        for chosen in itertools.product(*choices):
            yield path.format(**dict(zip(names, chosen, strict=True)))

    def _named(self, path: str, name: str) -> list[str]:
        """What a parameter of a path can name: members of the collection that it stands in."""
        before = path.partition("/{" + name + "}")[0]
        collections = [before]
        collections += [other.partition("/{" + name + "}")[0] for other, also in self._collections if also == name]
        collections += [path.partition("/{")[0]]
        for collection in collections:
            found = [_member(item, name) for item in self._has.members.get(collection, ())]
            if known := [value for value in found if value is not None]:
                return list(dict.fromkeys(known))
        return []

    def _queries(self) -> Iterator[Sequence[tuple[str, str]]]:
        asked = {item["name"]: item for item in self._operation.parameters if item["in"] == "query"}
        values = {name: self.values(parameter["schema"], name) for name, parameter in asked.items()}
        # A stream that begins with what is new says nothing for a long time: it is told where to begin.
        base = {
            name: values[name][0]
            for name, parameter in asked.items()
            if parameter.get("required") or (self._operation.streams and "enum" in parameter["schema"])
        }
        yield _flat(base)
        for name, known in values.items():
            yield from (_flat({**base, name: value}) for value in known)

    def _bodies(self) -> Sequence[object]:
        schema = self._operation.body
        return [None] if schema is None else self.values(schema, "") or [None]

    def values(self, schema: Schema, name: str) -> list[Any]:
        """What the schema takes, best first."""
        validator = jsonschema.Draft202012Validator({**schema, "components": self._document["components"]})
        found: list[Any] = []
        for value in self._values(schema, name):
            if value not in found and validator.is_valid(value):
                found.append(value)
        return found

    def _values(self, schema: Schema, name: str) -> Iterator[Any]:
        if "$ref" in schema:
            yield from self._values(self._resolved(schema["$ref"]), name)
        for branch in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
            yield from self._values(branch, name)
        if "enum" in schema:
            yield from schema["enum"]
            return
        kinds = schema.get("type", ())
        for kind in [kinds] if isinstance(kinds, str) else kinds:
            yield from self._of_kind(kind, schema, name)

    def _of_kind(self, kind: str, schema: Schema, name: str) -> Iterator[Any]:
        match kind:
            case "string":
                yield from self._strings(schema, name)
            case "integer":
                yield from itertools.islice((one for one in self._called(name) if isinstance(one, int)), _MOST_NAMED)
                yield from (1, 2)
            case "number":
                yield 1
            case "boolean":
                yield from (False, True)
            case "array":
                yield from ([value] for value in self.values(schema["items"], name))
            case "object":
                yield from self._objects(schema, name)

    def _strings(self, schema: Schema, name: str) -> Iterator[str]:
        if schema.get("format") == "date-time":
            yield _LONG_AGO
        elif schema.get("format") == "date":
            yield _LONG_AGO.partition("T")[0]
        elif schema.get("format") == "uuid":
            yield from (value for value in self._texts(name) if _UUID.fullmatch(value))
            yield from (value for value in self._has.some_of_each() if _UUID.fullmatch(value))
        else:
            spoken_of = schema.get("description", "").lower()
            yield from self._texts(name) if self._called(name) else self._texts(*re.findall(r"\w{4,}", spoken_of))

    def _texts(self, *names: str) -> Iterator[str]:
        named = [value for name in names for value in self._called(name) if isinstance(value, str)]
        yield from list(dict.fromkeys(named))[: _MOST_NAMED * len(names)] or self._has.some_of_each(1)

    def _objects(self, schema: Schema, name: str) -> Iterator[Mapping[str, Any]]:
        if "properties" not in schema:
            named = (value for value in self._called(name) if isinstance(value, Mapping))
            yield from itertools.islice(named, _MOST_NAMED)
            yield {}
            return
        choices = {key: self.values(part, key) for key, part in schema["properties"].items()}
        base = {key: choices[key][0] for key in schema.get("required", ()) if choices[key]}
        yield base
        for key, values in choices.items():
            yield from ({**base, key: value} for value in values)

    def _called(self, name: str) -> list[Any]:
        """Values of fields with this name, or with one that says the same: `ids`, `lead_id`, `emails`."""
        if name.removesuffix("s") == "id":
            return [_member(item, "id") for item in self._has.members.get(self._parent(), ())]
        names = (name, f"{name}s", f"{name}_id", f"next_{name}", name.removesuffix("s"), name.rpartition("_")[2])
        return [value for called in dict.fromkeys(names) for value in self._has.by_name.get(called, ())]

    def _parent(self) -> str:
        """The collection that the operation is about: `/v1/parked` of `/v1/parked/replay`."""
        path = self._operation.path.partition("/{")[0]
        return path if path in self._has.members else path.rpartition("/")[0]

    def _resolved(self, reference: str) -> Schema:
        found: Any = self._document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        resolved: Schema = found
        return resolved


def _member(item: Mapping[str, Any], name: str) -> str | None:
    # The `element_id` of a path is the `id` of an element, which may have something else by that name.
    names = ("id", name) if name.endswith("_id") else (name, "id")
    value = next((item[key] for key in (*names, "version", "name") if key in item), None)
    return None if value is None else str(value)


def _flat(query: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    return [
        (name, _text(value))
        for name, given in query.items()
        for value in (given if isinstance(given, list) else [given])
    ]


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
