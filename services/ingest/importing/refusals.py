"""The file of refused rows: one JSON object per line, with the row and the reason, for people to mend.

It holds personal data, as the imported file does, and only its owner may read it.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from services.ingest.domain.outcome import Reason
from services.ingest.importing.files import FileRow
from shared.errors import InvalidInput


class Refusals:
    """The file for the rows that are refused; it exists from the first of them on. `written_bytes` is its length."""

    def __init__(self, path: Path, keep_bytes: int) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self.written_bytes = 0
        if keep_bytes:
            self.written_bytes = self._open(keep_bytes)
        else:
            _remove(path)

    def add(self, row: FileRow, event: str | None, reason: Reason) -> None:
        """Note that `row`, or the event `event` of it, was refused. Raises InvalidInput where nobody may write."""
        if self._file is None:
            self._open(0)
        assert self._file is not None
        line = {
            "line": row.first_line,
            "last_line": row.last_line,
            "event": event,
            "code": reason.code,
            "field": reason.field,
            "message": reason.message,
            "row": row.raw,
        }
        # A lone surrogate of the file's would make this line unreadable for others.
        text = (json.dumps(line, ensure_ascii=False) + "\n").encode("utf-8", "replace")
        self.written_bytes += self._file.write(text)

    def flush(self) -> None:
        """Let everything noted so far be in the file."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Nothing more will be noted."""
        if self._file is not None:
            self._file.close()

    def _open(self, keep_bytes: int) -> int:
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise _not_writable(self._path, error) from error
        self._file = os.fdopen(descriptor, "r+b")
        kept = min(keep_bytes, self._file.seek(0, os.SEEK_END))
        self._file.truncate(kept)
        return self._file.seek(kept)


@contextmanager
def refusals(path: Path, *, of: Path, keep_bytes: int) -> Iterator[Refusals]:
    """The file at `path` for the rows of the file `of`, cut to `keep_bytes`.

    What was noted after the position comes again, so it is cut off; what an earlier run left goes.
    """
    if path.resolve() == of.resolve():
        raise InvalidInput("the refused rows cannot go into the file that is imported", field="--refused")
    found = Refusals(path, keep_bytes)
    try:
        yield found
    finally:
        found.close()


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _not_writable(path, error) from error


def _not_writable(path: Path, error: OSError) -> InvalidInput:
    return InvalidInput(
        f"{path}: {error.strerror}: name another place for refused rows with --refused", code="no_file"
    )
