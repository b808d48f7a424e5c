"""Writes every reference page and schema from the code that it describes, or checks that they still agree.

`write` renders into the work tree; `check` renders in memory, prints what differs and how to mend it, and
exits 1. The same code always renders the same bytes: nothing here asks a clock, an environment or a network.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import unified_diff
from importlib import import_module
from importlib.metadata import version
from inspect import getdoc
from pathlib import Path
from pkgutil import walk_packages
from types import ModuleType

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, APIRouter
from prometheus_client.metrics import MetricWrapperBase
from pydantic import SecretStr
from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from pydantic_settings import BaseSettings

import services
import shared
from docs.api import api_pages
from docs.drawing import pictures
from docs.words import Document, document_of, fields, list_of, table, type_in_words, variants_of
from services.command.up import BUILDS
from services.pipeline.domain.schema import document_schema
from services.scorer.domain.models.schema import model_schema
from shared.access.guard import Guard
from shared.access.keyring import KeyRing
from shared.clock import SystemClock
from shared.db.engine import Database
from shared.events.codec import MESSAGES
from shared.events.envelope import Message
from shared.events.topics import ALL_TOPICS, DEAD_LETTER_TOPICS, TOPICS, TopicSpec
from shared.log.connect import open_log
from shared.process import create_app
from shared.service import Context
from shared.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
DIRECTORIES = ("docs/reference", "shared/events/schema")
REPAIR = "the references no longer say what the code does: run `make docs` and commit what it wrote"

_DAY_SECONDS = 86_400
_SERVICES = ("ingest", "scorer", "pipeline")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=("write", "check"))
    parser.add_argument("--root", type=Path, default=ROOT, help="tree to write into or to compare with")
    options = parser.parse_args(arguments)
    if options.action == "write":
        write(options.root)
        return 0
    return check(options.root)


def write(root: Path) -> None:
    """Make the generated directories of `root` hold exactly the pages."""
    rendered = pages()
    for path in _orphans(root, rendered):
        (root / path).unlink()
    for path, text in rendered.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")


def check(root: Path) -> int:
    """0 when `root` holds exactly the pages; else 1, with the differences on standard output."""
    rendered = pages()
    expected = rendered | dict.fromkeys(_orphans(root, rendered), "")
    differences = [line for path, text in expected.items() for line in _difference(root, path, text)]
    sys.stdout.writelines(differences)
    if differences:
        sys.stderr.write(f"{REPAIR}\n")
    return 1 if differences else 0


def _orphans(root: Path, rendered: Mapping[str, str]) -> list[str]:
    files = [path for directory in DIRECTORIES for path in (root / directory).glob("**/*") if path.is_file()]
    return sorted({path.relative_to(root).as_posix() for path in files} - rendered.keys())


def _difference(root: Path, path: str, expected: str) -> Iterator[str]:
    there = (root / path).read_text(encoding="utf-8") if (root / path).exists() else ""
    lines = there.splitlines(keepends=True), expected.splitlines(keepends=True)
    yield from unified_diff(*lines, f"{path} (committed)", f"{path} (from the code)", n=2)


def pages() -> dict[str, str]:
    """Every generated file: its text by its path from the root."""
    return {
        "docs/reference/configuration.md": configuration_page(),
        "docs/reference/metrics.md": metrics_page(),
        "docs/reference/events.md": events_page(),
        "docs/reference/asyncapi.json": _json(asyncapi()),
        "docs/reference/openapi.json": _json(openapi()),
        "docs/reference/model.schema.json": _json(dict(model_schema())),
        "docs/reference/pipeline.schema.json": _json({**document_schema()}),
        **api_pages(openapi(), scopes()),
        **pictures(),
        **{f"shared/events/schema/{type_}.v1.json": _json(schema) for type_, schema in schemas().items()},
    }


def _json(document: Document) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


# Settings


def configuration_page() -> str:
    """Every setting of every process, as the environment variable that sets it."""
    sections = [
        _section(
            f"`{class_.__module__}`",
            getdoc(class_) or "",
            table(("variable", "value", "default", "what it does"), _settings_rows(class_)),
        )
        for class_ in _settings_classes()
    ]
    return _page(
        "Configuration",
        "Settings are environment variables, read once when a process starts. Every one has a default that works;\n"
        "a value that is not what the table asks for keeps the process from starting.",
        sections,
    )


def _settings_classes() -> list[type[BaseSettings]]:
    return [
        value
        for module in _modules_named("settings")
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, BaseSettings) and value.__module__ == module.__name__
    ]


def _settings_rows(class_: type[BaseSettings]) -> Iterator[tuple[str, ...]]:
    schema = class_.model_json_schema(by_alias=False)
    prefix = class_.model_config.get("env_prefix", "")
    for name, field in _documents(schema["properties"]).items():
        variable = f"`{prefix}{name}`".upper()
        yield variable, _value(field), _default(field.get("default")), str(field["description"])


def _default(value: object) -> str:
    if value is None or value == "":
        return "unset"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


_KINDS = {"integer": "whole number", "boolean": "`true` or `false`", "string": "text", "array": "JSON list"}
_FORMATS = {"path": "directory", "password": "text, secret"}
_BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}


def _value(field: Document) -> str:
    """What a setting may be, in words."""
    variants = [variant for variant in variants_of(field) if variant.get("type") != "null"]
    return " or ".join(dict.fromkeys(_plain_value(variant) for variant in variants))


def _plain_value(schema: Document) -> str:
    if "enum" in schema:
        return ", ".join(f"`{choice}`" for choice in list_of(schema["enum"]))
    kind = str(schema.get("type", "JSON"))
    word = _FORMATS.get(str(schema.get("format")), _KINDS.get(kind, kind))
    bounds = [f"{words} {schema[key]}" for key, words in _BOUNDS.items() if key in schema]
    return ", ".join([word, *bounds])


# Metrics


def metrics_page() -> str:
    """Every metric by the module that owns it."""
    sections = [
        _section(
            f"`{module.__name__}`",
            (getdoc(module) or "").split("\n\n", maxsplit=1)[0],
            table(("metric", "type", "labels", "what it tells"), _metric_rows(module)),
        )
        for module in _modules_named("metrics")
    ]
    return _page(
        "Metrics",
        "What `GET /metrics` of every process shows, in Prometheus' text format. A process shows the metrics of\n"
        "the services it runs. Histograms add `_bucket`, `_sum` and `_count`.",
        sections,
    )


def _metric_rows(module: ModuleType) -> Iterator[tuple[str, ...]]:
    constants = [value for value in vars(module).values() if isinstance(value, MetricWrapperBase)]
    for metric in constants:
        (family,) = metric.describe()
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = ", ".join(f"`{label}`" for label in metric._labelnames)  # noqa: SLF001 - shown nowhere else
        yield f"`{name}`", family.type, labels, family.documentation


# Messages


class _MessageSchema(GenerateJsonSchema):
    """pydantic's schema without the title that it makes up for every field."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 - the signature is pydantic's
        return False


def schemas() -> dict[str, Document]:
    """A JSON Schema that stands alone, by message type."""
    return {
        type_of(message): {
            "$schema": GenerateJsonSchema.schema_dialect,
            "$id": f"urn:leadflow:message:{type_of(message)}:v1",
            **message.model_json_schema(mode="serialization", schema_generator=_MessageSchema),
            "title": type_of(message),
        }
        for message in _messages()
    }


def _shared_schemas() -> dict[str, Document]:
    _, document = models_json_schema(
        [(message, "serialization") for message in _messages()],
        ref_template="#/components/schemas/{model}",
        schema_generator=_MessageSchema,
    )
    return _documents(document["$defs"])


def _messages() -> tuple[type[Message], ...]:
    return tuple(message for messages in MESSAGES.values() for message in messages)


def type_of(message: type[Message]) -> str:
    """The wire name of a message class."""
    return str(message.model_fields["type"].default)


def asyncapi() -> Document:
    """The topics and what is on them, as AsyncAPI 3.0."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "leadflow",
            "version": version("leadflow"),
            "description": "What leadflow's services tell each other and the world, over Kafka or the embedded log.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/cloudevents+json",
        "channels": {topic.name: _channel(topic) for topic in ALL_TOPICS},
        "operations": dict(_operations()),
        "components": {
            "messages": {type_of(message): _message(message) for message in _messages()},
            "schemas": _shared_schemas(),
        },
    }


def _channel(topic: TopicSpec) -> Document:
    types = [type_of(message) for message in MESSAGES.get(topic, ())]
    about = (
        "The original bytes of records that can never be handled; headers say whence and why."
        if topic in DEAD_LETTER_TOPICS
        else f"Ordered per key: {topic.key}."
    )
    configuration = {"cleanup.policy": ["delete"], "retention.ms": topic.retention_seconds * 1000}
    return {
        "address": topic.name,
        "description": about,
        "messages": {type_: {"$ref": f"#/components/messages/{type_}"} for type_ in types},
        "bindings": {"kafka": {"partitions": topic.partitions, "topicConfiguration": configuration}},
    }


def _operations() -> Iterator[tuple[str, Document]]:
    for topic in ALL_TOPICS:
        channel = {"$ref": f"#/channels/{topic.name}"}
        for service in _SERVICES:
            if service in topic.producers:
                yield f"{service}-sends-{topic.name}", {"action": "send", "channel": channel}
            if service in topic.consumers:
                yield f"{service}-receives-{topic.name}", {"action": "receive", "channel": channel}


def _message(message: type[Message]) -> Document:
    return {
        "name": type_of(message),
        "title": message.__name__,
        "summary": getdoc(message) or "",
        "contentType": "application/cloudevents+json",
        "payload": {"$ref": f"#/components/schemas/{message.__name__}"},
    }


def events_page() -> str:
    """Topics, messages and their parts, for people."""
    parts = _shared_schemas()
    messages = {message.__name__: message for message in _messages()}
    envelope = _documents(
        Message.model_json_schema(mode="serialization", schema_generator=_MessageSchema)["properties"]
    )
    return _page(
        "Events",
        "What leadflow tells the world and its own services: CloudEvents 1.0 in JSON, one fact each. A field that\n"
        "this page does not name, or another value where it lists some, may appear in a later release; ignore it.\n"
        "Schemas: `shared/events/schema/`; what a release promises: docs/adr/0022.",
        [
            _section("Topics", _topology(), table(_TOPIC_COLUMNS, map(_topic_row, ALL_TOPICS))),
            _section("Envelope", "Every message has:", fields(envelope, parts)),
            *(_section(f"`{type_of(message)}`", *_about(message, parts)) for message in messages.values()),
            *(
                _section(
                    name, str(part.get("description", "")), fields(_documents(part.get("properties", {})), parts)
                )
                for name, part in parts.items()
                if name not in messages and name != "Json"
            ),
        ],
    )


def _about(message: type[Message], parts: Mapping[str, Document]) -> tuple[str, str]:
    topic = next(topic for topic, messages in MESSAGES.items() if message in messages)
    data = _documents(parts[message.__name__]["properties"])["data"]
    return f"{getdoc(message)} On `{topic.name}`.", f"`data` is {type_in_words(data)}."


_TOPIC_COLUMNS = ("topic", "key", "partitions", "kept", "written by", "read by", "messages")


def _topic_row(topic: TopicSpec) -> tuple[str, ...]:
    return (
        f"`{topic.name}`",
        topic.key,
        str(topic.partitions),
        f"{topic.retention_seconds // _DAY_SECONDS} days",
        ", ".join(topic.producers),
        ", ".join(topic.consumers),
        ", ".join(f"`{type_of(message)}`" for message in MESSAGES.get(topic, ())) or "original bytes",
    )


def _topology() -> str:
    arrows = [
        f"    {producer} -->|{topic.name}| {consumer}"
        for topic in TOPICS
        for producer in topic.producers
        for consumer in topic.consumers
    ]
    return "\n".join(["```mermaid", "flowchart LR", *arrows, "```"])


# HTTP


def openapi() -> Document:
    """The API of all services, as `leadflow up` serves it."""
    return asyncio.run(_application()).openapi()


def scopes() -> dict[str, str]:
    """The scope that a key needs, by the id of the operation; some need none."""
    return {
        route.unique_id: dependency.call.scope
        for route in _api_routes(asyncio.run(_application()))
        for dependency in _dependencies(route.dependant)
        if isinstance(dependency.call, Guard)
    }


def _api_routes(router: FastAPI | APIRouter) -> Iterator[APIRoute]:
    for route in router.routes:
        if isinstance(route, APIRoute):
            yield route
        elif isinstance(inner := getattr(route, "original_router", None), APIRouter):
            yield from _api_routes(inner)


def _dependencies(dependant: Dependant) -> Iterator[Dependant]:
    for dependency in dependant.dependencies:
        yield dependency
        yield from _dependencies(dependency)


async def _application() -> FastAPI:
    # Building a service opens no connection: these are never used.
    settings = Settings(database_url=SecretStr("postgresql://nobody@localhost/nothing"), kafka_bootstrap_servers=None)
    database, clock = Database("postgresql://nobody@localhost/nothing"), SystemClock()
    context = Context(settings=settings, database=database, log=open_log(settings, database), clock=clock)
    keys = KeyRing(database, clock)
    try:
        return create_app([build(context, keys) for build in BUILDS.values()])
    finally:
        await database.close()


# Rendering, and JSON Schema as Python sees it


def _modules_named(name: str) -> list[ModuleType]:
    packages = (*walk_packages(shared.__path__, "shared."), *walk_packages(services.__path__, "services."))
    return [import_module(module.name) for module in packages if module.name.rsplit(".", maxsplit=1)[-1] == name]


def _page(title: str, introduction: str, sections: Iterable[str]) -> str:
    notice = "<!-- Generated by docs/generate.py: run `make docs`, do not edit. -->"
    return "\n\n".join([notice, f"# {title}", introduction, *sections]) + "\n"


def _section(title: str, text: str, table: str) -> str:
    return "\n\n".join(part for part in (f"## {title}", text, table) if part)


def _documents(value: object) -> dict[str, Document]:
    return {name: document_of(part) for name, part in document_of(value).items()}


if __name__ == "__main__":
    sys.exit(main())
