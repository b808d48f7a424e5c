"""The command `leadflow`, loaded once and forked for each call: what takes two seconds to import takes none.

`serving(directory)` puts a `leadflow` into `directory` that behaves like the installed one: the same arguments,
environment, working directory, files and exit code. Its process hands them to the loaded one over a socket.
"""

import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import NoReturn

_LARGEST_CALL = 1 << 20
_CLIENT = """\
#!{python} -IS
import json, os, signal, socket, sys
with socket.socket(socket.AF_UNIX) as caller:
    signal.signal(signal.SIGTERM, lambda *_: caller.shutdown(socket.SHUT_WR))
    caller.connect({place!r})
    call = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(caller, [len(call).to_bytes(4, "big")], [0, 1, 2])
    caller.sendall(call)
    answer = caller.recv(1)
sys.exit(answer[0] if answer else 70)
"""


@contextmanager
def serving(directory: Path) -> Iterator[None]:
    """`directory/leadflow` works until the end of the block."""
    place = directory / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        listener.listen(16)
        server = subprocess.Popen([sys.executable, __file__, str(listener.fileno())], pass_fds=[listener.fileno()])
    client = directory / "leadflow"
    client.write_text(_CLIENT.format(python=sys.executable, place=str(place)), encoding="utf-8")
    client.chmod(0o755)
    try:
        yield
    finally:
        server.kill()
        server.wait()


def _serve(descriptor: int) -> None:
    from services.command.main import COMMANDS  # the server imports them, the tests need not

    for module, _ in COMMANDS.values():
        import_module(module)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.socket(fileno=descriptor)
    while True:
        caller, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _answer(caller)
            os._exit(0)
        caller.close()


def _answer(caller: socket.socket) -> None:
    """Run one call in a process of its own, which gets SIGTERM when the caller has got one, or has gone."""
    head, files, _, _ = socket.recv_fds(caller, 4, 3)
    call = json.loads(_exactly(caller, int.from_bytes(head, "big")))  # noqa: TID251 - our own words
    worker = os.fork()
    if worker == 0:
        caller.close()
        become(files, *call)
    while os.waitid(os.P_PID, worker, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if select.select([caller], [], [], 0.01)[0]:
            os.kill(worker, signal.SIGTERM)
            break
    code = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
    with suppress(OSError):
        caller.sendall(bytes([code % 256]))


def _exactly(caller: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < min(size, _LARGEST_CALL):
        received += caller.recv(size - len(received))
    return received


def become(files: list[int], arguments: list[str], directory: str, environment: dict[str, str]) -> NoReturn:
    """Go on as the command, with `files` as standard input, output and error, and end as it does."""
    from services.command.main import main

    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(directory)
    os.environ.clear()  # noqa: TID251 - it becomes the caller's
    os.environ.update(environment)  # noqa: TID251
    sys.argv = ["leadflow", *arguments]
    code = 1
    try:
        main()
        code = 0
    except SystemExit as ended:
        code = _exit_code(ended.code)
    except BaseException:  # noqa: BLE001 - shown as Python shows it, since nothing comes after
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _exit_code(code: object) -> int:
    return code if isinstance(code, int) else int(code is not None)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
