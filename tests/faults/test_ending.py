"""SIGTERM ends a run of the scenarios with all that it has started, however often it comes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

_ROOT = Path(__file__).resolve().parents[2]
_COMMAND = (sys.executable, "-m", "tests.faults", "--scenario", "F14", "--log", "embedded")
# Of a service, which begins when all else of the lane is there.
_LOG = "*/F14-embedded/scorer-1.log"


def those_of(directory: Path) -> list[str]:
    """Command lines of the processes that work in this directory, or were given it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            said = (process / "cmdline").read_bytes() + os.fsencode((process / "cwd").readlink())
        except OSError:
            continue
        if os.fsencode(directory) in said:
            found.append(f"{process.name}: {said.decode(errors='replace')}")
    return found


@pytest.fixture
def run(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A run whose directory is below that of the test."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}  # noqa: TID251 - what processes inherit
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(_COMMAND, cwd=_ROOT, env=environment, stdout=said, stderr=said)
    with process:
        yield process
        process.kill()


@pytest.mark.timeout(300)
async def test_nothing_of_a_run_outlives_sigterm(run: subprocess.Popen[bytes], tmp_path: Path) -> None:
    await wait_until(lambda: any(tmp_path.glob(_LOG)), "a service was started", timeout_seconds=120)
    began = those_of(tmp_path)

    for _ in range(2):
        run.send_signal(signal.SIGTERM)
    await wait_until(lambda: run.poll() is not None, "the run ends", timeout_seconds=120)

    assert began != []
    assert those_of(tmp_path) == []
    assert run.returncode == 130, (tmp_path / "said").read_text()
