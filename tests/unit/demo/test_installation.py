"""What one run leaves for the next."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.demo.diary import Channel
from services.demo.installation import FILE_NAME, forgers_keys, install, installed, new_secrets
from services.demo.webhooks import SOURCES
from services.ingest.kinds.registry import KINDS
from shared.errors import Misconfigured

NOW = datetime(2026, 11, 20, 12, 0, 30, 123456, tzinfo=UTC)


def test_the_next_run_finds_what_the_first_wrote(tmp_path: Path) -> None:
    first = install(tmp_path, seed=5, now=NOW, api_key="lf_test")

    assert installed(tmp_path) == first
    assert first.until == NOW.replace(microsecond=0)


def test_an_empty_directory_has_no_demo(tmp_path: Path) -> None:
    assert installed(tmp_path) is None


def test_nobody_else_can_read_the_secrets(tmp_path: Path) -> None:
    install(tmp_path, seed=5, now=NOW, api_key="lf_test")

    assert (tmp_path / FILE_NAME).stat().st_mode & 0o077 == 0


def test_a_damaged_file_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text('{"seed": 5')

    with pytest.raises(Misconfigured, match="--fresh"):
        installed(tmp_path)


def test_leadflow_takes_every_secret_for_one_of_its_platform(tmp_path: Path) -> None:
    installation = install(tmp_path, seed=5, now=NOW, api_key="lf_test")

    for channel in SOURCES:
        KINDS[channel.value].check_secret(installation.source_secret(channel))


def test_a_forger_has_none_of_the_keys() -> None:
    secrets, forger = new_secrets(), forgers_keys()

    assert not set(secrets.values()) & set(forger.secrets.values())
    assert forger.secrets.keys() == secrets.keys() == set(SOURCES)
    assert "PRIVATE KEY" in secrets[Channel.MAIL]
