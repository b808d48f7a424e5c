"""Documents written in YAML (or JSON, which is YAML): read as their authors mean them.

YAML 1.1 takes the key `on` for true, `9:30` for a number and a date for an object; here only `true` and
`false` are truths, and the rest stays text. Aliases are refused: they grow without bound.
"""

import re
from collections.abc import Hashable
from contextlib import suppress
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

from shared.errors import InvalidInput
from shared.events.json import Json, JsonLimits, json_faults, parse_json

_LIMITS = JsonLimits(items=2_000, keys=2_000)
_LONGEST_TEXT = 1_048_576
_LINE_LENGTH = 118
_LINE_ENDS = re.compile(r"[\x85\u2028\u2029]")


class _Loader(yaml.SafeLoader):
    """SafeLoader without aliases, repeated keys, and the surprises of YAML 1.1."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 as PyYAML has it

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping whose keys are the text that stands there: the band `1: 60` is named `1`."""
        found: dict[Hashable, Any] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                raise yaml.YAMLError(f"line {key.start_mark.line + 1}: a key must be text")
            if key.value in found:
                raise yaml.YAMLError(f"line {key.start_mark.line + 1}: {key.value} is there twice")
            found[key.value] = self.construct_object(value, deep=deep)
        return found


class _Dumper(yaml.SafeDumper):
    """SafeDumper that quotes what the loader above would take for something else, and nothing besides."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 as PyYAML has it

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the signature of its base
        return True


def _represent_text(dumper: _Dumper, text: str) -> ScalarNode:
    # Only between double quotes are these escaped; elsewhere they would be read as ends of lines.
    style = '"' if _LINE_ENDS.search(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
for _dialect in (_Loader, _Dumper):
    _dialect.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:null|~|)$"), ["n", "~", ""])
    _dialect.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), ["t", "f"])
    _dialect.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^-?(?:0|[1-9][0-9]*)$"), list("-0123456789"))
    _dialect.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)$"),
        list("-0123456789"),
    )


def read_yaml(text: str) -> Json:
    """The value of one YAML or JSON document. Raises InvalidInput, naming the line, for anything else."""
    if len(text) > _LONGEST_TEXT:
        raise InvalidInput("longer than 1 MiB", code="not_yaml")
    value = _value(text)
    for path, reason in json_faults(value, _LIMITS):
        raise InvalidInput(f"{path}: {reason}", code="not_yaml", field=path)
    return value


def write_yaml(value: Json) -> str:
    """A document as YAML, in its own order, so that `read_yaml` gives the same again."""
    return yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=_LINE_LENGTH
    )


def _value(text: str) -> Json:
    # JSON proper has tabs and surrogate pairs that PyYAML reads otherwise.
    if text.lstrip().startswith("{"):
        with suppress(InvalidInput):
            return parse_json(text.encode())
    try:
        value: Json = yaml.load(text, Loader=_Loader)  # noqa: S506 a SafeLoader
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InvalidInput(f"not YAML: {error}", code="not_yaml") from error
    return value
