"""leadflow as its users run it: real processes, started by the command, talked to over HTTP, killed by pid."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.support.waiting import wait_until

_READY_SECONDS = 60.0
_STOP_SECONDS = 30.0


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Installation:
    """Where a leadflow keeps its data and finds its log; processes of it come and go."""

    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def env(self, **more: str) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("LEADFLOW_")}  # noqa: TID251
        return {**ours, "LEADFLOW_DATA_DIR": str(self.directory / "data"), **self.environment, **more}

    def run(self, *arguments: str) -> str:
        """Run a command of leadflow to its end; returns what it printed. Fails when it fails."""
        command = [sys.executable, "-m", "services", *arguments]
        done = subprocess.run(command, env=self.env(), capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"leadflow {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}"
        return done.stdout.strip()

    @asynccontextmanager
    async def running(self, command: str = "up", **environment: str) -> "AsyncIterator[Running]":
        """`leadflow <command>` on a free port, ready to work; ended by SIGTERM unless it was killed."""
        running = Running(self, command, free_port())
        running.start(environment)
        try:
            await running.wait_until_ready()
            yield running
        finally:
            running.stop()


class Running:
    """One process of leadflow."""

    def __init__(self, installation: Installation, command: str, port: int) -> None:
        self._installation = installation
        self._command = command
        self.port = port
        self.base_url = f"http://127.0.0.1:{port}"
        self._log = installation.directory / f"{command}-{port}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._environment: Mapping[str, str] = {}

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = environment or self._environment
        env = self._installation.env(LEADFLOW_PORT=str(self.port), **self._environment)
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "services", self._command], env=env, stdout=output, stderr=output
            )

    async def wait_until_ready(self) -> None:
        async def is_ready() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, f"leadflow {self._command} ended:\n{self.log_tail()}"
            try:
                async with httpx.AsyncClient(base_url=self.base_url) as client:
                    return (await client.get("/readyz", timeout=5)).status_code == 200
            except httpx.TransportError:
                return False

        await wait_until(is_ready, f"leadflow {self._command} is ready", timeout_seconds=_READY_SECONDS)

    def wait_until_ready_in_a_loop_of_its_own(self) -> None:
        """The same for tests that have no event loop."""
        asyncio.run(self.wait_until_ready())

    def kill(self) -> None:
        """kill -9, as a crash does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(_STOP_SECONDS)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """SIGSTOP for the time of the block: it lives, holds what it holds, and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        """SIGTERM, as an orderly end; returns the exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(_STOP_SECONDS)

    def log_text(self) -> str:
        """All that the process has written so far."""
        return self._log.read_text(errors="replace")

    def log_tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-30:])

    def client(self, key: str) -> httpx.AsyncClient:
        """An HTTP client that calls this process with `key`."""
        return httpx.AsyncClient(
            base_url=self.base_url, headers={"Authorization": f"Bearer {key}"}, timeout=10, trust_env=False
        )


async def until_json(client: httpx.AsyncClient, path: str, condition: Any, what: str, **options: float) -> Any:
    """The JSON at `path` as soon as it satisfies `condition`."""
    found: list[Any] = []

    async def holds() -> bool:
        answer = await client.get(path)
        found[:] = [answer.json()] if answer.status_code == 200 else []
        return bool(found and condition(found[0]))

    await wait_until(holds, what, **options)
    return found[0]


async def gather_limited(limit: int, jobs: list[Any]) -> list[Any]:
    """The results of coroutines, at most `limit` under way at once."""
    gate = asyncio.Semaphore(limit)

    async def through_gate(job: Any) -> Any:
        async with gate:
            return await job

    return await asyncio.gather(*(through_gate(job) for job in jobs))
