"""Holds today's messages to those of the last release: what would break whoever reads them fails `make check`.

`check` compares the schemas and lets today's code read the released examples; `release` takes today's messages as
the released ones, which is a step of every release and of nothing else. The rules: docs/adr/0022.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from shared.errors import InvalidInput
from shared.events.codec import MESSAGES, decode
from shared.events.json import parse_json

ROOT: Final = Path(__file__).resolve().parent.parent
RELEASED: Final = Path("shared/events/released")
ADVICE: Final = (
    "a change that breaks readers is a new version of the message (`lead.stalled` v2), sent beside the old one\n"
    "until its readers have moved and the retention of its topic has passed: docs/adr/0022"
)

Schema: TypeAlias = "Mapping[str, object]"

# A bound that moves this way lets through less than before.
_LOWER: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_FORMS: Final = ("format", "pattern", "multipleOf", "uniqueItems")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=("check", "release"))
    parser.add_argument("--root", type=Path, default=ROOT, help="tree to look at")
    options = parser.parse_args(arguments)
    if options.action == "release":
        release(options.root)
        return 0
    found = [*breakages(released(options.root), current(options.root)), *unreadable(options.root)]
    sys.stdout.writelines(f"{line}\n" for line in found)
    if found:
        sys.stderr.write(f"{ADVICE}\n")
    return 1 if found else 0


def released(root: Path) -> dict[str, Schema]:
    """The schemas of the last release, by message."""
    return _schemas(root / RELEASED / "schema")


def current(root: Path) -> dict[str, Schema]:
    """The schemas of today, by message; `docs/generate.py check` holds them to the code."""
    return _schemas(root / "shared" / "events" / "schema")


def release(root: Path) -> None:
    """Take today's schemas and examples as the released ones."""
    for kind in ("schema", "examples"):
        there = root / RELEASED / kind
        there.mkdir(parents=True, exist_ok=True)
        for file in there.glob("*.json"):
            file.unlink()
        for file in sorted((root / "shared" / "events" / kind).glob("*.json")):
            (there / file.name).write_bytes(file.read_bytes())
    (root / RELEASED / "topics.json").write_text(json.dumps(_topics(), indent=2) + "\n", encoding="utf-8")


def unreadable(root: Path) -> Iterator[str]:
    """Released examples that today's code reads no more, and messages that have left their topic.

    The log still holds what the last release wrote, so an emitted field that is new needs a default to be read by.
    """
    for file in sorted((root / RELEASED / "examples").glob("*.json")):
        try:
            decode(file.read_bytes())
        except InvalidInput as error:
            yield f"{file.stem}: what the last release sent is not read any more: {error}"
    topics = _topics()
    for type_, topic in _mapping(parse_json((root / RELEASED / "topics.json").read_bytes())).items():
        if topics.get(type_, topic) != topic:
            yield f"{type_}: was on {topic}, is on {topics[type_]}"


def breakages(old: Mapping[str, Schema], new: Mapping[str, Schema]) -> Iterator[str]:
    """What readers of `old` lose in `new`, a line each. Additions are none."""
    for name, schema in old.items():
        if name in new:
            yield from _Comparison(schema, new[name]).differences(schema, new[name], name)
        else:
            yield f"{name}: the message is gone"


class _Comparison:
    """Two schemas, each with its own definitions; a pair of definitions is compared once."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self._old = old
        self._new = new
        self._seen: set[tuple[str, str]] = set()

    def differences(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        pair = (str(old.get("$ref")), str(new.get("$ref")))
        if "$ref" in old and "$ref" in new:
            if pair in self._seen:
                return
            self._seen.add(pair)
        before, after = (
            _variants(_resolved(old, self._old), self._old),
            _variants(_resolved(new, self._new), self._new),
        )
        if not before or not after:
            return
        for kind, variant in before.items():
            if kind in after:
                yield from self._same_kind(variant, after[kind], path)
            else:
                yield f"{path}: can be {kind} no more"
        yield from (f"{path}: can now be {kind}, which nobody expects" for kind in after if kind not in before)

    def _same_kind(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        yield from _values(old, new, path)
        yield from _limits(old, new, path)
        yield from self._fields(old, new, path)
        for key, step in (("items", "[]"), ("additionalProperties", "{}")):
            before, after = old.get(key), new.get(key)
            if isinstance(before, Mapping) and isinstance(after, Mapping):
                yield from self.differences(before, after, path + step)
            elif isinstance(before, Mapping) and after is False:
                yield f"{path}{step}: is gone"
        yield from self._places(_list(old.get("prefixItems")), _list(new.get("prefixItems")), path)

    def _fields(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        before, after = _mapping(old.get("properties")), _mapping(new.get("properties"))
        required = _list(new.get("required"))
        for name, schema in before.items():
            if name not in after:
                yield f"{path}.{name}: the field is gone"
                continue
            if name in _list(old.get("required")) and name not in required:
                yield f"{path}.{name}: may be left out now"
            yield from self.differences(_mapping(schema), _mapping(after[name]), f"{path}.{name}")

    def _places(self, old: Sequence[object], new: Sequence[object], path: str) -> Iterator[str]:
        if len(old) != len(new):
            yield f"{path}: has {len(new)} places, had {len(old)}"
            return
        for place, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from self.differences(_mapping(before), _mapping(after), f"{path}[{place}]")


def _values(old: Schema, new: Schema, path: str) -> Iterator[str]:
    before, after = _choices(old), _choices(new)
    if after is None:
        return
    if before is None:
        yield f"{path}: could be anything, is one of {', '.join(map(str, after))}"
        return
    yield from (f"{path}: is never {value} any more" for value in before if value not in after)


def _limits(old: Schema, new: Schema, path: str) -> Iterator[str]:
    for keys, is_narrower in ((_LOWER, float.__gt__), (_UPPER, float.__lt__)):
        for key in keys:
            before, after = _number(old.get(key)), _number(new.get(key))
            if after is not None and (before is None or is_narrower(after, before)):
                yield f"{path}: {key} is {after:g}, was {'none' if before is None else f'{before:g}'}"
    for key in _FORMS:
        if old.get(key) != new.get(key):
            yield f"{path}: {key} is {new.get(key)}, was {old.get(key)}"


def _variants(schema: Schema, root: Schema) -> dict[str, Schema]:
    """What a value can be, by its JSON type; nothing for a schema that lets everything through."""
    listed = _list(schema.get("anyOf")) or _list(schema.get("oneOf")) or [schema]
    found: dict[str, Schema] = {}
    for item in listed:
        resolved = _resolved(_mapping(item), root)
        inner = resolved if resolved is schema else None
        if inner is None and ("anyOf" in resolved or "oneOf" in resolved):
            found |= _variants(resolved, root)
            continue
        for kind in _kinds(resolved):
            found[kind] = resolved
    return found


def _kinds(schema: Schema) -> list[str]:
    stated = schema.get("type")
    if isinstance(stated, str):
        return [stated]
    if isinstance(stated, list):
        return [str(kind) for kind in stated]
    return ["string"] if _choices(schema) is not None else []


def _choices(schema: Schema) -> list[object] | None:
    if "const" in schema:
        return [schema["const"]]
    return _list(schema["enum"]) if "enum" in schema else None


def _resolved(schema: Schema, root: Schema) -> Schema:
    reference = schema.get("$ref")
    if not isinstance(reference, str):
        return schema
    return _mapping(_mapping(root.get("$defs")).get(reference.rsplit("/", maxsplit=1)[-1]))


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _schemas(directory: Path) -> dict[str, Schema]:
    files = sorted(directory.glob("*.json"))
    return {file.stem: _mapping(parse_json(file.read_bytes())) for file in files}


def _topics() -> dict[str, str]:
    return {
        str(message.model_fields["type"].default): topic.name
        for topic, messages in MESSAGES.items()
        for message in messages
    }


if __name__ == "__main__":
    sys.exit(main())
