"""The README's first lead: its commands are run as they stand, and do what it says."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from shared.events.json import parse_json
from tests.support.leadflow_process import Installation, Running
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]


def blocks() -> list[str]:
    section = (
        (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Your first lead\n")[2].partition("\n## ")[0]
    )
    return re.findall(r"^```sh\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)


def run(block: str, *, cwd: Path, environment: dict[str, str], port: int) -> subprocess.CompletedProcess[str]:
    script = block.replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory in which the README's paths lead where they lead in a clone, and where it may leave files."""
    for name in (".venv", "deploy"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


async def test_the_commands_of_the_first_lead_create_it_and_show_its_score_with_the_ledger(place: Path) -> None:
    installation = Installation(place)
    key_and_documents, post_events, list_leads, read_lead = blocks()

    async with installation.running("up") as leadflow:
        environment = installation.env()
        shown_key = run(
            f'{key_and_documents}\necho "$LEADFLOW_KEY"', cwd=place, environment=environment, port=leadflow.port
        )
        assert shown_key.returncode == 0, shown_key.stderr
        environment["LEADFLOW_KEY"] = shown_key.stdout.splitlines()[-1]

        posted = await until_answered(post_events, '"accepted":3', place, environment, leadflow)
        listed = await until_answered(list_leads, '"reasons"', place, environment, leadflow)
        read = await until_answered(read_lead, '"ledger"', place, environment, leadflow)

    hot: Any = parse_json(listed.encode())
    lead: Any = parse_json(read.encode())
    assert '"refused":0' in posted
    assert [one["emails"] for one in hot["leads"]] == [lead["emails"]] == [["dana.weber@nordwind.example"]]
    assert lead["grade"] == "A2"
    assert lead["ledger"]["total"]["entries"][0]["reason"]


async def until_answered(
    block: str, expected: str, place: Path, environment: dict[str, str], leadflow: Running
) -> str:
    """What the block prints as soon as it holds `expected`: keys and scores take a moment to be known."""
    answers: list[str] = []

    async def answered() -> bool:
        done = run(block, cwd=place, environment=environment, port=leadflow.port)
        answers.append(done.stdout)
        return done.returncode == 0 and expected in done.stdout

    await wait_until(answered, f"the README's command answers {expected}", timeout_seconds=20)
    return answers[-1]
