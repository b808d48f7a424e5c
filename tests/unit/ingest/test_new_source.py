"""Sources as somebody asks for them."""

from datetime import UTC, datetime, timedelta

import pytest

from services.ingest.new_source import SourceRequest, new_source, with_new_secret
from shared.errors import InvalidInput

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def a_request(*secrets: str) -> SourceRequest:
    return SourceRequest(id="web", kind="segment", secrets=secrets or ("the first",))


def test_secrets_are_taken_without_what_copying_adds() -> None:
    source = new_source(a_request(" the first \n"), workspace="acme", now=NOON)

    assert source.live_secrets(NOON) == ("the first",)
    assert source.workspace == "acme"
    assert "the first" not in repr(source)


def test_an_exchange_keeps_the_old_secret_for_a_while() -> None:
    first = new_source(a_request(), workspace="acme", now=NOON)

    second = with_new_secret(first, "the second", now=NOON + DAY, keep_old=DAY)

    assert second.live_secrets(NOON + DAY) == ("the second", "the first")
    assert second.live_secrets(NOON + 2 * DAY) == ("the second",)


def test_an_exchange_during_another_ends_that_one() -> None:
    first = new_source(a_request(), workspace="acme", now=NOON)
    second = with_new_secret(first, "the second", now=NOON + DAY, keep_old=DAY)

    third = with_new_secret(second, "the third", now=NOON + DAY + DAY / 2, keep_old=DAY)

    assert third.live_secrets(NOON + DAY + DAY / 2) == ("the third", "the second")


@pytest.mark.parametrize("secrets", [("",), ("one secret", "two secrets", "three secrets")])
def test_one_secret_or_two_are_needed(secrets: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInput):
        new_source(a_request(*secrets), workspace="acme", now=NOON)
