"""The position of an import: kept wholly or not at all, one per import, held by one process."""

from pathlib import Path

import pytest

from services.ingest.importing.position import Position, PositionFile
from shared.errors import Misconfigured

SOMEWHERE = Position(rows=9, accepted=7, repeated=1, without_event=0, refused={"ragged_row": 1}, refused_bytes=80)


def test_a_position_is_found_again_and_forgotten(tmp_path: Path) -> None:
    file = PositionFile.of(tmp_path, "file", "mapping")
    file.save(SOMEWHERE)

    assert PositionFile.of(tmp_path, "file", "mapping").load() == SOMEWHERE
    file.forget()
    file.forget()
    assert file.load() is None


def test_another_file_mapping_or_installation_has_a_position_of_its_own(tmp_path: Path) -> None:
    PositionFile.of(tmp_path, "file", "mapping").save(SOMEWHERE)

    assert PositionFile.of(tmp_path, "file", "other").load() is None


@pytest.mark.parametrize("content", ["", "{", '{"rows": -1}', "[]"])
def test_a_damaged_position_says_what_to_do(tmp_path: Path, content: str) -> None:
    file = PositionFile.of(tmp_path, "file")
    file.path.write_text(content)

    with pytest.raises(Misconfigured, match="--restart"):
        file.load()


def test_one_import_of_a_file_at_a_time(tmp_path: Path) -> None:
    file = PositionFile.of(tmp_path / "new" / "directory", "file")

    with file.held(), pytest.raises(Misconfigured, match="being imported already"), file.held():
        pass
    with file.held():
        pass


def test_a_directory_that_cannot_be_made_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")

    with pytest.raises(Misconfigured, match="cannot be written"), PositionFile.of(tmp_path / "data", "x").held():
        pass
