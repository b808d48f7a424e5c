"""The services as processes of their own, each on its own port; whatever dies unasked is started again."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx

from shared.failpoints import EXIT_CODE
from tests.faults.preloaded import Forked, Loaded
from tests.support.leadflow_process import free_port
from tests.support.waiting import wait_until

READY_SECONDS = 120.0
Started = Forked | subprocess.Popen[bytes]
_ROOT = Path(__file__).resolve().parents[2]
_LOOK_SECONDS = 0.02
_STOP_SECONDS = 40.0


@dataclass(frozen=True, slots=True)
class Tree:
    """The sources that are run: the repository's, or a copy of them in which something was made wrong.

    With `loaded` their processes are forked from one that has imported them, unless the loader of the system has to
    do something for a process first.
    """

    directory: Path = _ROOT
    loaded: Loaded | None = None

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], *, output: Path) -> Started:
        """A new process of `leadflow <arguments>`; what it says goes to the end of the file `output`."""
        if self.loaded is not None and "LD_PRELOAD" not in environment:
            return self.loaded.start(arguments, environment, output=output)
        with output.open("ab") as file:
            return subprocess.Popen(
                [sys.executable, "-m", "services", *arguments],
                env=environment,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )


def inherited() -> dict[str, str]:
    """What our own environment gives to every process: nothing of leadflow's."""
    return {
        name: value
        for name, value in os.environ.items()  # noqa: TID251 - what processes inherit
        if not name.startswith("LEADFLOW_")
    }


class Process:
    """One service, kept running until it is stopped on purpose.

    `failpoints` are armed one after the other: the next one when the process has died at the one before.
    """

    def __init__(
        self, name: str, command: str, environment: Mapping[str, str], *, directory: Path, tree: Tree
    ) -> None:
        self.name = name
        self.command = command
        self.port = free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.failpoints: list[str] = []
        self.exits: list[int] = []
        self.starts = 0
        self._environment = dict(environment)
        self._tree = tree
        self._log = directory / f"{name}.log"
        self._process: Started | None = None
        self._wanted = False

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def deaths_at_failpoints(self) -> int:
        return self.exits.count(EXIT_CODE)

    def start(self) -> None:
        self._wanted = True
        self.starts += 1
        self._process = self._tree.start([self.command], self._environment_now(), output=self._log)

    def _environment_now(self) -> dict[str, str]:
        armed = {"LEADFLOW_FAILPOINT": self.failpoints[0]} if self.failpoints else {}
        return {**inherited(), **self._environment, **armed, "LEADFLOW_PORT": str(self.port)}

    def watch(self) -> None:
        """Note a death, and start again what is still wanted."""
        if self._process is None or (code := self._process.poll()) is None:
            return
        self.exits.append(code)
        self._process = None
        if code == EXIT_CODE and self.failpoints:
            self.failpoints.pop(0)
        if self._wanted:
            self.start()

    def kill(self) -> None:
        """kill -9; it is started again at the next look."""
        self._send(signal.SIGKILL)

    def freeze(self) -> None:
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        self._send(signal.SIGCONT)

    def end(self) -> None:
        """SIGTERM; it is started again when it has ended, unless it was dismissed."""
        self._send(signal.SIGTERM)

    def dismiss(self) -> None:
        """What ends now stays ended."""
        self._wanted = False

    def last_words(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-12:])

    def said(self, words: str) -> int:
        """How many lines of its log contain `words`."""
        return sum(words in line for line in self._log.read_text(errors="replace").splitlines())

    async def stopped(self) -> None:
        """Dismissed, ended in order if it can, else killed."""
        self.dismiss()
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            self.thaw()
            self.end()
        with suppress(AssertionError):
            await wait_until(lambda: not self.alive, f"{self.name} ends", timeout_seconds=_STOP_SECONDS)
        if self.alive:
            self.kill()
            await wait_until(lambda: not self.alive, f"{self.name} is dead")
        # Whichever of the two looks first notes the end.
        self.watch()

    def resident_bytes(self) -> int:
        """The memory it holds now."""
        return self._memory("VmRSS")

    def most_resident_bytes(self) -> int:
        """The most memory it has held so far."""
        return self._memory("VmHWM")

    def _memory(self, what: str) -> int:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        (kilobytes,) = (int(line.split()[1]) for line in lines if line.startswith(f"{what}:"))
        return kilobytes * 1024

    def open_files(self) -> int:
        """File descriptors that it holds now."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    async def tasks(self) -> int:
        """Tasks of its event loop now, if it was forked from what was loaded."""
        told = self._log.with_name(f"{self._log.name}.tasks")
        told.unlink(missing_ok=True)
        self._send(signal.SIGUSR2)
        await wait_until(lambda: told.exists() and told.read_text() != "", f"{self.name} counts its tasks")
        return int(told.read_text())

    async def is_ready(self) -> bool:
        return await self._answers("/readyz") == 200

    async def lives(self) -> int | None:
        """The status of /livez, None without an answer."""
        return await self._answers("/livez")

    async def partitions(self) -> int:
        """How many it was given, and has looked at."""
        return await self._shown("leadflow_consumer_assigned_partitions{")

    async def holds_partitions(self) -> bool:
        return await self.partitions() > 0

    async def remembered_bytes(self) -> int:
        """What the leads take that it keeps between batches, as it says itself; 0 for what is no scorer."""
        return await self._shown("leadflow_scoring_remembered_bytes ")

    async def _shown(self, beginning: str) -> int:
        """The sum of what /metrics shows in lines that begin like this."""
        lines = (await self.metrics() or "").splitlines()
        return round(sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(beginning)))

    async def clock_ahead(self) -> timedelta:
        """How far its clock is ahead of ours, by the date of an answer."""
        async with self._client() as client:
            answer = await client.get("/livez")
        return parsedate_to_datetime(answer.headers["date"]) - datetime.now(UTC)

    async def metrics(self) -> str | None:
        """What /metrics shows, None without an answer."""
        with suppress(httpx.HTTPError):
            async with self._client() as client:
                return (await client.get("/metrics")).text
        return None

    async def _answers(self, path: str) -> int | None:
        with suppress(httpx.HTTPError):
            async with self._client() as client:
                return (await client.get(path)).status_code
        return None

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.base_url, trust_env=False, timeout=5)

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)


@dataclass
class Supervisor:
    """Starts processes, and starts them again."""

    directory: Path
    tree: Tree = field(default_factory=Tree)
    processes: list[Process] = field(default_factory=list)
    retired: int = 0

    def start(
        self,
        name: str,
        command: str,
        environment: Mapping[str, str],
        *,
        failpoints: Sequence[str] = (),
        tree: Tree | None = None,
    ) -> Process:
        """A process under supervision from now on; not ready yet."""
        process = Process(name, command, environment, directory=self.directory, tree=tree or self.tree)
        process.failpoints = list(failpoints)
        self.processes.append(process)
        process.start()
        return process

    def of(self, command: str) -> list[Process]:
        """The processes of one service."""
        return [process for process in self.processes if process.command == command]

    async def all_ready(self) -> None:
        """Return when every process that is wanted does its work."""

        async def are_ready() -> bool:
            return all([await process.is_ready() for process in self.processes if process.alive or process.exits])

        await wait_until(are_ready, "all services are ready", timeout_seconds=READY_SECONDS, every_seconds=0.1)

    async def retire(self, process: Process) -> None:
        """End a process for good."""
        await process.stopped()
        self.processes.remove(process)
        self.retired += 1

    async def watch(self) -> None:
        while True:
            for process in self.processes:
                process.watch()
            await asyncio.sleep(_LOOK_SECONDS)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        watch = asyncio.create_task(self.watch(), name="supervisor")
        try:
            yield
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
            await asyncio.gather(*(process.stopped() for process in self.processes))

    def last_words(self, of: Callable[[Process], bool] = lambda _: True) -> str:
        return "\n".join(
            f"--- {process.name} (exits {process.exits})\n{process.last_words()}"
            for process in self.processes
            if of(process)
        )
