"""`leadflow parked`, on a real database and log."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from typer import Typer
from typer.testing import CliRunner, Result

from services.command import parked, sources
from shared.access import Scope
from shared.db.engine import Database
from shared.db.reach import ALL_WORKSPACES
from tests.support.ingesting import Ingesting, ingesting
from tests.support.waiting import wait_until
from tests.support.webhooks import segment

SIGNED_UP = {"type": "track", "event": "Signed Up", "messageId": "m-1", "userId": "u-1"}


@pytest.fixture(autouse=True)
def environment(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADFLOW_DATABASE_URL", database_url)
    monkeypatch.setenv("COLUMNS", "250")


@pytest.fixture
async def ingest(database: Database) -> AsyncIterator[Ingesting]:
    """Ingest with one parked element."""
    signed = segment(SIGNED_UP)
    async with ingesting(database) as running:
        await running.allow(Scope.EVENTS_WRITE)
        await running.add_source("segment", [signed.secret])
        await running.client.post("/v1/webhooks/segment", content=signed.body, headers=dict(signed.headers))

        async def is_stored() -> bool:
            async with database.transaction(ALL_WORKSPACES) as connection:
                found = await connection.exec_driver_sql("SELECT count(*) FROM ingest.parked")
            return bool(found.scalar_one() == 1)

        await wait_until(is_stored, "the element is stored")
        yield running


async def run(app: Typer, *arguments: str) -> Result:
    # A command runs a loop of its own, so it needs a thread of its own.
    return await asyncio.to_thread(CliRunner().invoke, app, list(arguments))


async def test_an_element_is_listed_shown_and_replayed_after_its_name_was_mapped(ingest: Ingesting) -> None:
    listed = await run(parked.app, "list", "--source", "segment")
    element_id = next(word for word in listed.stdout.replace("│", " ").split() if len(word) == 40)
    shown = await run(parked.app, "show", element_id)
    too_early = await run(parked.app, "replay")
    await run(sources.app, "change", "segment", "--event-name", "Signed Up=trial_started")

    replayed = await run(parked.app, "replay", "--source", "segment")

    again = await run(parked.app, "replay", element_id)
    assert "unknown_type" in listed.stdout
    assert '"event":"Signed Up"' in shown.stdout
    assert "0 replayed, 1 still parked" in too_early.stdout
    assert replayed.stdout.strip() == "1 replayed, 0 still parked", replayed.output
    assert again.stdout.strip() == "1 replayed, 0 still parked"
    assert [event.id for event in await ingest.published(1)] == ["m-1"]
    assert element_id not in (await run(parked.app, "list")).stdout
    assert element_id in (await run(parked.app, "list", "--state", "all")).stdout


async def test_what_cannot_be_is_one_line_and_exit_code_1(ingest: Ingesting) -> None:
    unknown = await run(parked.app, "show", "0" * 40)
    both = await run(parked.app, "replay", "0" * 40, "--source", "segment")
    missing = await run(parked.app, "replay", "0" * 40)

    assert (unknown.exit_code, missing.exit_code) == (1, 1)
    assert "no such element" in unknown.stderr
    assert both.exit_code == 1
