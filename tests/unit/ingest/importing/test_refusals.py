"""The file of refused rows."""

from pathlib import Path

import pytest

from services.ingest.domain.outcome import Reason
from services.ingest.importing.files import FileRow
from services.ingest.importing.refusals import refusals
from shared.errors import InvalidInput
from shared.events.json import parse_json

REASON = Reason("invalid_email", "is not an e-mail address", "lead.email")
ROW = FileRow(3, 4, 20, {"mail": "José"}, None, {"mail": "José"})


def test_a_refused_row_is_a_line_that_says_where_and_why(tmp_path: Path) -> None:
    path = tmp_path / "refused.ndjson"

    with refusals(path, of=tmp_path / "file.csv", keep_bytes=0) as refused:
        refused.add(ROW, "signed_up", REASON)

    assert parse_json(path.read_bytes()) == {
        "line": 3,
        "last_line": 4,
        "event": "signed_up",
        "code": "invalid_email",
        "field": "lead.email",
        "message": "is not an e-mail address",
        "row": {"mail": "José"},
    }
    assert path.stat().st_size == refused.written_bytes


def test_what_was_noted_after_the_position_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "refused.ndjson"
    path.write_bytes(b"first\nlost\n")

    with refusals(path, of=tmp_path / "file.csv", keep_bytes=6) as refused:
        refused.add(ROW, None, REASON)

    assert [line[:9] for line in path.read_bytes().splitlines()] == [b"first", b'{"line": ']


def test_an_old_file_goes_when_nothing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "refused.ndjson"
    path.write_bytes(b"of an earlier run\n")

    with refusals(path, of=tmp_path / "file.csv", keep_bytes=0):
        pass

    assert not path.exists()


def test_the_imported_file_is_never_written_to(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(b"a,b\n")

    with pytest.raises(InvalidInput, match="cannot go into the file"), refusals(path, of=path, keep_bytes=0):
        pass

    assert path.read_bytes() == b"a,b\n"


def test_a_place_where_nobody_may_write_matters_only_when_something_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "no directory" / "refused.ndjson"

    with (
        refusals(path, of=tmp_path / "file.csv", keep_bytes=0) as refused,
        pytest.raises(InvalidInput, match="--refused"),
    ):
        refused.add(ROW, None, REASON)
