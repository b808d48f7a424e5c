"""`leadflow models` on a real database: a model's way from a file to what counts, and back."""

import asyncio
from pathlib import Path

import pytest
from pydantic_core import from_json
from typer.testing import CliRunner, Result

from services.command.main import app
from services.scorer.service import Scorer
from shared.clock import SystemClock
from shared.db.engine import Database
from shared.db.outbox import Outbox
from shared.db.reach import ALL_WORKSPACES
from shared.documents.yaml_text import read_yaml
from tests.support.messages import an_event

pytestmark = pytest.mark.postgres

MODEL = """\
model: test
scores:
  total:
    rules:
      - {id: page, on: page_viewed, points: 10, half_life: none}
bands:
  total: {hot: 30, cold: 0}
thresholds:
  hot: {score: total, enter: 30}
"""
GOLDEN = """\
cases:
  - name: Two pages
    events: [{at: 0, type: page_viewed}, {at: 1h, type: page_viewed}]
    expect: [{at: 1h, scores: {total: 20}, bands: {total: cold}}]
"""


@pytest.fixture(autouse=True)
def environment(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LEADFLOW_DATABASE_URL", database_url)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    Path("model.yaml").write_text(MODEL)
    Path("model.golden.yaml").write_text(GOLDEN)
    Path("doubled.yaml").write_text(MODEL.replace("points: 10", "points: 20"))


def a_file(name: str, text: str) -> None:
    Path(name).write_text(text)


async def run(*arguments: str) -> Result:
    # A command runs a loop of its own, so it needs a thread of its own.
    return await asyncio.to_thread(CliRunner().invoke, app, ["models", *arguments])


async def done(*arguments: str) -> str:
    result = await run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


async def test_versions_are_published_chosen_and_taken_back_with_reasons() -> None:
    assert "version 1" in await done("publish", "model.yaml", "--reason", "begin")
    await done("publish", "doubled.yaml", "--no-activate")
    await done("activate", "2", "--reason", "more for pages")
    back = await done("rollback", "--reason", "too much", "--from-version", "2")
    again = await run("rollback", "--reason", "too much", "--from-version", "2")

    assert back == "version 1 counts in default again\n"
    assert (again.exit_code, "version 2 is not the active one" in again.stderr) == (1, True)
    told = (await done("history")).splitlines()
    assert [row.split("│")[1].strip() + row.split("│")[4].rstrip() for row in told if "│" in row] == [
        "1 too much",
        "2 more for pages",
        "1 begin",
    ]
    assert "active" in next(row for row in (await done("list")).splitlines() if "begin" in row)


async def test_a_version_is_shown_as_the_document_that_it_is() -> None:
    await done("publish", "model.yaml")

    assert from_json(await done("show")) == read_yaml(MODEL)
    assert read_yaml(await done("show", "1", "--yaml")) == read_yaml(MODEL)
    missing = await run("show", "7")
    assert (missing.exit_code, "no version 7" in missing.stderr) == (1, True)
    assert (await run("show", "newest")).exit_code == 1


async def test_files_versions_and_drafts_are_compared_in_words() -> None:
    await done("publish", "model.yaml")
    await done("drafts", "save", "spring", "doubled.yaml")
    change = "rule page of total, points: 10 -> 20\n"

    assert await done("diff", "model.yaml", "doubled.yaml") == change
    assert await done("diff", "active", "draft:spring") == change
    assert await done("diff", "1", "model.yaml", "--exit-code") == ""
    assert from_json(await done("diff", "1", "doubled.yaml", "--json"))[0]["old"] == "10"
    assert (await run("diff", "1", "doubled.yaml", "--exit-code")).exit_code == 1
    assert (await run("diff", "2", "doubled.yaml", "--exit-code")).exit_code == 2


async def test_a_draft_is_kept_listed_shown_published_or_thrown_away() -> None:
    a_file("wrong.yaml", MODEL.replace("points: 10", "points: ten"))
    kept = await done("drafts", "save", "spring", "wrong.yaml")
    refused = await run("drafts", "publish", "spring", "--reason", "spring")
    await done("drafts", "save", "spring", "doubled.yaml")

    assert kept == "scores.total.rules[0].points: must be a number\ndraft spring is kept; it is not valid\n"
    assert (refused.exit_code, "rules[0].points" in refused.stderr) == (1, True)
    assert read_yaml(await done("drafts", "show", "spring")) == read_yaml(MODEL.replace("10", "20"))
    assert "spring" in await done("drafts", "list")
    assert "version 1" in await done("drafts", "publish", "spring", "--reason", "spring")
    assert (await run("drafts", "delete", "spring")).exit_code == 1


async def test_golden_histories_decide_whether_a_model_is_published() -> None:
    passed = await done("test", "model.yaml")
    failed = await run("test", "doubled.yaml", "model.golden.yaml")
    a_file("doubled.golden.yaml", GOLDEN)
    refused = await run("publish", "doubled.yaml", "--require-tests")

    assert passed == "ok   Two pages\n1 passed, 0 failed\n"
    assert failed.exit_code == 1
    assert "score total: expected 20, found 40" in failed.stdout
    assert "+40.00  page: Page, twice" in failed.stdout
    assert refused.exit_code == 1
    assert "version 1" in await done("publish", "model.yaml", "--require-tests")


async def test_a_golden_file_that_is_missing_or_wrong_is_told(tmp_path: Path) -> None:
    a_file("wrong.yaml", "cases: [{name: a, expect: [{at: monday}]}]")
    missing = await run("test", "doubled.yaml")
    wrong = await run("test", "model.yaml", "wrong.yaml")

    assert (missing.exit_code, "doubled.golden.yaml" in missing.stderr) == (1, True)
    assert (wrong.exit_code, "wrong.yaml: cases[0].expect[0].at: must be a time" in wrong.stderr) == (1, True)


async def test_a_version_is_scored_in_the_shadow_reported_and_promoted(database: Database) -> None:
    await done("publish", "model.yaml")
    await done("publish", "doubled.yaml", "--no-activate")
    scorer = Scorer(database, Outbox("scorer"), SystemClock())
    await scorer.count([an_event(f"e{n}") for n in range(2)], reach=ALL_WORKSPACES)
    unsaid = await run("shadow", "2")

    await done("shadow", "2", "--reason", "is twice better?")
    while await scorer.follow_shadows(10):
        pass
    report = await done("shadow-report")
    in_json = from_json(await done("shadow-report", "--json"))
    await done("shadow", "2", "--stop")

    assert (unsaid.exit_code, "--reason" in unsaid.stderr) == (1, True)
    assert "1 of 1 leads compared; 0 stand alike" in report
    assert "page 20 -> 40" in report
    assert "ann@acme.example" in report
    assert in_json["bands"] == [{"score": "total", "active": "cold", "shadow": "hot", "leads": 1}]
    assert (await run("shadow-report")).exit_code == 1


async def test_the_schema_is_printed_for_editors() -> None:
    assert from_json(await done("schema"))["$id"] == "urn:leadflow:model:v1"
