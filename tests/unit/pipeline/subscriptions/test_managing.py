"""Rotation of secrets: two live at most, each no longer than it was promised."""

from datetime import UTC, datetime, timedelta

from services.pipeline.subscriptions.managing import rotated
from services.pipeline.subscriptions.repository import Secret

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
FIRST, SECOND, THIRD = (Secret(f"whsec_{name}", NOW) for name in ("first", "second", "third"))


def test_the_old_secret_signs_too_until_it_ends() -> None:
    new, old = rotated([FIRST], SECOND, until=NOW + HOUR)

    assert (new, old.text, old.expires_at) == (SECOND, FIRST.text, NOW + HOUR)


def test_without_an_overlap_the_old_secret_ends_now() -> None:
    assert rotated([FIRST], SECOND, until=NOW) == (SECOND,)


def test_a_second_rotation_ends_the_oldest_secret_and_keeps_two() -> None:
    once = rotated([FIRST], SECOND, until=NOW + HOUR)

    assert [secret.text for secret in rotated(once, THIRD, until=NOW + HOUR)] == [THIRD.text, SECOND.text]


def test_a_later_rotation_never_lengthens_a_life() -> None:
    short = Secret(FIRST.text, NOW, NOW + HOUR)

    assert rotated([short], SECOND, until=NOW + 9 * HOUR)[1].expires_at == NOW + HOUR
