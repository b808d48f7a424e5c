"""Files as people have them: every row comes out, or the reason why not; nothing crashes."""

import gzip
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.ingest.importing.files import FileRow, digest_of, opened
from services.ingest.importing.mapping import ImportMapping, parse_mapping
from shared.errors import InvalidInput
from shared.events.json import Json


def a_mapping(**sections: Json) -> ImportMapping:
    event: Json = {"occurred_at": {"value": "2024-01-01"}}
    return parse_mapping({"lead": {"email": "a"}, "events": {"seen": event}, **sections})


def read(path: Path, body: bytes, mapping: ImportMapping | None = None) -> list[FileRow]:
    path.write_bytes(body)
    with opened(path, mapping or a_mapping()) as file:
        return list(file.rows())


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"a,b\n1,2\n", [{"a": "1", "b": "2"}]),
        (b"\xef\xbb\xbfa,b\r\n1,2\r\n", [{"a": "1", "b": "2"}]),
        (b"a,b\r1,2\r3,4", [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]),
        (b'a,b\n"x\n""y""",2\n', [{"a": 'x\n"y"', "b": "2"}]),
        (b"\n\na,b\n\n1,2\n\n", [{"a": "1", "b": "2"}]),
        (b" a ,\n1,2\n", [{"a": "1", "#2": "2"}]),
        ("a,b\nJosé,\N{GRINNING FACE}\n".encode(), [{"a": "José", "b": "\N{GRINNING FACE}"}]),
        (b"a,b\n", []),
    ],
    ids=["plain", "BOM and CRLF", "CR", "quoted newline", "blank lines", "unnamed column", "UTF-8", "no rows"],
)
def test_csv_is_read_as_it_is_written(tmp_path: Path, body: bytes, fields: list[dict[str, str]]) -> None:
    assert [row.fields for row in read(tmp_path / "f.csv", body)] == fields
    assert [row.fields for row in read(tmp_path / "f.csv.gz", gzip.compress(body))] == fields


def test_another_delimiter_and_encoding_are_taken_when_told(tmp_path: Path) -> None:
    mapping = a_mapping(delimiter="tab", encoding="utf-16")

    rows = read(tmp_path / "f.csv", "a\tb\nJosé\t2\n".encode("utf-16"), mapping)

    assert [row.fields for row in rows] == [{"a": "José", "b": "2"}]


@pytest.mark.parametrize(
    ("bad", "code", "lines"),
    [
        (b"1\n", "ragged_row", 1),
        (b"1,2,3\n", "ragged_row", 1),
        (b"caf\xe9,2\n", "not_text", 1),
        (b'"x"y,2\n', "not_csv", 1),
        (b"1,%s\n" % (b"x" * 200_000), "not_csv", 1),
        (b"1,%s\n" % (b"x" * 1_200_000), "line_too_long", 1),
        (b'"1,2\n' + b"1,2\n" * 40_000 + b"1,2\n", "not_csv", 32_768),
    ],
    ids=["short", "long", "bytes", "text after a quote", "huge field", "huge line", "open quote"],
)
def test_a_bad_row_is_told_and_reading_goes_on(tmp_path: Path, bad: bytes, code: str, lines: int) -> None:
    first, refused, *rest = read(tmp_path / "f.csv", b"a,b\n0,0\n" + bad + b"8,9\n")

    assert first.fields == {"a": "0", "b": "0"}
    assert refused.fields is None
    assert refused.error is not None
    assert refused.error.code == code
    assert refused.first_line == 3
    assert refused.last_line - refused.first_line + 1 >= lines
    assert rest[-1].fields == {"a": "8", "b": "9"}
    assert rest[0].first_line == refused.last_line + 1


def test_a_quotation_mark_that_is_never_closed_is_one_bad_row_at_the_end(tmp_path: Path) -> None:
    first, refused = read(tmp_path / "f.csv", b'a,b\n1,2\n3,"open\n4,5\n')

    assert first.fields == {"a": "1", "b": "2"}
    assert (refused.first_line, refused.last_line) == (3, 4)
    assert "lines 3 to 4 were read as one" in str(refused.error)


def test_ndjson_is_read_line_by_line(tmp_path: Path) -> None:
    body = b'\xef\xbb\xbf{"a": 1}\r\n\n[1]\n{"a": NaN}\n{"a": "\xff"}\n{"a": {"b": [2]}}\n{"a": ' + b"9" * 5000 + b"}"

    rows = read(tmp_path / "f.jsonl", body)

    assert [(row.first_line, row.fields, row.error and row.error.code) for row in rows] == [
        (1, {"a": 1}, None),
        (3, None, "not_json"),
        (4, None, "not_json"),
        (5, None, "not_text"),
        (6, {"a": {"b": [2]}}, None),
        (7, None, "not_json"),
    ]


@pytest.mark.parametrize(
    ("name", "body", "complaint"),
    [
        ("f.csv", b"", "is empty"),
        ("f.csv", b"\n\n", "is empty"),
        ("f.csv", b"b,c\n1,2\n", "no column a; the file has b, c"),
        ("f.csv", b"a;b\n1;2\n", "no column a; the file has a;b"),
        ("f.csv", b"a,b,b\n", "names b twice"),
        ("f.csv", b"a,caf\xe9\n", "header is not utf-8 text"),
        ("f.csv", b'"a\n', "header cannot be read"),
        ("f.csv", "a,b\n".encode("utf-16"), "--encoding utf-16"),
        ("f.csv", b"PK\x03\x04...", "save it as CSV"),
        ("f.csv.gz", b"\x1f\x8bnot really", "damaged"),
        ("f.csv.gz", gzip.compress(b"a,b\n1,2\n")[:-9], "damaged"),
        ("f.dat", b"a,b\n", "--format"),
    ],
)
def test_what_leaves_nothing_to_read_is_said_in_words(tmp_path: Path, name: str, body: bytes, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        read(tmp_path / name, body)


def test_a_file_that_cannot_be_opened_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="No such file"), opened(tmp_path / "none.csv", a_mapping()):
        pass
    with pytest.raises(InvalidInput, match="No such file"):
        digest_of(tmp_path / "none.csv")


def test_progress_is_counted_in_bytes_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "f.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 50_000))

    with opened(path, a_mapping()) as file:
        assert len(list(file.rows())) == 50_000
        assert file.read_bytes == file.size_bytes == path.stat().st_size


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(max_size=200) | st.text('ab,"\n\r{}[]:1\x00', max_size=60).map(str.encode),
    name=st.sampled_from(["f.csv", "f.ndjson"]),
)
def test_no_bytes_crash_a_reader(tmp_path: Path, body: bytes, name: str) -> None:
    for content in (b"a,b\n" + body, gzip.compress(body)):
        try:
            rows = read(tmp_path / name, content)
        except InvalidInput:
            continue
        assert all((row.fields is None) is (row.error is not None) for row in rows)
