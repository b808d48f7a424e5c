"""Where settings come from: the environment first, then a directory of files."""

from pathlib import Path

import pytest

from shared.errors import Misconfigured
from shared.settings import Settings


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LEADFLOW_SECRETS_DIR", str(tmp_path))
    monkeypatch.delenv("LEADFLOW_DATABASE_URL", raising=False)
    return tmp_path


def test_a_file_named_like_a_variable_sets_it(directory: Path) -> None:
    (directory / "LEADFLOW_DATABASE_URL").write_text("postgresql://leadflow:secret@host/leadflow\n")

    found = Settings().database_url

    assert found is not None
    assert found.get_secret_value() == "postgresql://leadflow:secret@host/leadflow"


def test_files_may_be_links_as_kubernetes_lays_them(directory: Path) -> None:
    (directory / "..2026").mkdir()
    (directory / "..2026" / "LEADFLOW_KAFKA_USERNAME").write_text("leadflow")
    (directory / "..data").symlink_to("..2026")
    (directory / "LEADFLOW_KAFKA_USERNAME").symlink_to("..data/LEADFLOW_KAFKA_USERNAME")

    assert Settings().kafka_username == "leadflow"


def test_a_variable_goes_before_its_file(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory / "LEADFLOW_KAFKA_USERNAME").write_text("of the file")
    monkeypatch.setenv("LEADFLOW_KAFKA_USERNAME", "of the environment")

    assert Settings().kafka_username == "of the environment"


def test_a_directory_that_is_not_there_is_said(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADFLOW_SECRETS_DIR", str(directory / "elsewhere"))

    with pytest.raises(Misconfigured, match="elsewhere is no directory"):
        Settings()


def test_a_file_with_a_wrong_value_is_named_like_its_variable(directory: Path) -> None:
    (directory / "LEADFLOW_PORT").write_text("public")

    with pytest.raises(Misconfigured, match="LEADFLOW_PORT"):
        Settings()
