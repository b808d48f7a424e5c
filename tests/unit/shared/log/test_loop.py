"""What counts as progress; the loop itself is tested on a real log, in tests/integration/shared."""

import math
from datetime import UTC, datetime, timedelta

from shared.log.loop import Progress
from shared.log.protocol import Lag, Partition, ReceivedRecord

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

BEHIND = {Partition("engagement-events", 0): Lag(records=3, seconds=90.0)}
LEVEL = {Partition("engagement-events", 0): Lag(records=0, seconds=0.0)}


def a_progress(**fields: object) -> Progress:
    progress = Progress(last_progress=0.0)
    for name, value in fields.items():
        setattr(progress, name, value)
    return progress


def a_record(partition: Partition, published_at: datetime) -> ReceivedRecord:
    return ReceivedRecord(partition, 0, b"", b"", {}, published_at)


def test_a_batch_is_progress_however_much_still_waits() -> None:
    progress = a_progress(lag=BEHIND)

    progress.advance(5)

    assert progress.last_progress > 0
    assert progress.records_handled == 5


def test_an_empty_poll_is_progress_when_nothing_waits() -> None:
    progress = a_progress(lag=LEVEL)

    progress.advance(0)

    assert progress.last_progress > 0


def test_an_empty_poll_is_none_while_records_are_known_to_wait() -> None:
    progress = a_progress(lag=BEHIND)

    progress.advance(0)

    assert progress.last_progress == 0
    assert progress.stalled_seconds() > 0


def test_a_deliberate_pause_is_not_a_stall_and_ends_with_the_next_success() -> None:
    progress = a_progress(lag=BEHIND)

    progress.pause(TimeoutError("log away"))
    assert progress.stalled_seconds() == 0
    progress.advance(1)

    assert (progress.paused, progress.last_error, progress.failures_in_row) == (False, None, 0)


def test_who_is_over_a_pause_has_its_whole_time_again() -> None:
    progress = a_progress(lag=BEHIND, last_progress=-math.inf)

    progress.advance(0)
    before = progress.stuck()
    progress.pause(TimeoutError("log away"))
    progress.advance(0)

    assert before == "no progress for inf s"
    assert (progress.paused, progress.stuck()) == (False, None)


def test_what_is_in_hand_is_lag_that_grows_older_until_it_is_done() -> None:
    partition, other = Partition("engagement-events", 0), Partition("engagement-events", 1)
    progress = a_progress(lag={partition: Lag(records=0, seconds=0.0), other: Lag(records=4, seconds=500.0)})
    progress.in_hand = [a_record(partition, NOON), a_record(partition, NOON + MINUTE), a_record(other, NOON)]

    hanging = progress.lag_at(NOON + 5 * MINUTE)
    progress.advance(3)
    done = progress.lag_at(NOON + 5 * MINUTE)

    assert hanging == {partition: Lag(records=2, seconds=300.0), other: Lag(records=4, seconds=500.0)}
    assert done == progress.lag
