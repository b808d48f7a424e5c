"""What CloudEvents senders are told that ask before they deliver."""

import pytest

from services.ingest.api.handshake import METHODS, consent

ALLOW = {"Allow": METHODS}


def test_whoever_names_itself_is_allowed_at_the_rate_it_asks_for() -> None:
    headers = {"webhook-request-origin": "eventemitter.example.com", "webhook-request-rate": "120"}

    assert consent(headers) == {
        **ALLOW,
        "WebHook-Allowed-Origin": "eventemitter.example.com",
        "WebHook-Allowed-Rate": "120",
    }


@pytest.mark.parametrize("rate", ["", "0", "-1", "1.5", "many", "9" * 10, "\u0661"])
def test_without_a_rate_that_is_one_any_is_allowed(rate: str) -> None:
    assert consent({"webhook-request-origin": "a.de", "webhook-request-rate": rate})["WebHook-Allowed-Rate"] == "*"


@pytest.mark.parametrize("origin", ["", "*", "a b", "https://a.de", "a.de\r\nX: y", "-a", "é.de", "a" * 300])
def test_nobody_is_allowed_under_a_name_that_is_none(origin: str) -> None:
    assert consent({"webhook-request-origin": origin, "webhook-request-rate": "1"}) == ALLOW


def test_a_callback_alone_is_no_consent() -> None:
    assert consent({"webhook-request-callback": "https://a.de/?yes"}) == ALLOW
