"""Durations as authors write them, and expiry by whole days."""

import pytest

from shared.documents.durations import DAY_US, HOUR_US, SECOND_US, duration_us, expiry_us, whole_days
from shared.events.curve import microseconds, moment
from shared.events.json import Json
from tests.support.builders import at


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", 90 * SECOND_US),
        ("5m", 300 * SECOND_US),
        ("12h", 12 * HOUR_US),
        ("14d", 14 * DAY_US),
        ("4w", 28 * DAY_US),
    ],
)
def test_a_duration_is_an_integer_and_a_unit(text: str, expected: int) -> None:
    assert duration_us(text) == expected


@pytest.mark.parametrize(
    "text", ["", "d", "0d", "-1d", "1.5d", "1 d", "1D", "1y", "07d", "1d1h", "٣d", "1d\n", 14, None, "36526d"]
)
def test_anything_else_is_no_duration(text: Json) -> None:
    with pytest.raises(ValueError, match="must be"):
        duration_us(text)


def test_expiry_takes_days_and_weeks_only() -> None:
    assert (whole_days("90d"), whole_days("4w")) == (90, 28)
    with pytest.raises(ValueError, match="whole days"):
        whole_days("24h")


@pytest.mark.parametrize("happened", ["2026-03-02T00:00", "2026-03-02T23:59"])
def test_an_occurrence_expires_at_the_start_of_the_day_n_days_after_its_own_ended(happened: str) -> None:
    assert moment(expiry_us(microseconds(at(happened)), 1)) == at("2026-03-04T00:00")
