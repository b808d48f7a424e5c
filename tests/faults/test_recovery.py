"""A recovery is held to the limit of its scenario: it may scale with what was left over, up to a point."""

from tests.faults.lanes import SCENARIOS
from tests.faults.recovery import BUSY_FACTOR, CATCH_UP_PER_SECOND, LONGEST_SECONDS, Recovery, told, too_slow


def test_a_recovery_within_its_limit_on_a_busy_machine_is_none_to_speak_of() -> None:
    assert list(too_slow([Recovery(15.0 * BUSY_FACTOR, behind=0)], 15.0)) == []


def test_a_slow_recovery_is_found_with_what_was_demanded_and_what_it_took() -> None:
    slow = Recovery(31.0, behind=0)

    (found,) = too_slow([Recovery(3.0, behind=0), slow], 15.0)

    assert found == ("recovered in 31.0 s: 15 s are demanded, 0 events behind and a busy machine make it 30.0 s")
    assert list(told([slow], 15.0)) == ["recovered in 31 of 30 s"]


def test_what_is_left_over_is_given_the_time_that_catching_up_takes() -> None:
    behind = 10 * CATCH_UP_PER_SECOND

    assert Recovery(0.0, behind=behind).limit_seconds(15.0) == BUSY_FACTOR * 25.0


def test_no_backlog_may_take_longer_than_the_longest() -> None:
    assert Recovery(0.0, behind=10**6).limit_seconds(15.0) == BUSY_FACTOR * LONGEST_SECONDS


def test_a_scenario_that_never_recovered_is_found() -> None:
    assert list(too_slow([], 15.0)) == ["did not recover, 15 s are demanded"]


def test_every_scenario_demands_what_the_harness_waits_for() -> None:
    assert all(0 < entry.recovery_seconds <= LONGEST_SECONDS for entry in SCENARIOS.values())
