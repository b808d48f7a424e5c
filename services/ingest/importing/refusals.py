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
    """The open file. `written_bytes` is its length once `flush` returned."""

    def __init__(self, file: BinaryIO, written_bytes: int) -> None:
        self._file = file
        self.written_bytes = written_bytes

    def add(self, row: FileRow, event: str | None, reason: Reason) -> None:
        """Note that `row`, or the event `event` of it, was refused."""
        line = {
            "line": row.first_line,
            "last_line": row.last_line,
            "event": event,
            "code": reason.code,
            "field": reason.field,
            "message": reason.message,
            "row": row.raw,
        }
        text = json.dumps(line, ensure_ascii=False) + "\n"
        # A lone surrogate of the file's would make this line unreadable for others.
        self.written_bytes += self._file.write(text.encode("utf-8", "replace"))

    def flush(self) -> None:
        """Let everything noted so far be in the file."""
        self._file.flush()


@contextmanager
def refusals(path: Path, *, of: Path, keep_bytes: int) -> Iterator[Refusals]:
    """The file at `path` for the rows of the file `of`, cut to `keep_bytes`; empty in the end, it goes.

    What was noted after the position comes again, so it is cut off.
    """
    if path.resolve() == of.resolve():
        raise InvalidInput("the refused rows cannot go into the file that is imported", field="--refused")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}", code="no_file", field="--refused") from error
    with os.fdopen(descriptor, "r+b") as file:
        kept = min(keep_bytes, file.seek(0, os.SEEK_END))
        file.truncate(kept)
        file.seek(kept)
        found = Refusals(file, kept)
        try:
            yield found
        finally:
            file.flush()
            if found.written_bytes == 0:
                path.unlink(missing_ok=True)
