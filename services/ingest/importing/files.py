"""Rows of a file, one after the other, whatever the file holds: a bad row is reported and reading goes on.

Only what leaves nothing to read is an error: no header, a damaged archive, another kind of file.
"""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import BinaryIO, Final, TextIO, cast

from services.ingest.importing.mapping import DEFAULT_ENCODING, ImportMapping
from shared.errors import InvalidInput
from shared.events.json import Json, parse_json

_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = b"PK\x03\x04"
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_SUFFIXES: Final = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson"}
# No event may be larger than 512 KiB by default, so neither may be a line of one.
_LONGEST_LINE: Final = 1_048_576
_KEPT_OF_LINE: Final = 2_000
_UNDECODABLE: Final = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True, slots=True)
class FileRow:
    """A row and where it stands: its fields, or why it has none. `size` counts characters."""

    first_line: int
    last_line: int
    size: int
    fields: Mapping[str, Json] | None
    error: InvalidInput | None
    raw: Json


class ImportFile:
    """An open file of rows. `rows` goes through it once; `read_bytes` of `size_bytes` tells how far."""

    def __init__(self, text: TextIO, binary: BinaryIO, *, size_bytes: int, mapping: ImportMapping, form: str) -> None:
        self._lines = _Lines(text)
        self._binary = binary
        self._mapping = mapping
        self._form = form
        self.size_bytes = size_bytes

    @property
    def read_bytes(self) -> int:
        """How much of the file, as it lies on the disk, has been read."""
        return self._binary.tell()

    def rows(self) -> Iterator[FileRow]:
        """Every row in order. Raises InvalidInput when there is no header, or no way to read on."""
        try:
            yield from self._csv() if self._form == "csv" else _ndjson(self._lines)
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise InvalidInput(
                f"the gz file is damaged after line {self._lines.number}", code="damaged_file"
            ) from error
        except UnicodeError as error:
            raise InvalidInput(
                f"line {self._lines.number + 1} is not {self._mapping.encoding} text, and the rest cannot be found",
                code="damaged_file",
            ) from error

    def _csv(self) -> Iterator[FileRow]:
        reader = csv.reader(self._lines, delimiter=self._mapping.delimiter, strict=True)
        header = _header(reader, self._mapping)
        return _csv_rows(reader, self._lines, header)


@contextmanager
def opened(path: Path, mapping: ImportMapping) -> Iterator[ImportFile]:
    """The file at `path`, gz or plain. Raises InvalidInput for what cannot be a file of rows."""
    with ExitStack() as stack:
        try:
            binary = stack.enter_context(path.open("rb"))
            start = binary.read(4)
            size_bytes = path.stat().st_size
        except OSError as error:
            raise InvalidInput(f"{path}: {error.strerror}", code="no_file") from error
        binary.seek(0)
        stream: BinaryIO = binary
        if start.startswith(_GZIP):
            stream = cast("BinaryIO", stack.enter_context(gzip.GzipFile(fileobj=binary)))
            start = b""
        _check_start(path, start, mapping)
        text = io.TextIOWrapper(stream, encoding=_codec(mapping), errors="surrogateescape", newline="")
        stack.callback(text.detach)
        yield ImportFile(text, binary, size_bytes=size_bytes, mapping=mapping, form=format_of(path, mapping))


def format_of(path: Path, mapping: ImportMapping) -> str:
    """The form of the file, as the mapping says, else by its name. Raises InvalidInput when neither tells."""
    if mapping.format is not None:
        return mapping.format
    name = path.name.lower().removesuffix(".gz")
    suffix = Path(name).suffix
    if suffix not in _SUFFIXES:
        raise InvalidInput(f"{path.name}: say whether it is csv or ndjson (--format)", code="unknown_format")
    return _SUFFIXES[suffix]


def digest_of(path: Path) -> str:
    """SHA-256 of the file as it lies on the disk."""
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}", code="no_file") from error


def _codec(mapping: ImportMapping) -> str:
    return "utf-8-sig" if mapping.encoding.lower().replace("_", "-") in {"utf-8", "utf8"} else mapping.encoding


def _check_start(path: Path, start: bytes, mapping: ImportMapping) -> None:
    if start.startswith(_ZIP):
        raise InvalidInput(f"{path.name} is a zip archive or a workbook: save it as CSV", code="unknown_format")
    if start.startswith(_UTF16) and mapping.encoding == DEFAULT_ENCODING:
        raise InvalidInput(f"{path.name} is UTF-16 text: add --encoding utf-16", code="unknown_format")


class _Lines:
    """Lines of bounded length, counted. A longer one is passed over and reported."""

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self.number = 0
        self.characters = 0
        self.last = ""

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._text.readline(_LONGEST_LINE)
        if not line:
            raise StopIteration
        self.number += 1
        self.characters += len(line)
        self.last = line
        if len(line) == _LONGEST_LINE and not line.endswith(("\n", "\r")):
            self._pass_over()
            raise InvalidInput(f"a line is longer than {_LONGEST_LINE} characters", code="line_too_long")
        return line

    def _pass_over(self) -> None:
        line = "x"
        while line and not line.endswith(("\n", "\r")):
            line = self._text.readline(_LONGEST_LINE)


def _header(reader: Iterator[list[str]], mapping: ImportMapping) -> list[str]:
    try:
        cells = next((cells for cells in reader if cells), None)
    except csv.Error as error:
        raise InvalidInput(f"the header cannot be read: {error}", code="bad_header") from error
    if cells is None:
        raise InvalidInput("the file is empty", code="bad_header")
    if any(_UNDECODABLE.search(cell) for cell in cells):
        raise InvalidInput(f"the header is not {mapping.encoding} text: add --encoding", code="bad_header")
    header = [cell.strip() or f"#{number}" for number, cell in enumerate(cells, start=1)]
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise InvalidInput(f"the header names {', '.join(twice)[:200]} twice", code="bad_header")
    mapping.check_header(header)
    return header


def _csv_rows(reader: Iterator[list[str]], lines: _Lines, header: Sequence[str]) -> Iterator[FileRow]:
    while True:
        first, before = lines.number + 1, lines.characters
        fields: Mapping[str, Json] | None = None
        error: InvalidInput | None = None
        cells: list[str] = []
        try:
            cells = next(reader)
            if cells:
                fields, error = _fields(cells, header)
        except StopIteration:
            return
        except csv.Error as fault:
            error = _csv_fault(fault, first, lines.number)
        except InvalidInput as fault:
            error = fault
        if cells or error is not None:
            raw: Json = [_shown(cell) for cell in cells] or _shown(lines.last)
            size = lines.characters - before
            yield FileRow(first, lines.number, size, fields, error, dict(fields) if fields is not None else raw)


def _fields(cells: Sequence[str], header: Sequence[str]) -> tuple[dict[str, Json] | None, InvalidInput | None]:
    if len(cells) != len(header):
        message = f"the row has {len(cells)} cells, the header {len(header)}"
        return None, InvalidInput(message, code="ragged_row")
    if any(not cell.isascii() and _UNDECODABLE.search(cell) for cell in cells):
        return None, _not_text()
    return dict(zip(header, cells, strict=True)), None


def _csv_fault(fault: csv.Error, first: int, last: int) -> InvalidInput:
    message = f"is not CSV: {fault}"
    if last > first:
        message += f"; lines {first} to {last} were read as one: is a quotation mark not closed?"
    return InvalidInput(message, code="not_csv")


def _ndjson(lines: _Lines) -> Iterator[FileRow]:
    while True:
        number, line = lines.number + 1, ""
        fields: Mapping[str, Json] | None = None
        error: InvalidInput | None = None
        try:
            line = next(lines)
            if line.strip():
                fields = _object(line)
        except StopIteration:
            return
        except InvalidInput as fault:
            error = fault
        if fields is not None or error is not None:
            raw: Json = dict(fields) if fields is not None else _shown(lines.last)
            yield FileRow(number, number, len(line), fields, error, raw)


def _object(line: str) -> dict[str, Json]:
    if _UNDECODABLE.search(line):
        raise _not_text()
    value = parse_json(line.encode())
    if not isinstance(value, dict):
        raise InvalidInput("the line is not a JSON object", code="not_json")
    return value


def _not_text() -> InvalidInput:
    return InvalidInput("the row is not text in the encoding of the file: see --encoding", code="not_text")


def _shown(text: str) -> str:
    """`text` as the file of refused rows can hold it: bounded, without half characters."""
    return text[:_KEPT_OF_LINE].encode("utf-8", "replace").decode("utf-8", "replace")
