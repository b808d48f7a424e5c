"""What the documents name exists: files, links, make targets, commands of leadflow, routes and settings."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.command.main import COMMANDS, subcommands
from shared.events.json import parse_json

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "docs" / "adr").glob("*.md"),
        *(ROOT / "docs" / "runbooks").glob("*.md"),
    ]
)
# A path by which the repository could be meant; `<kind>` and the like stand for many.
_PATH = re.compile(r"`((?:services|shared|tests|docs|deploy|migrations|\.ci)/[\w./-]*|[\w-]+\.(?:toml|yml|lock))`")
# Written by the tools as they run, or about other projects.
_ELSEWHERE = {"uv.lock"}

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def faults(text: str, directory: Path) -> list[str]:
    return [*missing_paths(text), *broken_links(text, directory), *unknown_commands(text), *unknown_routes(text)]


def missing_paths(text: str) -> Iterator[str]:
    for path in _PATH.findall(text):
        if path not in _ELSEWHERE and not (ROOT / path).exists():
            yield f"no file {path}"


def broken_links(text: str, directory: Path) -> Iterator[str]:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target and not (directory / target).exists():
            yield f"no page {target}"


def unknown_commands(text: str) -> Iterator[str]:
    targets = set(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for target in re.findall(r"(?:`|^)make ([a-z]+)", text, re.MULTILINE):
        if target not in targets:
            yield f"no target {target}"
    for name, sub in re.findall(r"(?:`|bin/)leadflow ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?", text, re.MULTILINE):
        if name not in COMMANDS or (sub and sub not in (subcommands(name) or (sub,))):
            yield f"no command leadflow {name} {sub}".rstrip()


def unknown_routes(text: str) -> Iterator[str]:
    api = parse_json((ROOT / "docs" / "reference" / "openapi.json").read_bytes())
    assert isinstance(api, dict)
    paths = api["paths"]
    assert isinstance(paths, dict)
    for method, path in re.findall(r"`(GET|POST|DELETE) (/[\w/{}.-]+)", text):
        operations = paths.get(path)
        if not isinstance(operations, dict) or method.lower() not in operations:
            yield f"no route {method} {path}"


@each_document
def test_what_a_document_names_exists(document: Path) -> None:
    assert faults(document.read_text(encoding="utf-8"), document.parent) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("see `services/ingest/parser.py`", "no file services/ingest/parser.py"),
        ("see [the page](docs/adr/0000-nothing.md)", "no page docs/adr/0000-nothing.md"),
        ("run `make coffee`", "no target coffee"),
        ("run `leadflow brew`", "no command leadflow brew"),
        ("run `leadflow keys brew`", "no command leadflow keys brew"),
        ("`POST /v1/coffee`", "no route POST /v1/coffee"),
    ],
)
def test_a_planted_fault_is_found(text: str, fault: str) -> None:
    assert faults(text, ROOT) == [fault]


def test_each_decision_is_in_the_index_and_has_the_parts_of_one() -> None:
    index = (ROOT / "docs" / "adr" / "README.md").read_text(encoding="utf-8")
    decisions = [path for path in DOCUMENTS if re.match(r"\d{4}-", path.name)]

    assert decisions
    for path in decisions:
        text = path.read_text(encoding="utf-8")
        assert f"]({path.name})" in index
        assert text.startswith(f"# {path.name[:4]}. ")
        assert re.search(r"^Status: \w+ · Area: .+ · Date: \d{4}-\d\d-\d\d$", text, re.MULTILINE), path.name
        headings = re.findall(r"^## (\w+)$", text, re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences", "Alternatives", "References"], path.name
