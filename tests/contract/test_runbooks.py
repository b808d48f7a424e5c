"""Every alert has a page that says what to do, and what a page asks of Prometheus, PostgreSQL and leadflow exists."""

import re
import shlex
import subprocess
from itertools import takewhile
from pathlib import Path

import asyncpg
import pytest
import yaml
from typer.testing import CliRunner

from services.command.main import COMMANDS, app, subcommands
from tests.contract.test_monitoring import Metrics, faults, metrics
from tests.support.prometheus import needs_tool

__all__ = ["metrics"]

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "runbooks").glob("*.md"))
HEADINGS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
TASK_HEADINGS = ["When", "How", "Afterwards"]
TASKS = {
    "rotate-a-secret",
    "add-partitions",
    "free-a-full-wal-volume",
    "publish-and-roll-back-a-model",
    "erase-a-lead",
    "restore-a-backup",
}
OTHERS_PROGRAMS = {"kafka-topics.sh", "df", "du"}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def alerts() -> set[str]:
    return {
        rule["alert"]
        for path in (ROOT / "deploy" / "prometheus" / "rules").glob("*.yml")
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }


def blocks(page: Path, language: str) -> list[str]:
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [block.strip() for block in found]


def test_each_alert_has_a_page_and_each_page_an_alert_or_a_task() -> None:
    assert {page.stem for page in PAGES} == alerts() | TASKS


@each_page
def test_a_page_says_what_it_means_what_it_harms_why_and_what_to_do(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    title = page.stem.replace("-", " ").lower() if page.stem in TASKS else page.stem

    assert text.splitlines()[0].removeprefix("# ").lower() == title.lower()
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == (TASK_HEADINGS if page.stem in TASKS else HEADINGS)


@each_page
def test_queries_ask_for_metrics_that_exist_and_parse(page: Path, metrics: Metrics, tmp_path: Path) -> None:
    queries = blocks(page, "promql")
    rules = [{"record": f"runbook:query{number}:x", "expr": query} for number, query in enumerate(queries)]

    assert queries or page.stem == "erase-a-lead"
    assert [fault for query in queries for fault in faults(query, metrics)] == []
    needs_tool("promtool")
    assert refused_by_promtool(rules, tmp_path) == ""


def refused_by_promtool(rules: list[dict[str, str]], directory: Path) -> str:
    file = directory / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "runbook", "rules": rules}]}), encoding="utf-8")
    checked = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False)
    return "" if checked.returncode == 0 else checked.stdout + checked.stderr


def wrong_commands(text: str) -> list[str]:
    """Lines of `text` that call neither another's program that is known here nor a command of leadflow, with options
    that it has.
    """
    return [line for line in text.splitlines() if not exists(shlex.split(line))]


def exists(command: list[str]) -> bool:
    program, *arguments = command
    if program in OTHERS_PROGRAMS:
        return True
    words = list(takewhile(re.compile(r"[a-z][a-z-]*$").match, arguments))
    if program != "leadflow" or not words or words[0] not in COMMANDS:
        return False
    depth = 2 if subcommands(words[0]) else 1
    shown = CliRunner().invoke(app, [*words[:depth], "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    options = [argument for argument in arguments if argument.startswith("--")]
    return shown.exit_code == 0 and all(f" {option} " in shown.output for option in options)


@each_page
def test_commands_and_their_options_exist(page: Path) -> None:
    commands = blocks(page, "sh")

    assert commands
    assert [line for block in commands for line in wrong_commands(block)] == []


@pytest.mark.parametrize(
    "line",
    ["leadflow lists", "leadflow subscriptions mend 1", "leadflow models rollback --why x", "leadflaw doctor"],
    ids=["a command", "a subcommand", "an option", "a program"],
)
def test_a_planted_command_that_does_not_exist_is_found(line: str) -> None:
    assert wrong_commands(f"leadflow doctor\n{line}") == [line]


def test_a_planted_query_that_does_not_parse_is_found(tmp_path: Path) -> None:
    needs_tool("promtool")

    assert refused_by_promtool([{"record": "runbook:query0:x", "expr": "sum by (job (up)"}], tmp_path) != ""


@pytest.mark.postgres
async def test_statements_run_on_the_database_as_it_is(database_url: str) -> None:
    statements = [(page.stem, block) for page in PAGES for block in blocks(page, "sql")]
    connection = await asyncpg.connect(database_url)
    try:
        for page, statement in statements:
            try:
                await connection.fetch(statement)
            except asyncpg.PostgresError as refused:
                pytest.fail(f"{page}: {refused}\n{statement}")
        with pytest.raises(asyncpg.UndefinedTableError):
            await connection.fetch(statements[0][1].replace("FROM pg_", "FROM pg_planted_"))
    finally:
        await connection.close()
