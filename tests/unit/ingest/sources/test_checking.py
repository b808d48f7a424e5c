"""Sources as somebody asks for them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.ingest.sources.checking import SourceRequest, new_source, with_new_secret
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


@pytest.mark.parametrize("seconds", [1, 120, 9 * 3600])
def test_a_source_of_mailgun_may_say_how_old_a_time_stamp_may_be(seconds: int) -> None:
    request = replace(a_request(), kind="mailgun", tolerance_seconds=seconds)

    assert new_source(request, workspace="acme", now=NOON).tolerance_seconds == seconds


@pytest.mark.parametrize(("kind", "seconds"), [("mailgun", 0), ("mailgun", 9 * 3600 + 1), ("segment", 120)])
def test_a_tolerance_beyond_memory_or_where_it_is_fixed_is_refused(kind: str, seconds: int) -> None:
    request = replace(a_request(), kind=kind, tolerance_seconds=seconds)

    with pytest.raises(InvalidInput) as refusal:
        new_source(request, workspace="acme", now=NOON)

    assert refusal.value.field == "tolerance_seconds"
