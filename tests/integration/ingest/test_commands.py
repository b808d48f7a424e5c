"""`leadflow keys` and `leadflow sources`, on a real database."""

import asyncio
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner, Result

from services.command import keys, sources
from services.ingest.sources.repository import SourceRepository
from shared.access import KeyRing, Scope
from shared.clock import SystemClock
from shared.db.engine import Database


@pytest.fixture(autouse=True)
def environment(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADFLOW_DATABASE_URL", database_url)
    monkeypatch.setenv("COLUMNS", "200")


async def run(app: Typer, *arguments: str) -> Result:
    # A command runs a loop of its own, so it needs a thread of its own.
    return await asyncio.to_thread(CliRunner().invoke, app, list(arguments))


async def test_a_key_is_created_listed_and_revoked(database: Database) -> None:
    created = await run(keys.app, "create", "--name", "shop", "--scope", "leads:read", "--expires-in-days", "30")
    listed = await run(keys.app, "list")
    text = created.stdout.strip().splitlines()[-1]
    ring = KeyRing(database, SystemClock())
    await ring.snapshot.refresh()
    principal = ring.authenticate(text)

    revoked = await run(keys.app, "revoke", principal.key_id)

    assert principal.scopes == {Scope.LEADS_READ}
    assert (created.exit_code, listed.exit_code, revoked.exit_code) == (0, 0, 0)
    assert "shop" in listed.stdout
    assert text.split("_")[3] not in listed.stdout
    assert "revoked" in (await run(keys.app, "list")).stdout


async def test_what_cannot_be_is_one_line_and_exit_code_1() -> None:
    unknown = await run(keys.app, "revoke", "0" * 16)
    bad_workspace = await run(keys.app, "create", "--workspace", "Not A Slug")

    assert (unknown.exit_code, bad_workspace.exit_code) == (1, 1)
    assert "no such key" in unknown.stderr


async def test_a_source_is_created_from_a_secret_file_and_listed_without_it(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("kept to oneself\n")

    created = await run(
        sources.app,
        "create",
        "web",
        "--kind",
        "segment",
        "--secret-file",
        str(secret),
        "--event-name",
        "Signed Up=trial_started",
    )
    listed = await run(sources.app, "list")
    again = await run(sources.app, "create", "web", "--kind", "segment", "--secret-file", str(secret))

    assert created.exit_code == 0, created.output
    assert "/v1/webhooks/web" in created.stdout
    assert "segment" in listed.stdout
    assert "kept to oneself" not in listed.stdout
    assert (again.exit_code, "taken" in again.stderr) == (1, True)


async def test_sources_are_applied_from_a_file_as_often_as_one_likes(tmp_path: Path, database: Database) -> None:
    (tmp_path / "first").write_text("the first secret")
    (tmp_path / "second").write_text("the second secret")
    file = tmp_path / "sources.yaml"
    file.write_text("sources: [{id: web, kind: segment, secret_files: [first], event_names: {Signed Up: signed_up}}]")
    repository = SourceRepository(database)

    assert "web is new" in (await run(sources.app, "apply", str(file))).stdout
    assert "as it was" in (await run(sources.app, "apply", str(file))).stdout
    file.write_text("sources: [{id: web, kind: segment, secret_files: [second], time_zone: Europe/Berlin}]")
    assert "has changed" in (await run(sources.app, "apply", str(file))).stdout

    [source] = await repository.of_workspace("default")
    assert (source.event_names, source.time_zone) == ({}, "Europe/Berlin")
    now = SystemClock().now()
    assert source.live_secrets(now) == ("the second secret", "the first secret")


async def test_a_file_of_sources_that_is_wrong_is_refused_with_every_fault(tmp_path: Path) -> None:
    file = tmp_path / "sources.yaml"
    file.write_text("sources: [{id: a, kind: segment, secret_files: [nowhere]}, {id: a, kind: segment, colour: red}]")

    answer = await run(sources.app, "apply", str(file))

    assert answer.exit_code == 1
    assert "sources[0].secret_files: nowhere cannot be read" in answer.stderr
    assert "sources[1].colour: unknown key" in answer.stderr
    assert "a is there twice" in answer.stderr
