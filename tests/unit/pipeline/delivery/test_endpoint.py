"""When a receiver as a whole is left alone, and when nothing is sent to it any more."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.pipeline.delivery.endpoint import EndpointPolicy, Failing, Miss

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
POLICY = EndpointPolicy(jitter=0)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def a_failing(
    failures: int = 1, pauses: int = 0, *, since: datetime = NOW, resume_at: datetime | None = None
) -> Failing:
    return Failing(since, failures, pauses, resume_at)


def a_miss(
    status: int | None = 500,
    *,
    timed_out: bool = False,
    retry_after: timedelta | None = None,
    began_at: datetime = NOW,
) -> Miss:
    return Miss(began_at, status, timed_out, retry_after)


def pause(failing: Failing, miss: Miss, policy: EndpointPolicy = POLICY) -> timedelta | None:
    return policy.pause(failing, miss, random=Random(1))


@pytest.mark.parametrize("status", [429, 502, 504])
def test_who_is_overloaded_is_left_alone_for_a_minute_at_once(status: int) -> None:
    assert pause(a_failing(), a_miss(status)) == MINUTE


def test_who_lets_attempts_time_out_counts_as_overloaded() -> None:
    assert pause(a_failing(), a_miss(None, timed_out=True)) == MINUTE


@pytest.mark.parametrize("status", [None, 301, 400, 401, 404, 500, 503])
def test_any_other_failure_pauses_only_after_ten_in_a_row(status: int | None) -> None:
    assert pause(a_failing(9), a_miss(status)) is None
    assert pause(a_failing(10), a_miss(status)) == timedelta(seconds=5)


def test_pauses_double_up_to_a_quarter_of_an_hour() -> None:
    lengths = [pause(a_failing(10 + number, number), a_miss()) for number in range(40)]

    seconds = [length.total_seconds() for length in lengths if length is not None]
    assert seconds[:9] == [5, 10, 20, 40, 80, 160, 320, 640, 900]
    assert set(seconds[9:]) == {900}


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_a_pause_for_the_whole_receiver(status: int) -> None:
    assert pause(a_failing(), a_miss(status, retry_after=2 * HOUR)) == 2 * HOUR
    assert pause(a_failing(), a_miss(status, retry_after=1000 * HOUR)) == 24 * HOUR


def test_retry_after_means_nothing_with_another_status() -> None:
    assert pause(a_failing(), a_miss(500, retry_after=2 * HOUR)) is None


def test_what_was_in_the_air_together_is_one_pause() -> None:
    paused = a_failing(10, 1, resume_at=NOW + MINUTE)

    assert pause(paused, a_miss(began_at=NOW)) is None
    assert pause(paused, a_miss(429, began_at=NOW)) is None
    assert pause(paused, a_miss(429, began_at=NOW, retry_after=HOUR)) == HOUR
    assert pause(paused, a_miss(began_at=NOW + MINUTE)) == timedelta(seconds=10)


@given(seed=st.integers(), pauses=st.integers(0, 10_000))
def test_jitter_takes_or_adds_a_fifth_at_most(seed: int, pauses: int) -> None:
    found = EndpointPolicy().pause(a_failing(10, pauses), a_miss(), random=Random(seed))
    planned = pause(a_failing(10, pauses), a_miss())

    assert found is not None
    assert planned is not None
    assert 0.8 <= found / planned <= 1.2


def test_gone_disables_at_once_and_failing_after_five_days_without_success() -> None:
    day = timedelta(days=1)

    assert POLICY.disables(a_failing(), a_miss(410), now=NOW) == "gone"
    assert POLICY.disables(a_failing(10_000), a_miss(500), now=NOW + 5 * day - MINUTE) is None
    assert POLICY.disables(a_failing(2), a_miss(500), now=NOW + 5 * day) == "failing"
