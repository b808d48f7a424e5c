"""One demo per directory, and nothing else is ever emptied."""

from pathlib import Path

import pytest

from services.demo.data_directory import empty, occupied
from services.demo.installation import FILE_NAME
from shared.errors import Misconfigured


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_second_demo_in_the_same_directory_is_refused(tmp_path: Path) -> None:
    with occupied(tmp_path), pytest.raises(Misconfigured, match="another demo"), occupied(tmp_path):
        pass


def test_the_directory_is_free_again_afterwards(tmp_path: Path) -> None:
    with occupied(tmp_path / "new"):
        pass
    with occupied(tmp_path / "new"):
        assert (tmp_path / "new").is_dir()


async def test_a_demo_is_emptied(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("{}")
    (tmp_path / "postgresql").mkdir()
    (tmp_path / "postgresql" / "PG_VERSION").write_text("18")

    with occupied(tmp_path):
        await empty(tmp_path)

    assert names_in(tmp_path) == ["demo.lock"]


async def test_a_directory_that_holds_no_demo_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")

    with occupied(tmp_path), pytest.raises(Misconfigured, match="holds no demo"):
        await empty(tmp_path)

    assert (tmp_path / "thesis.tex").exists()


async def test_an_empty_directory_may_be_emptied(tmp_path: Path) -> None:
    with occupied(tmp_path):
        await empty(tmp_path)
