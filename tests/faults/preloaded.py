"""The services loaded once and forked for each process: what takes two seconds of a processor to import takes none.

A process that is made like this is one of its own in every other way: it has its own pid, environment, files and
event loop, dies of signals, and shares no memory that it writes to.
"""

import asyncio
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

_LARGEST_REQUEST = 1 << 20


class Forked:
    """One process of a `Loaded`; to its owner it is like a `subprocess.Popen`."""

    def __init__(self, loaded: "Loaded", pid: int) -> None:
        self.pid = pid
        self._loaded = loaded
        # As long as nobody has asked how it ended, nobody else can have its pid.
        self._descriptor = os.pidfd_open(pid)
        self._code: int | None = None

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        if self._code is None and select.select([self._descriptor], [], [], 0)[0]:
            self._code = self._loaded.code_of(self.pid)
            os.close(self._descriptor)
        return self._code

    def send_signal(self, number: int) -> None:
        """Nothing happens if it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, number)


class Loaded:
    """A process that has imported leadflow from `tree` and has done nothing else."""

    def __init__(self, socket_: socket.socket) -> None:
        self._socket = socket_

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], *, output: Path) -> Forked:
        """`leadflow <arguments>`; what it says goes to the end of the file `output`."""
        call = {"arguments": list(arguments), "environment": dict(environment), "output": str(output)}
        return Forked(self, self._ask(call))

    def code_of(self, pid: int) -> int:
        """How a process that has ended did so."""
        return self._ask({"ended": pid})

    def _ask(self, call: Mapping[str, object]) -> int:
        self._socket.sendall(json.dumps(call).encode())
        return int(self._socket.recv(32))


@contextmanager
def loaded(tree: Path) -> Iterator[Loaded]:
    """Ended with the block; the processes that it made are not."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            server = subprocess.Popen(
                [sys.executable, "-P", __file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                cwd=tree,
                env={**os.environ, "PYTHONPATH": str(tree)},  # noqa: TID251 - what processes inherit
            )
        try:
            yield Loaded(ours)
        finally:
            ours.close()
            server.wait()


def _serve(descriptor: int) -> None:
    from services.command.main import COMMANDS  # the server imports them, the harness need not

    for module, _ in COMMANDS.values():
        importlib.import_module(module)
    gc.freeze()
    # It ends with the one that asks it, who still wants to know how its processes ended.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    caller = socket.socket(fileno=descriptor)
    while request := caller.recv(_LARGEST_REQUEST):
        call = json.loads(request)  # noqa: TID251 - our own words
        caller.sendall(str(_ended(call["ended"]) if "ended" in call else _forked(caller, **call)).encode())


def _ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _forked(caller: socket.socket, arguments: list[str], environment: dict[str, str], output: str) -> int:
    pid = os.fork()
    if pid == 0:
        caller.close()
        _become(arguments, environment, output)
    return pid


def _become(arguments: list[str], environment: dict[str, str], output: str) -> NoReturn:
    from tests.support.preloaded_command import become

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGUSR2, lambda *_: _tell_tasks(Path(f"{output}.tasks")))
    # The one thing that is read from the environment when it is imported.
    os.environ["LEADFLOW_FAILPOINT"] = environment.get("LEADFLOW_FAILPOINT", "")  # noqa: TID251
    importlib.reload(importlib.import_module("shared.failpoints"))
    written = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    files = [os.open(os.devnull, os.O_RDONLY), written, os.dup(written)]
    become(files, arguments, str(Path.cwd()), environment)


def _tell_tasks(place: Path) -> None:
    """How many tasks the running loop has; nothing where none runs yet."""
    with suppress(RuntimeError):
        place.write_text(str(len(asyncio.all_tasks())))


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
