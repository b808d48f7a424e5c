"""The directory a demo lives in: one demo at a time, and emptied only when a demo's it is."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from services.demo.installation import FILE_NAME
from shared.db.embedded_postgres import EmbeddedPostgres
from shared.errors import Misconfigured

_LOCK: Final = "demo.lock"


@contextmanager
def occupied(data_dir: Path) -> Iterator[None]:
    """Have the directory to oneself. Raises Misconfigured when another demo runs in it."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Misconfigured(
                f"another demo runs in {data_dir}: end it, or name another directory in LEADFLOW_DATA_DIR"
            ) from None
        yield


async def empty(data_dir: Path) -> None:
    """Remove what earlier runs left. Raises Misconfigured for a directory that holds anything but a demo."""
    if _holds_a_server(data_dir):
        await _stop_orphan(data_dir)
    _remove(data_dir)


def _remove(data_dir: Path) -> None:
    left = [path for path in data_dir.iterdir() if path.name != _LOCK]
    if left and not (data_dir / FILE_NAME).exists():
        raise Misconfigured(f"{data_dir} holds no demo, so it is not emptied: remove it yourself")
    for path in left:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _holds_a_server(data_dir: Path) -> bool:
    return (data_dir / FILE_NAME).exists() and (data_dir / "postgresql" / "postmaster.pid").exists()


async def _stop_orphan(data_dir: Path) -> None:
    """The server of a demo that was killed outlives it; whoever adopts it can stop it in good order."""
    async with EmbeddedPostgres(data_dir).running():
        pass
