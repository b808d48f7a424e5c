"""The HTTP API as pages, one for each group of routes, written from the OpenAPI document."""

from collections.abc import Iterator, Mapping
from http import HTTPStatus

from docs.words import (
    Document,
    bounds,
    document_of,
    documents_of,
    fields,
    list_of,
    meaning,
    part_of,
    short,
    table,
    type_in_words,
)

_METHODS = ("get", "post", "put", "patch", "delete", "options")
_PLACE = "docs/reference/api"
_SHARED = "shared"
_PROBLEM = "application/problem+json"
_GROUPS: Mapping[str, str] = {
    "events": "Events of your own",
    "webhooks": "Webhooks of platforms",
    "sources": "Sources of webhooks",
    "parked": "What could not be placed",
    "leads": "Leads",
    "scores": "Scores: why, when, and corrections",
    "models": "Models",
    "pipelines": "Pipelines",
    "subscriptions": "Subscriptions",
    "feed": "Feed and stream",
    "reports": "Reports",
    "operations": "Operation",
}
_INTRODUCTION = """\
Every route of leadflow, as `leadflow up` and the gateway serve them on one port. The same as a document for
programs: [openapi.json](../openapi.json). A running leadflow serves it at `/openapi.json`, and a page to try it out
at `/docs`; neither needs the internet.

- **Keys.** Send `Authorization: Bearer lf_...` or `X-API-Key: lf_...`. A key belongs to one workspace, has scopes,
  and sees nothing of other workspaces: what is theirs is answered like what is not there, 404. `leadflow keys create`
  makes one. Webhooks of platforms and the routes of operation need none.
- **Problems** are `application/problem+json`, as in the table below. Programs go by `code`, which is stable.
- **Pages.** Lists give a `next_cursor`; hand it back as `cursor` until it is null.
- **Times** are RFC 3339 with a zone; what leadflow says is UTC.
"""


def api_pages(document: Document, scopes: Mapping[str, str]) -> dict[str, str]:
    """The pages by their path from the root. `scopes` are those that keys need, by the id of the operation."""
    api = _Api(document, scopes)
    groups = sorted(api.groups, key=lambda group: (list(_GROUPS).index(group) if group in _GROUPS else 99, group))
    pages = {group: api.page(group) for group in groups} | {_SHARED: api.shared_page()}
    return {f"{_PLACE}/{name}.md": text for name, text in pages.items()} | {f"{_PLACE}/README.md": api.index(groups)}


class _Api:
    """One OpenAPI document and where its parts are explained."""

    def __init__(self, document: Document, scopes: Mapping[str, str]) -> None:
        self._scopes = scopes
        self._parts = {name: document_of(part) for name, part in _at(document, "components", "schemas").items()}
        self._problem = _problem(document)
        self.groups: dict[str, list[tuple[str, str, Document]]] = {}
        for path, method, operation in _operations(document):
            tag = str(list_of(operation["tags"])[0])
            self.groups.setdefault(tag, []).append((path, method, operation))
        self._home = self._homes()

    def _homes(self) -> dict[str, str]:
        """The page of each part: that of the one group that uses it, or the shared one."""
        users: dict[str, set[str]] = {}
        for group, operations in self.groups.items():
            for name in self._used([operation for _, _, operation in operations]):
                users.setdefault(name, set()).add(group)
        return {name: next(iter(groups)) if len(groups) == 1 else _SHARED for name, groups in users.items()}

    def _used(self, root: object) -> set[str]:
        found: set[str] = set()
        waiting = list(_references(root))
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += _references(self._parts[name])
        return found

    def _link(self, page: str, name: str) -> str:
        home = self._home[name]
        anchor = short(name).lower()
        return f"#{anchor}" if home == page else f"{home}.md#{anchor}"

    def index(self, groups: list[str]) -> str:
        rows = [
            (f"`{method.upper()} {path}`", f"[{operation['summary']}]({group}.md#{_anchor(operation)})")
            for group in groups
            for path, method, operation in self.groups[group]
        ]
        properties = _at(self._problem, "properties")
        listed = fields({name: document_of(one) for name, one in properties.items()}, {})
        parts = ["# HTTP API", _INTRODUCTION, "## Routes", table(("route", "what it does"), rows)]
        return "\n\n".join([*parts, "## Problems", listed, ""])

    def page(self, group: str) -> str:
        operations = [self._operation(group, *operation) for operation in self.groups[group]]
        return "\n\n".join([f"# {_GROUPS.get(group, group.capitalize())}", *operations, *self._parts_of(group), ""])

    def shared_page(self) -> str:
        intro = "What several groups of routes have in common."
        return "\n\n".join(["# Parts of several groups", intro, *self._parts_of(_SHARED), ""])

    def _operation(self, group: str, path: str, method: str, operation: Document) -> str:
        return "\n\n".join(
            part
            for part in (
                f"## {operation['summary']}",
                f"```text\n{method.upper()} {path}\n```",
                str(operation.get("description", "")).strip(),
                self._key(operation),
                self._parameters(group, operation),
                self._body(group, operation),
                self._answers(group, operation),
            )
            if part
        )

    def _key(self, operation: Document) -> str:
        scope = self._scopes.get(str(operation["operationId"]))
        return f"Needs a key with `{scope}`." if scope else "Needs no key."

    def _parameters(self, group: str, operation: Document) -> str:
        rows = []
        for parameter in documents_of(operation.get("parameters", [])):
            schema = _without_null(document_of(parameter["schema"]))
            needed = "" if parameter.get("required") else "; may be left out"
            words = ", ".join([type_in_words(schema, lambda name: self._link(group, name)), *bounds(schema)])
            meaning = " ".join(str(parameter.get("description", "")).split())
            rows.append((f"`{parameter['name']}`", f"{parameter['in']}{needed}", words, meaning))
        columns = (
            ("parameter", "where", "is", "meaning") if any(row[-1] for row in rows) else ("parameter", "where", "is")
        )
        return table(columns, [row[: len(columns)] for row in rows]) if rows else ""

    def _body(self, group: str, operation: Document) -> str:
        if "requestBody" not in operation:
            return ""
        body = document_of(operation["requestBody"])
        told = f"**Body**: {self._contents(group, body)}."
        rows = [
            (
                f"`{path}`",
                type_in_words(one, lambda name: self._link(group, name)) + left_out,
                meaning(one, self._parts),
            )
            for path, one, left_out in _members(document_of(_at(body, "content").get("application/json", {})))
        ]
        return f"{told}\n\n{table(('field', 'is', 'meaning'), rows)}" if rows else told

    def _answers(self, group: str, operation: Document) -> str:
        good, problems = [], []
        for status, answer in sorted(_at(operation, "responses").items()):
            shape = document_of(answer)
            if _PROBLEM in document_of(shape.get("content", {})):
                problems.append(f"`{status}` {HTTPStatus(int(status)).phrase}")
            else:
                good.append(f"- **`{status}`** {self._answer(group, shape)}")
        told = f"\n\n[Problems](README.md#problems): {', '.join(problems)}." if problems else ""
        return "**Answers**\n\n" + "\n".join(good) + told

    def _answer(self, group: str, answer: Document) -> str:
        words = str(answer.get("description", "")).removesuffix("Successful Response").strip()
        shape = self._contents(group, answer) if answer.get("content") else "without a body"
        return ": ".join(part for part in (shape, words) if part)

    def _contents(self, group: str, holder: Document) -> str:
        """The shapes of a body with their media types; JSON goes without saying."""
        told = []
        for media_type, content in _at(holder, "content").items():
            schema = document_of(document_of(content).get("schema", {}))
            shape = type_in_words(schema, lambda name: self._link(group, name)) if schema else "anything"
            told.append(shape if media_type == "application/json" else f"`{media_type}`")
        return ", or ".join(dict.fromkeys(told))

    def _parts_of(self, page: str) -> Iterator[str]:
        names = sorted((name for name, home in self._home.items() if home == page and name != "Json"), key=short)
        if names:
            yield "## Parts"
        for name in names:
            yield self._part(page, name)

    def _part(self, page: str, name: str) -> str:
        part = self._parts[name]
        properties = {key: document_of(one) for key, one in document_of(part.get("properties", {})).items()}
        shape = (
            fields(properties, self._parts, lambda other: self._link(page, other))
            if properties
            else f"Is {type_in_words(part, lambda other: self._link(page, other))}."
        )
        return "\n\n".join(
            text for text in (f"### {short(name)}", str(part.get("description", "")).strip(), shape) if text
        )


def _operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    for path, operations in _at(document, "paths").items():
        for method in _METHODS:
            if method in document_of(operations):
                yield path, method, _at(document_of(operations), method)


def _problem(document: Document) -> Document:
    """The schema of problems, which the document repeats at every route."""
    answers = (answer for _, _, operation in _operations(document) for answer in _at(operation, "responses").values())
    contents = (document_of(document_of(answer).get("content", {})) for answer in answers)
    return next(_at(content, _PROBLEM, "schema") for content in contents if _PROBLEM in content)


def _references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield part_of(value)
        for part in value.values():
            yield from _references(part)
    elif isinstance(value, list):
        for part in value:
            yield from _references(part)


def _members(content: Document) -> Iterator[tuple[str, Document, str]]:
    """The members of an object that a body describes in its own place, by their paths; parts are told elsewhere."""
    schema = document_of(content.get("schema", {}))
    shape = documents_of(schema["oneOf"])[0] if "oneOf" in schema else schema
    needed = list_of(shape.get("required", []))
    for name, member in document_of(shape.get("properties", {})).items():
        one = document_of(member)
        yield name, one, "" if name in needed else "; may be left out"
        yield from (
            (f"{name}.{key}", document_of(inner), "") for key, inner in document_of(one.get("properties", {})).items()
        )


def _without_null(schema: Document) -> Document:
    """Parameters that may be left out need not say that they may be nothing."""
    if "anyOf" not in schema:
        return schema
    return {**schema, "anyOf": [one for one in documents_of(schema["anyOf"]) if one.get("type") != "null"]}


def _anchor(operation: Document) -> str:
    kept = (letter for letter in str(operation["summary"]).lower() if letter.isalnum() or letter in " -_")
    return "".join(kept).replace(" ", "-")


def _at(document: Document, *path: str) -> Document:
    current = document
    for step in path:
        current = document_of(current[step])
    return current
