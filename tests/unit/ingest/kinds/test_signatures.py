"""What the signature schemes share."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.kinds import signatures
from services.ingest.kinds.kind import NotVerified
from shared.errors import InvalidInput
from tests.support.webhooks import SENDGRID_PUBLIC_KEY

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize("seconds", [-300, -1, 0, 1, 300])
def test_an_attempt_within_five_minutes_is_fresh(seconds: int) -> None:
    timestamp = str(int((NOW + timedelta(seconds=seconds)).timestamp()))

    signatures.require_fresh(timestamp, NOW)
    signatures.require_fresh(timestamp + "000", NOW, per_second=1000)


@pytest.mark.parametrize("seconds", [-301, 301])
def test_beyond_it_is_refused(seconds: int) -> None:
    with pytest.raises(NotVerified):
        signatures.require_fresh(str(int((NOW + timedelta(seconds=seconds)).timestamp())), NOW)


@pytest.mark.parametrize("timestamp", ["", "hello", "-5", "1e9", "1.5", "٣", " 1", "9" * 16, "9" * 400])
def test_what_is_no_timestamp_is_refused(timestamp: str) -> None:
    with pytest.raises(NotVerified):
        signatures.require_fresh(timestamp, NOW)


def test_any_key_and_any_signature_may_match() -> None:
    right = bytes.fromhex("f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8")
    message = b"The quick brown fox jumps over the lazy dog"

    signatures.require_hmac(message, [b"", right], keys=[b"old", b"key"])
    for given_signatures, keys in (([right], [b"old"]), ([right[:-1]], [b"key"]), ([], [b"key"]), ([right], [])):
        with pytest.raises(NotVerified):
            signatures.require_hmac(message, given_signatures, keys=keys)


def test_base64_has_one_spelling() -> None:
    assert signatures.from_base64("AAE=") == b"\x00\x01"
    for other in ("AAF=", "AAE", " AAE=", "AAE=\n", "AA-_", "é"):
        with pytest.raises(NotVerified):
            signatures.from_base64(other)


@given(st.text())
def test_any_text_is_bytes_or_refused(text: str) -> None:
    for read in (signatures.from_base64, signatures.from_hex):
        with suppress(NotVerified):
            assert isinstance(read(text), bytes)


@pytest.mark.parametrize("secret", ["", "short", "with\nline", "\x00" * 10])
def test_a_secret_that_cannot_be_one_is_refused(secret: str) -> None:
    with pytest.raises(InvalidInput):
        signatures.check_text_secret(secret)


def test_only_a_p_256_public_key_is_a_key_of_sendgrid() -> None:
    signatures.p256_key(SENDGRID_PUBLIC_KEY)
    for other in ("", "AAAA", "not base64", SENDGRID_PUBLIC_KEY[:-8]):
        with pytest.raises(InvalidInput):
            signatures.p256_key(other)
