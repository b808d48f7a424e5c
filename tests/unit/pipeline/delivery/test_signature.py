"""Signatures, held to the independent implementation of Standard Webhooks."""

from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from services.pipeline.delivery.signature import secret_text, signed_headers

OLD, NEW = secret_text(b"o" * 32), secret_text(b"n" * 32)


def test_every_live_secret_verifies_and_no_other() -> None:
    headers = signed_headers("an id", b'{"a":"\xc3\xa9"}', at=datetime.now(UTC), secrets=[NEW, OLD])

    for secret in (OLD, NEW):
        assert Webhook(secret).verify(b'{"a":"\xc3\xa9"}', headers) == {"a": "é"}
    with pytest.raises(WebhookVerificationError):
        Webhook(secret_text(b"x" * 32)).verify(b'{"a":"\xc3\xa9"}', headers)


@pytest.mark.parametrize("part", ["webhook-id", "body"])
def test_a_changed_part_is_noticed(part: str) -> None:
    headers = signed_headers("an id", b"{}", at=datetime.now(UTC), secrets=[NEW])
    changed = {**headers, "webhook-id": "another"} if part == "webhook-id" else headers

    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(b"{ }" if part == "body" else b"{}", changed)


def test_the_timestamp_is_that_of_the_attempt_in_whole_seconds() -> None:
    headers = signed_headers("an id", b"{}", at=datetime.fromtimestamp(1_700_000_000.9, UTC), secrets=[NEW])

    assert headers["webhook-timestamp"] == "1700000000"
