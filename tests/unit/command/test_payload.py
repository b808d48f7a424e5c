"""Bytes are shown in the most readable form that they have, and never disturb a terminal."""

import pytest

from services.command.payload import one_line, payload_of


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (b'{"a":[1,null]}', "json", '{\n  "a": [\n    1,\n    null\n  ]\n}'),
        ('"Grüße"'.encode(), "json", '"Grüße"'),
        (b"{not json", "text", "{not json"),
        (b"zwei\nZeilen", "text", "zwei\nZeilen"),
        (b"", "text", ""),
        (b"\x1b[2Jgone", "hex", "00000000  1b 5b 32 4a 67 6f 6e 65"),
        (b"\xff" * 17, "hex", "00000000  " + " ".join(["ff"] * 16) + "\n00000010  ff"),
    ],
)
def test_the_form_follows_from_the_bytes(value: bytes, form: str, text: str) -> None:
    payload = payload_of(value)

    assert (payload.form, payload.text) == (form, text)


@pytest.mark.parametrize(
    ("value", "text"), [(b"lead-1", "lead-1"), (b"\x00\x01", "0001"), (b"\xff", "ff"), (b"", "")]
)
def test_a_short_value_is_text_or_hex(value: bytes, text: str) -> None:
    assert one_line(value) == text
