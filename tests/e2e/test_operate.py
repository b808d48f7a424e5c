"""The operator's commands beside a running `leadflow up`, and after it has stopped."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic_core import from_json

from services.command.doctor.checks import CHECKS
from tests.support.leadflow_process import Installation

LATEST = "2026-11-01T10:00:00Z"


def ended(installation: Installation, *arguments: str) -> tuple[int, str]:
    """Exit code and output of a command that may fail; never a stack trace."""
    done = subprocess.run(
        [sys.executable, "-m", "services", *arguments],
        env=installation.env(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


async def test_the_operator_sees_what_runs_what_happens_and_what_has_stopped(installation: Installation) -> None:
    async with installation.running() as running:
        key = installation.run("keys", "create", "--scope", "events:write", "--scope", "leads:read")
        installation.run("models", "publish", "deploy/examples/model.yaml")
        installation.run("pipelines", "publish", "deploy/examples/pipeline.yaml")
        beside = from_json(installation.run("doctor", "--json"))
        async with running.client(key) as client:
            event = {"id": "1", "type": "demo_requested", "occurred_at": LATEST, "lead": {"email": "a@b.example"}}
            answer = await client.post("/v1/events", json=event)
            assert answer.status_code < 300, answer.text
        tailed = Installation(installation.directory, {"LEADFLOW_KEY": key, "LEADFLOW_URL": running.base_url}).run(
            "tail", "--oldest", "--type", "lead.stage_changed", "--limit", "2"
        )
        status = from_json(installation.run("status", "--json"))
        code, refused = ended(installation, "tail", "--url", running.base_url)
        running.stop()

    code_after, after = ended(installation, "doctor")
    watched, no_leadflow = ended(installation, "status", "--watch")

    assert [check["check"] for check in beside["checks"]] == [check.name for check in CHECKS]
    assert {check["outcome"] for check in beside["checks"]} == {"ok"}, beside
    assert "a@b.example" in tailed
    assert "stage new" in tailed
    assert "-> mql" in tailed
    assert {part["found"]["members"] for part in status["groups"].values()} == {1}
    assert (code, "LEADFLOW_KEY is not set" in refused) == (1, True)
    assert code_after == 0
    assert "nobody reads engagement-events for scorer" in after
    assert (watched, "start `leadflow up` first" in no_leadflow) == (1, True)
