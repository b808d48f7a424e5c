"""`leadflow subscriptions` on a given database, as docs/subscribe.md tells it."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from standardwebhooks import Webhook
from typer.testing import CliRunner, Result

from services.command.subscriptions import app
from shared.errors import LeadflowError
from tests.support.receiver import receiving

pytestmark = pytest.mark.postgres

Run = Callable[..., Awaitable[Result]]


@pytest.fixture
def run(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs the command in a thread of its own, because it makes an event loop."""
    for name, value in {
        "DATABASE_URL": database_url,
        "DATA_DIR": str(tmp_path),
        "PIPELINE_WEBHOOK_ALLOW_HTTP": "true",
        "PIPELINE_WEBHOOK_ALLOW_PRIVATE_ADDRESSES": "true",
    }.items():
        monkeypatch.setenv(f"LEADFLOW_{name}", value)

    async def run(*arguments: str) -> Result:
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, list(arguments)))

    return run


async def said(run: Run, *arguments: str) -> str:
    done = await run(*arguments)
    assert done.exit_code == 0, done.output
    return done.stdout.strip()


async def test_a_subscription_from_its_beginning_to_its_end(run: Run) -> None:
    async with receiving() as receiver:
        name, secret = (
            await said(run, "create", receiver.url, "--event-type", "lead.stalled", "--where", "data.stage=mql")
        ).splitlines()
        tested = await said(run, "test", name)
        rotated = await said(run, "rotate", name, "--keep-old-hours", "0")
        await said(run, "test", name)
        changed = await said(run, "change", name, "--all-types", "--no-filter", "--description", "CRM")
        shown = await said(run, "show", name)
        disabled = await said(run, "disable", name)
        listed = await said(run, "list")
        enabled = await said(run, "enable", name)
        replayed = await said(run, "replay", name, "--since", "2026-03-02T12:00")
        attempts = await said(run, "attempts", name)
        await said(run, "delete", name)

    before, after = receiver.requests
    assert Webhook(secret).verify(before.body, before.headers)["type"] == "subscription.tested"
    assert Webhook(rotated).verify(after.body, after.headers)["type"] == "subscription.tested"
    assert tested.startswith(before.headers["webhook-id"])
    assert ": 200 after" in tested
    assert changed == shown == f"{name} {receiver.url}\nenabled" == enabled
    assert "its owner disabled it" in disabled
    assert name in listed
    assert replayed == "0 messages are on their way again"
    assert "message" in attempts


async def test_a_receiver_that_refuses_the_test_is_shown_and_fails_the_command(run: Run) -> None:
    async with receiving(403) as receiver:
        receiver.body = b"who are you?"
        name, _ = (await said(run, "create", receiver.url)).splitlines()
        tested = await run("test", name)

    assert tested.exit_code == 1
    assert ": 403 after" in tested.stdout
    assert "who are you?" in tested.stdout


async def test_an_address_that_is_refused_is_explained(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as receiver:
        name, _ = (await said(run, "create", receiver.url)).splitlines()
        monkeypatch.setenv("LEADFLOW_PIPELINE_WEBHOOK_ALLOW_PRIVATE_ADDRESSES", "false")
        tested = await run("test", name)

    assert (tested.exit_code, receiver.requests) == (1, [])
    assert ": address_refused after" in tested.stdout
    assert "LEADFLOW_PIPELINE_WEBHOOK_ALLOW_PRIVATE_ADDRESSES=true" in tested.stdout


NO_ID = "00000000-0000-4000-8000-000000000000"
IMPOSSIBLE = [
    ("create", "ftp://example.com/"),
    ("create", "https://example.com/", "--event-type", "lead.unheard_of"),
    ("create", "https://example.com/", "--where", "nonsense"),
    ("show", NO_ID),
    ("replay", NO_ID),
    ("replay", NO_ID, "--since", "2026-03-02", "--message", "x"),
    ("replay", NO_ID, "--message", "x"),
    ("rotate", "no-id"),
]


async def test_what_cannot_be_fails_with_a_message(run: Run) -> None:
    for arguments in IMPOSSIBLE:
        done = await run(*arguments)
        assert done.exit_code != 0, arguments
        # `leadflow` itself makes a line and an exit code of the latter.
        assert isinstance(done.exception, SystemExit | LeadflowError), arguments
