"""What `leadflow tail` needs before it asks anybody."""

import pytest

from services.command.tail.command import tail
from shared.errors import Misconfigured


@pytest.mark.parametrize(
    ("key", "words"),
    [
        pytest.param(None, "LEADFLOW_KEY is not set", id="no key"),
        pytest.param("", "LEADFLOW_KEY is not set", id="an empty key, as a command that failed leaves it"),
        pytest.param("\n", "LEADFLOW_KEY is not set", id="an empty line"),
        pytest.param("lf_live_1\nlf_live_2", "LEADFLOW_KEY is no key", id="two keys"),
        pytest.param("schlüssel", "LEADFLOW_KEY is no key", id="letters that no header takes"),
    ],
)
def test_nobody_is_asked_without_a_key(key: str | None, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEADFLOW_KEY", raising=False)
    if key is not None:
        monkeypatch.setenv("LEADFLOW_KEY", key)

    with pytest.raises(Misconfigured, match=words):
        tail()
