"""What counts as progress; the loop itself is tested on a real log, in tests/integration/shared."""

from shared.log.loop import Progress
from shared.log.protocol import Lag, Partition

BEHIND = {Partition("engagement-events", 0): Lag(records=3, seconds=90.0)}
LEVEL = {Partition("engagement-events", 0): Lag(records=0, seconds=0.0)}


def a_progress(**fields: object) -> Progress:
    progress = Progress(last_progress=0.0)
    for name, value in fields.items():
        setattr(progress, name, value)
    return progress


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
