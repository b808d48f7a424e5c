"""How fast somebody may call."""

from hypothesis import given
from hypothesis import strategies as st

from shared.access.token_bucket import Bucket, Pace, is_full, take

PACES = st.builds(Pace, per_second=st.floats(0.1, 1000), burst=st.integers(1, 50))


def calls_let_through(pace: Pace, moments: list[float]) -> list[float]:
    bucket, through = None, []
    for moment in moments:
        bucket, wait_seconds = take(bucket, pace, moment)
        if not wait_seconds:
            through.append(moment)
    return through


def test_a_rested_caller_may_make_a_burst_of_calls_and_no_more() -> None:
    assert len(calls_let_through(Pace(1, 3), [0.0] * 4)) == 3


def test_who_waits_as_long_as_was_said_is_let_through_and_not_before() -> None:
    pace = Pace(4, 1)
    bucket, _ = take(None, pace, 10.0)
    _, wait_seconds = take(bucket, pace, 10.0)

    assert wait_seconds == 0.25
    assert take(bucket, pace, 10.0 + wait_seconds)[1] == 0
    assert take(bucket, pace, 10.0 + wait_seconds * 0.9)[1] > 0


@given(PACES, st.lists(st.floats(0, 100), max_size=200).map(sorted))
def test_no_stretch_of_time_lets_more_through_than_its_pace_and_one_burst(pace: Pace, moments: list[float]) -> None:
    through = calls_let_through(pace, moments)

    for first in range(len(through)):
        for last in range(first, len(through)):
            allowed = pace.burst + (through[last] - through[first]) * pace.per_second
            assert last - first + 1 <= allowed + 1e-6


def test_a_clock_that_goes_back_fills_nothing_and_holds_nobody_up_for_long() -> None:
    pace = Pace(1, 1)
    bucket, _ = take(None, pace, 1000.0)

    bucket, wait_seconds = take(bucket, pace, 0.0)

    assert wait_seconds == 1
    assert take(bucket, pace, 1.0)[1] == 0


def test_a_bucket_that_is_full_again_need_not_be_remembered() -> None:
    assert is_full(Bucket(1, 0), Pace(1, 3), 2.0)
    assert not is_full(Bucket(1, 0), Pace(1, 3), 1.9)
