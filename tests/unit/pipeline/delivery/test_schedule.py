"""When a delivery is tried again."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.pipeline.delivery.schedule import STANDARD, outcome_of, parse_retry_after

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


@given(attempts=st.integers(1, 9), seed=st.integers())
def test_delays_stay_within_a_fifth_of_the_schedule(attempts: int, seed: int) -> None:
    delay = STANDARD.next_delay(attempts, retry_after=None, random=Random(seed))

    assert delay is not None
    assert 0.8 <= delay / STANDARD.delays[attempts - 1] <= 1.2


def test_the_schedule_spans_about_three_days_and_then_ends() -> None:
    assert timedelta(days=3) < sum(STANDARD.delays, timedelta(0)) < timedelta(days=4)
    assert STANDARD.next_delay(10, retry_after=timedelta(1), random=Random(1)) is None


def test_retry_after_lengthens_within_bounds_and_never_shortens() -> None:
    def delay(hours: float) -> timedelta | None:
        return STANDARD.next_delay(2, retry_after=timedelta(hours=hours), random=Random(1))

    assert delay(2) == timedelta(hours=2)
    assert delay(1000) == timedelta(hours=24)
    assert delay(0) == STANDARD.next_delay(2, retry_after=None, random=Random(1))


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "delivered"),
        (204, "delivered"),
        (299, "delivered"),
        (301, "retried"),
        (400, "retried"),
        (410, "disabled"),
    ],
)
def test_an_answer_is_judged_by_its_status(status: int, outcome: str) -> None:
    assert outcome_of(status) == outcome


def test_no_answer_is_tried_again() -> None:
    assert outcome_of(None) == "retried"


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("120", timedelta(seconds=120)),
        ("Mon, 02 Mar 2026 12:01:00 GMT", timedelta(seconds=60)),
        ("Mon, 02 Mar 2026 11:00:00 GMT", timedelta(0)),
        ("9" * 400, timedelta(seconds=10**8)),
        ("soon", None),
        ("-5", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, wait: timedelta | None) -> None:
    assert parse_retry_after(header, NOW) == wait
