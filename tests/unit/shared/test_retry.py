"""Waits grow, are capped, and spread."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.retry import RetryPolicy


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 0.2), (2, 0.4), (3, 0.8), (7, 12.8), (8, 15.0), (10_000, 15.0)]
)
def test_without_jitter_the_wait_doubles_up_to_the_cap(failures: int, seconds: float) -> None:
    assert RetryPolicy(jitter=0).delay_seconds(failures, random=0.5) == pytest.approx(seconds)


@given(failures=st.integers(1, 1000), random=st.floats(0, 1))
def test_jitter_only_shortens_and_never_to_nothing(failures: int, random: float) -> None:
    policy = RetryPolicy()

    full = policy.delay_seconds(failures, random=0)

    assert 0.8 * full * 0.999 <= policy.delay_seconds(failures, random=random) <= full
