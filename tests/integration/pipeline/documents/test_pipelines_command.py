"""`leadflow pipelines`, on a real database."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.command import pipelines
from shared.events.json import Json
from tests.integration.pipeline.conftest import PipelineHarness
from tests.support.pipeline import LEAD, NOON, a_document, a_position, a_recorded_event, a_score_change, recorded

pytestmark = pytest.mark.postgres

SIMPLE: dict[str, Json] = {
    "pipeline": "simple",
    "stages": [{"id": "start", "initial": True}, {"id": "engaged", "enter_when": {"threshold": "warm"}}],
}


@pytest.fixture(autouse=True)
def environment(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADFLOW_DATABASE_URL", database_url)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def simple(tmp_path: Path) -> str:
    file = tmp_path / "simple.yaml"
    file.write_text(json.dumps(SIMPLE), encoding="utf-8")
    return str(file)


async def run(*arguments: str) -> Result:
    # A command runs a loop of its own, so it needs a thread of its own.
    return await asyncio.to_thread(CliRunner().invoke, pipelines.app, list(arguments))


async def test_a_file_is_published_taken_back_and_taken_up_again(pipeline: PipelineHarness, simple: str) -> None:
    published = await run("publish", simple, "--reason", "simpler")
    waiting = await run("publish", simple, "--reason", "again", "--no-activate")
    back = await run("rollback", "--reason", "too simple")
    forth = await run("activate", "2", "--reason", "good enough")
    listed = await run("list")
    history = await run("history")

    assert "simple is version 2" in published.stdout
    assert "version 2" in waiting.stdout
    assert "version 1 of the pipeline of default counts again" in back.stdout
    assert "version 2 of the pipeline of default counts" in forth.stdout
    assert "simpler" in listed.stdout
    assert [reason for reason in ("good enough", "too simple", "simpler") if reason in history.stdout] == [
        "good enough",
        "too simple",
        "simpler",
    ]


async def test_a_version_that_does_not_count_says_so(pipeline: PipelineHarness, simple: str) -> None:
    waiting = await run("publish", simple, "--no-activate")

    assert "which does not count yet" in waiting.stdout


async def test_a_file_is_compared_with_what_counts(pipeline: PipelineHarness, simple: str, tmp_path: Path) -> None:
    same = tmp_path / "same.yaml"
    same.write_text(json.dumps(a_document()), encoding="utf-8")

    told = await run("diff", simple)
    nothing = await run("diff", str(same))

    assert "the stage mql is gone" in told.stdout
    assert "the name is simple instead of b2b-sales" in told.stdout
    assert nothing.stdout == "nothing changes\n"


async def test_what_a_file_would_do_is_listed(pipeline: PipelineHarness, simple: str) -> None:
    await pipeline.take_in(
        recorded(1, a_recorded_event("page_viewed")),
        a_score_change(2, NOON, thresholds={"warm": a_position("reached")}),
    )

    told = await run("impact", simple)

    assert told.exit_code == 0
    assert "1 leads looked at" in told.stdout
    assert "0 would be moved by rules" in told.stdout
    assert "0 stand in a stage that is gone" in told.stdout
    assert "0 leads looked at" in (await run("impact", simple, "--workspace", "elsewhere")).stdout


async def test_a_lead_in_a_stage_that_is_to_go_is_listed_by_name(pipeline: PipelineHarness, simple: str) -> None:
    await pipeline.take_in(recorded(1, a_recorded_event("demo_requested")))

    told = await run("impact", simple)

    assert "1 stand in a stage that is gone" in told.stdout
    assert LEAD in told.stdout
    assert "mql (gone)" in told.stdout


@pytest.mark.parametrize(("form", "begin"), [("mermaid", "---\ntitle: "), ("svg", "<svg ")])
async def test_files_and_versions_are_drawn(pipeline: PipelineHarness, simple: str, form: str, begin: str) -> None:
    of_file = await run("diagram", simple, "--format", form)
    of_version = await run("diagram", "1", "--format", form)

    assert of_file.stdout.startswith(begin)
    assert of_version.stdout.startswith(begin)
    assert of_file.stdout != of_version.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("diagram", "nowhere.yaml"), "nowhere.yaml is neither a file nor the number of a version"),
        (("diagram", "9"), "there is no such version"),
        (("diagram", "99999999999999"), "there is no such version"),
        (("impact", "9"), "there is no such version"),
        (("diff", "1", "--against", "9"), "there is no such version"),
        (("activate", "9", "--reason", "x"), "there is no such version"),
        (("rollback", "--reason", "x"), "the active version has replaced none"),
    ],
)
async def test_what_cannot_be_is_one_line_and_exit_code_1(
    pipeline: PipelineHarness, arguments: tuple[str, ...], said: str
) -> None:
    answer = await run(*arguments)

    assert answer.exit_code == 1
    assert said in answer.stderr
