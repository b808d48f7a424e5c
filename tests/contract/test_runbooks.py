"""Every alert has a page that says what to do, and what the page asks of Prometheus and leadflow exists."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from services.command.main import app
from tests.contract.test_monitoring import Metrics, faults, metrics

__all__ = ["metrics"]

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "runbooks").glob("*.md"))
HEADINGS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]

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


def test_each_alert_has_a_page_and_each_page_an_alert() -> None:
    assert {page.stem for page in PAGES} == alerts()


@each_page
def test_a_page_says_what_it_means_what_it_harms_why_and_what_to_do(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert text.startswith(f"# {page.stem}\n")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == HEADINGS


@each_page
def test_queries_ask_for_metrics_that_exist_and_parse(page: Path, metrics: Metrics, tmp_path: Path) -> None:
    queries = blocks(page, "promql")
    rules = [{"record": f"runbook:query{number}:x", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": page.stem, "rules": rules}]}), encoding="utf-8")

    assert queries
    assert [fault for query in queries for fault in faults(query, metrics)] == []
    if shutil.which("promtool"):
        checked = subprocess.run(
            ["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr


@each_page
def test_commands_and_their_options_exist(page: Path) -> None:
    commands = [shlex.split(line) for block in blocks(page, "sh") for line in block.splitlines()]

    assert commands
    for program, *arguments in commands:
        assert program == "leadflow"
        options = [argument for argument in arguments if argument.startswith("--")]
        words = [argument for argument in arguments if re.fullmatch(r"[a-z][a-z-]*", argument)]
        depth = 2 if words[0] == "dead-letters" else 1
        shown = CliRunner().invoke(app, [*words[:depth], "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
        assert shown.exit_code == 0, arguments
        assert [option for option in options if option not in shown.output] == []
