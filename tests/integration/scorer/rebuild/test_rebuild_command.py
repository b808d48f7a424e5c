"""`leadflow rebuild` and `leadflow models simulate` on a real database, as a person calls them."""

import asyncio
from pathlib import Path

import pytest
from pydantic_core import from_json, to_json
from sqlalchemy import text
from typer.testing import CliRunner, Result

from services.command.main import app
from services.scorer.models import versions
from services.scorer.service import Scorer
from shared.clock import SystemClock
from shared.db.engine import Database
from shared.db.outbox import Outbox
from shared.db.reach import ALL_WORKSPACES
from tests.support.messages import an_event
from tests.unit.scorer.histories import MODEL_DOCUMENT
from tests.unit.scorer.what_if.test_simulation import doubled

pytestmark = pytest.mark.postgres


@pytest.fixture(autouse=True)
def environment(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LEADFLOW_DATABASE_URL", database_url)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    Path("draft.yaml").write_bytes(to_json(doubled(MODEL_DOCUMENT, "pricing")))
    Path("faulty.yaml").write_text("model: x")


@pytest.fixture(autouse=True)
async def leads(database: Database) -> None:
    """Three leads that have been to the pricing page."""
    clock = SystemClock()
    await versions.publish(database, clock, "default", MODEL_DOCUMENT, by="test", reason="test")
    visits = [
        an_event(f"e{n}", at=clock.now(), email=f"p{n}@acme.example", properties={"path": "/pricing"})
        for n in range(3)
    ]
    await Scorer(database, Outbox("scorer"), clock).count(visits, reach=ALL_WORKSPACES)


async def run(*arguments: str) -> Result:
    # A command runs a loop of its own, so it needs a thread of its own.
    return await asyncio.to_thread(CliRunner().invoke, app, [*arguments, "--processes", "0"])


async def test_a_difference_ends_verifying_with_exit_code_1_until_it_is_mended(database: Database) -> None:
    right = await run("rebuild", "--verify")
    async with database.transaction(ALL_WORKSPACES) as connection:
        await connection.execute(
            text("""
                UPDATE scorer.lead SET sealed_published = NULL
                WHERE id = (SELECT min(id::text)::uuid FROM scorer.lead)
            """)
        )
    wrong = await run("rebuild", "--verify")
    mended = await run("rebuild")
    again = await run("rebuild", "--verify", "--json")

    assert (right.exit_code, wrong.exit_code, mended.exit_code, again.exit_code) == (0, 1, 0, 0)
    assert "3 leads under version 1 of the model, 0 differ" in right.stdout
    assert "published: stored None" in wrong.stdout
    assert "1 were stored otherwise and are mended, 1 score changes told" in mended.stdout
    assert f"sha256:{from_json(again.stdout)['digest']}" in right.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--at", "2026-01-01T00:00:00Z"], "--at belongs to --verify"),
        (["--verify", "--restart"], "nothing to restart"),
        (["--verify", "--at", "yesterday"], "--at: must be a time"),
    ],
)
async def test_what_makes_no_sense_is_refused(arguments: list[str], complaint: str) -> None:
    result = await run("rebuild", *arguments)

    assert (result.exit_code, complaint in result.stderr) == (1, True)


async def test_a_simulation_is_printed_as_tables_and_as_json() -> None:
    tables = await run("models", "simulate", "draft.yaml", "--weeks", "1", "--score", "engagement")
    document = await run("models", "simulate", "draft.yaml", "--weeks", "1", "--json")

    assert tables.exit_code == document.exit_code == 0, tables.output
    for words in ("everything version 1 -> everything, 3 leads", "engagement.pricing +8.00", "load by owner"):
        assert words in tables.stdout
    assert from_json(document.stdout)["result"]["leads"] == 3


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        ("missing.yaml", "missing.yaml: No such file"),
        ("faulty.yaml", "scores"),
        ("7", "no version 7"),
        ("draft:nobody", "nobody"),
    ],
)
async def test_a_model_that_is_not_there_or_not_valid_is_named(model: str, complaint: str) -> None:
    result = await run("models", "simulate", model)

    assert (result.exit_code, complaint in result.stderr) == (1, True)
