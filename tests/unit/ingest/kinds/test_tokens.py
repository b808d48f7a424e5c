"""The secret that stands in for a signature, in each place where a platform can be told to send it."""

import base64
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.kinds import tokens
from services.ingest.kinds.kind import Delivery, NotVerified, Secret
from tests.support.deliveries import NOON, a_source

SOURCE = a_source("postmark", "user:pass word+1")


def basic(credentials: str) -> str:
    return "Basic " + base64.b64encode(credentials.encode()).decode()


def delivery(query: str = "", headers: Mapping[str, str] | None = None) -> Delivery:
    return Delivery("POST", headers or {}, b"{}", NOON, query)


GOOD = [
    delivery("token=user:pass+word%2B1"),
    delivery("a=b&secret=user%3Apass%20word%2B1"),
    delivery(headers={"authorization": basic("user:pass word+1")}),
    delivery(headers={"authorization": "Bearer user:pass word+1"}),
    delivery(headers={"x-webhook-secret": "user:pass word+1", "x-real-ip": "10.0.0.1"}),
]
BAD = [
    delivery(),
    delivery("token="),
    delivery("token=user:pass+word%2B"),
    delivery("other=user:pass+word%2B1"),
    delivery("token=%FF"),
    delivery(headers={"authorization": basic("user:another")}),
    delivery(headers={"authorization": "Basic ***"}),
    delivery(headers={"authorization": "Basic"}),
    delivery(headers={"authorization": "user:pass word+1"}),
    delivery(headers={"x-webhook-secret": ""}),
    delivery(headers={"user-agent": "user:pass word+1"}),
]


@pytest.mark.parametrize("good", GOOD)
def test_the_secret_vouches_wherever_it_stands(good: Delivery) -> None:
    tokens.verify(good, SOURCE)


@pytest.mark.parametrize("bad", BAD)
def test_nothing_else_does(bad: Delivery) -> None:
    with pytest.raises(NotVerified):
        tokens.verify(bad, SOURCE)


def test_a_password_is_enough_where_the_secret_is_one() -> None:
    tokens.verify(
        delivery(headers={"authorization": basic("anybody:the password")}), a_source("brevo", "the password")
    )


def test_both_secrets_of_a_rotation_are_taken_and_an_expired_one_is_not() -> None:
    old = Secret("o", "the old one", NOON, expires_at=NOON + timedelta(seconds=1))
    rotating = replace(SOURCE, secrets=(old, Secret("n", "the new one", NOON)))

    for secret in ("the+old+one", "the+new+one"):
        tokens.verify(delivery(f"token={secret}"), rotating)
    with pytest.raises(NotVerified):
        tokens.verify(replace(delivery("token=the+old+one"), received_at=NOON + timedelta(seconds=1)), rotating)


def test_a_secret_may_hold_letters_of_any_language() -> None:
    tokens.verify(delivery("token=gehe%C3%AFm%E9%9B%AA"), a_source("mailchimp", "geheïm雪"))


@given(query=st.text(max_size=40), authorization=st.text(max_size=40))
def test_any_credentials_are_judged(query: str, authorization: str) -> None:
    with pytest.raises(NotVerified):
        tokens.verify(delivery(query, {"authorization": authorization}), SOURCE)
