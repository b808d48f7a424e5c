"""The demo as a newcomer runs it: the real command, twice in the same directory, and interrupted."""

import asyncio
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.leadflow_process import Installation, free_port
from tests.support.waiting import wait_until

_LONGEST_RUN_SECONDS = 300
_SUM = re.compile(r"[✓✗]\s+(.+?)\s{2,}(\d+) = (\d+)")


@dataclass(frozen=True, slots=True)
class Demo:
    """A process of the demo and the file it prints into."""

    process: subprocess.Popen[bytes]
    printed: Path

    def output(self) -> str:
        return " ".join(self.printed.read_text(errors="replace").split("\n"))

    async def until_printed(self, text: str) -> None:
        await wait_until(
            lambda: text in self.output() or self.process.poll() is not None, f"{text} is printed", timeout_seconds=60
        )
        assert text in self.output()

    def end(self) -> int:
        """Ctrl-C; returns the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=60)


@contextmanager
def a_demo(directory: Path, *arguments: str, port: int | None = None) -> Iterator[Demo]:
    environment = Installation(directory).env(LEADFLOW_PORT=str(port or free_port()))
    printed = directory / "printed"
    with printed.open("wb") as output:
        command = [sys.executable, "-m", "services", "demo", *arguments]
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield Demo(process, printed)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def played_into(url: str, installation: Installation) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services", "demo", "--into", url]
    return subprocess.run(
        command, env=installation.env(), capture_output=True, text=True, timeout=_LONGEST_RUN_SECONDS
    )


@pytest.mark.timeout(2 * _LONGEST_RUN_SECONDS)
async def test_it_plays_into_a_leadflow_that_runs_already_and_once_only(tmp_path: Path, database_url: str) -> None:
    installation = Installation(tmp_path, {"LEADFLOW_DATABASE_URL": database_url})
    async with installation.running() as running:
        first = await asyncio.to_thread(played_into, running.base_url, installation)
        again = await asyncio.to_thread(played_into, running.base_url, installation)

    assert first.returncode == 0, first.stderr
    assert int(first.stdout.split()[0]) > 1000
    assert again.returncode == 1
    assert "has sources already" in " ".join(again.stderr.split())


def played(directory: Path) -> str:
    """What a demo prints that ends by itself, and well."""
    with a_demo(directory, "--exit") as demo:
        code = demo.process.wait(timeout=_LONGEST_RUN_SECONDS)
    assert code == 0, demo.printed.read_text(errors="replace")
    return demo.printed.read_text()


def sums_in(output: str) -> dict[str, tuple[int, int]]:
    return {words: (int(left), int(right)) for words, left, right in _SUM.findall(output)}


def seconds_to_serving(output: str) -> float:
    found = re.search(r"serves on \S+ after ([\d.]+) s", output)
    assert found is not None, output
    return float(found[1])


@pytest.mark.timeout(2 * _LONGEST_RUN_SECONDS)
def test_the_demo_adds_up_and_a_second_run_of_the_same_bytes_counts_nothing(tmp_path: Path) -> None:
    first, second = played(tmp_path), played(tmp_path)

    for output in (first, second):
        assert len(sums_in(output)) == 5, output
        assert all(left == right for left, right in sums_in(output).values()), output
        assert "✗" not in output, output
    assert sums_in(first)["sent = accepted + refused"][0] > 3000
    assert sums_in(first)["webhooks delivered = verified"][0] > 300
    assert sums_in(second)["sent = accepted + refused"] == sums_in(first)["sent = accepted + refused"]
    assert "and 0 counted" in " ".join(second.split())
    assert seconds_to_serving(second) < 10


@pytest.mark.timeout(_LONGEST_RUN_SECONDS)
async def test_an_interrupted_demo_ends_in_good_order_and_keeps_its_story(tmp_path: Path) -> None:
    with a_demo(tmp_path) as demo:
        await demo.until_printed("leadflow serves on")
        assert demo.end() == 130

    with a_demo(tmp_path, "--exit", "--seed", "4") as other:
        assert other.process.wait(timeout=60) == 1
        assert "add --fresh to forget it" in other.output()


@pytest.mark.timeout(_LONGEST_RUN_SECONDS)
async def test_a_taken_port_is_said_and_the_next_free_one_used(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with a_demo(tmp_path, port=port) as demo:
            await demo.until_printed("leadflow serves on")
            demo.end()

    assert f"Port {port} is taken" in demo.output()
    assert f"http://127.0.0.1:{port} " not in demo.output()
