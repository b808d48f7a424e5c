"""The documentation hangs together: every page has its place, links lead somewhere, and blocks are what they say."""

import re
from collections import Counter
from pathlib import Path
from posixpath import dirname, join, normpath
from types import ModuleType
from typing import cast
from urllib.parse import urlsplit

import pytest

from docs.website.navigation import unplaced
from docs.website.staging import NoPage, relinked, site_pages, stage
from services.ingest.kinds.registry import KINDS
from services.pipeline.domain.document import parse_pipeline
from services.scorer.domain.models.document import parse_model
from shared.documents.yaml_text import read_yaml
from shared.events.json import Json, parse_json
from tests.support.pages import ROOT, Block, anchors, blocks, links, pages, text_of

PAGES = pages()
COMMANDS = {"sh", "console"}
# tests/e2e/test_receivers.py runs the programs, tests/contract/test_runbooks.py parses the queries.
PROGRAMS = {"python": ["docs/subscribe.md"], "js": ["docs/subscribe.md"]}
# In runbooks `shell` is for programs that are not ours; nobody runs those here.
LANGUAGES = COMMANDS | PROGRAMS.keys() | {"shell", "yaml", "json", "text", "promql", "sql", "mermaid"}
# Commands that no test runs, by page. Each has its reason before it; a new one is a choice, and is counted here.
NOT_RUN = {
    "CONTRIBUTING.md": 1,
    "docs/backtest.md": 2,
    "docs/backup.md": 3,
    "docs/deploy.md": 5,
    "docs/erasure.md": 1,
    "docs/explain.md": 1,
    "docs/faults.md": 1,
    "docs/feed.md": 1,
    "docs/monitoring.md": 3,
    "docs/operate.md": 3,
    "docs/reports.md": 1,
    "docs/start.md": 4,
    "docs/tracing.md": 2,
}

each_page = pytest.mark.parametrize("page", PAGES)


def all_blocks(language: str) -> list[Block]:
    return [block for page in PAGES for block in blocks(page) if block.language == language]


def test_every_page_has_a_place_in_the_navigation() -> None:
    assert unplaced(site_pages()) == [], "name these in docs/website/navigation.py"


def test_a_page_that_nobody_placed_is_found() -> None:
    assert unplaced([*site_pages(), "astray"]) == ["astray"]
    assert unplaced([*site_pages(), "runbooks/New"]) == []


def test_the_sources_of_the_site_can_be_made(tmp_path: Path) -> None:
    stage(tmp_path / "site")

    written = {path.relative_to(tmp_path / "site").as_posix() for path in (tmp_path / "site").rglob("*.md")}
    assert {page.removesuffix(".md") for page in written} == set(site_pages())
    assert "toctree" in (tmp_path / "site" / "index.md").read_text(encoding="utf-8")


def test_the_site_refuses_a_link_that_it_could_not_follow() -> None:
    with pytest.raises(NoPage, match="services/ingest"):
        relinked("[code](../services/ingest)", "docs/start.md")


@each_page
def test_links_within_the_repository_lead_to_something(page: str) -> None:
    broken = []
    for link in links(page):
        path, _, anchor = link.target.partition("#")
        target = normpath(join(dirname(page), path)) if path else page
        if "://" in link.target:
            continue
        if not (ROOT / target).exists() or (anchor and anchor not in anchors(target)):
            broken.append(str(link))

    assert broken == []


@each_page
def test_links_to_elsewhere_have_the_form_of_one(page: str) -> None:
    addresses = [urlsplit(link.target) for link in links(page) if "://" in link.target]

    assert [one.geturl() for one in addresses if one.scheme not in {"https", "http"} or not one.hostname] == []
    plain = [one.geturl() for one in addresses if one.scheme == "http" and one.hostname != "127.0.0.1"]
    assert plain == []


def test_a_link_to_nowhere_and_to_no_heading_would_be_found() -> None:
    assert "what-is-wrong" in anchors("docs/operate.md")
    assert "what-is-right" not in anchors("docs/operate.md")
    assert "connect/README.md" in {link.target for link in links("docs/index.md")}


@each_page
def test_blocks_say_their_language_and_commands_stand_in_blocks_that_are_run(page: str) -> None:
    assert [str(block) for block in blocks(page) if block.language not in LANGUAGES] == []
    commands = re.compile(r"^(\$ )?(leadflow [a-z]|curl |make )", re.MULTILINE)
    hidden = [str(block) for block in blocks(page) if block.language == "text" and commands.search(block.text)]
    assert hidden == []


def test_commands_that_are_not_run_say_why_and_are_counted() -> None:
    left_out = [block for page in PAGES for block in blocks(page) if block.not_run is not None]

    assert [str(block) for block in left_out if block.language not in COMMANDS] == []
    assert [str(block) for block in left_out if len(str(block.not_run).split()) < 4] == []
    assert Counter(block.page for block in left_out) == NOT_RUN


def test_commands_of_other_programs_are_for_runbooks_alone() -> None:
    assert [str(block) for block in all_blocks("shell") if not block.page.startswith("docs/runbooks/")] == []
    assert [str(block) for block in all_blocks("shell") if "leadflow " in block.text] == []


def test_programs_stand_only_where_a_test_runs_them() -> None:
    assert {language: [block.page for block in all_blocks(language)] for language in PROGRAMS} == PROGRAMS


def test_what_is_called_yaml_or_json_is() -> None:
    for block in all_blocks("json"):
        parse_json(block.text.encode())
    for block in all_blocks("yaml"):
        document = read_yaml(block.text)
        if isinstance(document, dict) and {"model", "scores"} <= document.keys():
            parse_model(document)
        if isinstance(document, dict) and {"pipeline", "stages"} <= document.keys():
            parse_pipeline(document)


def test_the_parts_of_the_models_page_make_a_model() -> None:
    first, *parts = [read_yaml(block.text) for block in blocks("docs/write-a-model.md") if block.language == "yaml"]
    assert isinstance(first, dict)
    rules: list[Json] = []
    scores: dict[str, Json] = {}
    whole: dict[str, Json] = {"model": "whole"}
    for part in parts:
        if isinstance(part, list):
            rules += part
        elif isinstance(part, dict):
            (whole if "bands" in part else scores).update(part)

    interest = scores["interest"]
    assert isinstance(interest, dict)
    own = interest["rules"]
    assert isinstance(own, list)
    named = {str(rule["id"]): rule for rule in [*own, *rules] if isinstance(rule, dict)}
    scores["interest"] = {**interest, "rules": list(named.values())}

    parse_model(first)
    parse_model({**whole, "scores": scores})


PREFIXES = re.compile(r"^(\*\.propertyChange:|\*\.|event:klaviyo\.|Bounce/)")


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_of_a_platform_says_what_its_module_makes_of_what_is_sent(kind: str) -> None:
    page = text_of(f"docs/connect/{kind}.md")
    rows = re.findall(r"^\| `([^`]+)`(.*?) \| `(\w+)`.*? \| (yes|no) \|$", page, re.MULTILINE)
    told = {(PREFIXES.sub("", name), meaning, counts == "yes") for name, case, meaning, counts in rows if not case}

    assert told == declared(cast("ModuleType", KINDS[kind]))


def declared(module: ModuleType) -> set[tuple[str, str, bool]]:
    """Native name, engagement type and whether models count it, as the module's tables have it."""
    if module.NAME == "postmark":
        records = [*module._RECORDS.items(), *module._BOUNCES.items()]
        return {(name, meaning.type, not meaning.ignored) for name, meaning in records}
    types = {**getattr(module, "_TYPES", {}), **getattr(module, "_TYPES_OF_PROPERTIES", {})}
    ignored: frozenset[str] = getattr(module, "_IGNORED", frozenset())
    counted = {(name, meaning, not ({name, meaning} & ignored)) for name, meaning in types.items()}
    return counted | {(name, meaning, False) for name, meaning in getattr(module, "_IGNORED_TYPES", {}).items()}


def test_every_kind_of_source_has_its_page_and_its_line_in_the_overview() -> None:
    written = {path.stem for path in (ROOT / "docs/connect").glob("*.md")} - {"README"}
    listed = re.findall(r"^\| \[`(\w+)`\]\(\1\.md\) \|", text_of("docs/connect/README.md"), re.MULTILINE)

    assert written == set(KINDS)
    assert listed == sorted(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_of_a_platform_has_its_four_parts_and_the_command_that_makes_the_source(kind: str) -> None:
    page = f"docs/connect/{kind}.md"
    headings = re.findall(r"^## (.*)$", text_of(page), re.MULTILINE)

    assert headings == ["Set up", "How it is verified", "What comes out", "Good to know"]
    (command,) = (block.text for block in blocks(page) if block.language == "sh")
    assert f"leadflow sources create {kind} --kind {kind}" in command
    assert ("--public-url" in command) is KINDS[kind].NEEDS_PUBLIC_URL
