"""Names in bytes that nobody could read: found in each form, and not where another name only contains them."""

from base64 import b64encode, urlsafe_b64encode

import pytest

from shared.sealing.mentions import mentions, pattern_of

BOB = "bob@acme.example"
BODY = b'{"traits": {"email": "bob@acme.example", "plan": "free"}}'


@pytest.mark.parametrize(
    "content",
    [
        b'{"email": "bob@acme.example"',
        b"mail BOB@Acme.Example now",
        b"email=bob%40acme.example&x=1",
        rb'{"email": "bob\u0040acme.example"}',
        rb'{"url": "https:\/\/x\/bob@acme.example"}',
        b'{"body": "' + b64encode(BODY) + b'"}',
        b'{"body": "' + urlsafe_b64encode(b"\xff\xfe" + BODY) + b'"}',
        b"\xff\xfe bob@acme.example.",
    ],
)
def test_a_name_is_found_in_every_form(content: bytes) -> None:
    names = pattern_of([BOB])

    assert names is not None
    assert mentions(content, names)


@pytest.mark.parametrize("content", [b"jimbob@acme.example", b"bob@acme.example.org", b"bob@acme", b"", b"\xff"])
def test_another_name_is_not_taken_for_it(content: bytes) -> None:
    names = pattern_of([BOB])

    assert names is not None
    assert not mentions(content, names)


def test_short_names_are_not_looked_for() -> None:
    assert pattern_of(["42", "u-1"]) is None
