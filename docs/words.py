"""JSON Schema in words, and Markdown around it: what every generated reference is written with."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

Document: TypeAlias = dict[str, object]
Linked: TypeAlias = Callable[[str], str]
_BOUNDS: Mapping[str, str] = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "maxLength": "up to {} characters",
    "maxItems": "up to {} of them",
}


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells)


def fields(properties: Mapping[str, Document], parts: Mapping[str, Document], link: Linked | None = None) -> str:
    """The members of an object as a table; a part of its own is linked by `link`, to this page unless given."""
    rows = [(f"`{name}`", type_in_words(field, link), meaning(field, parts)) for name, field in properties.items()]
    return table(("field", "is", "meaning"), rows)


def meaning(field: Document, parts: Mapping[str, Document]) -> str:
    """What a field is for; one that says nothing of its own is what its part is."""
    part = parts.get(part_of(field), {})
    return " ".join(str(field.get("description", part.get("description", ""))).split())


def part_of(schema: Document) -> str:
    """The name of the part that a schema refers to, or nothing."""
    return str(schema.get("$ref", "")).rsplit("/", maxsplit=1)[-1]


def short(name: str) -> str:
    """A part's name without the module that tells it from others of that name."""
    return name.rsplit("__", maxsplit=1)[-1]


def type_in_words(schema: Document, link: Linked | None = None) -> str:
    """A JSON Schema's type; a part of its own is linked."""
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(type_in_words(one, link) for one in documents_of(schema[several])))
    if "$ref" in schema:
        name = part_of(schema)
        shown = short(name)
        return "any JSON" if name == "Json" else f"[{shown}]({link(name) if link else f'#{shown.lower()}'})"
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{choice}`" for choice in list_of(schema["enum"]))
    return _plain(schema, link)


def _plain(schema: Document, link: Linked | None) -> str:
    if schema.get("format") == "date-time":
        return "time"
    if schema.get("type") == "array":
        return f"list of {type_in_words(document_of(schema.get('items', {})), link)}"
    if isinstance(values := schema.get("additionalProperties"), dict):
        return f"map of {type_in_words(values, link)}"
    kinds = schema.get("type", "any JSON")
    return " or ".join(map(str, kinds)) if isinstance(kinds, list) else str(kinds)


def bounds(schema: Document) -> Iterator[str]:
    """What a value must keep to, in words."""
    for variant in variants_of(schema):
        yield from (words.format(variant[key]) for key, words in _BOUNDS.items() if key in variant)


def variants_of(schema: Document) -> list[Document]:
    """What a value may be, each for itself."""
    return documents_of(schema["anyOf"]) if "anyOf" in schema else [schema]


def list_of(value: object) -> list[object]:
    assert isinstance(value, list)
    return value


def document_of(value: object) -> Document:
    assert isinstance(value, dict)
    return value


def documents_of(value: object) -> list[Document]:
    return [document_of(one) for one in list_of(value)]
