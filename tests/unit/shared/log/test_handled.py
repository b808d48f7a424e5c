"""When the books of a topic balance, and what tells that they do not."""

import pytest

from shared.log.handled import Page, balance
from shared.log.protocol import Extent, GroupState, Lag, Partition

TOPIC = "engagement-events"
ZERO = Partition(TOPIC, 0)
ONE = Partition(TOPIC, 1)


def extents(*ends: int, first: int = 0) -> dict[Partition, Extent]:
    return {Partition(TOPIC, number): Extent(first, end) for number, end in enumerate(ends)}


def behind(*records: int) -> GroupState:
    return GroupState(1, {Partition(TOPIC, number): Lag(count, 0.0) for number, count in enumerate(records)})


def test_what_waits_is_in_flight() -> None:
    pages = {ZERO: Page(first=0, next=7, counted=4, repeated=2, dead=1)}

    found = balance(extents(10), behind(3), pages, extents(10))

    assert (found.accepted, found.counted, found.repeated, found.dead, found.in_flight) == (10, 4, 2, 1, 3)
    assert found.difference == 0


def test_partitions_add_up() -> None:
    pages = {ZERO: Page(0, 5, 5, 0, 0), ONE: Page(0, 3, 1, 2, 0)}

    found = balance(extents(5, 4), behind(0, 1), pages, extents(5, 4))

    assert (found.accepted, found.in_flight, found.difference) == (9, 1, 0)


@pytest.mark.parametrize(
    ("lag", "page", "end_after"),
    [
        (5, Page(0, 10, 10, 0, 0), 10),
        (5, Page(0, 5, 5, 0, 0), 25),
        (0, Page(0, 18, 18, 0, 0), 20),
        (7, Page(0, 3, 3, 0, 0), 10),
    ],
    ids=["handled, not yet committed", "more came meanwhile", "came and was handled meanwhile", "committed before"],
)
def test_what_happens_between_the_looks_is_no_difference(lag: int, page: Page, end_after: int) -> None:
    assert balance(extents(10), behind(lag), {ZERO: page}, extents(end_after)).difference == 0


def test_a_record_that_was_passed_over_is_missed() -> None:
    # Offsets 0 to 9 were read, but one of them was never seen.
    assert balance(extents(10), behind(0), {ZERO: Page(0, 10, 9, 0, 0)}, extents(10)).difference == 1


def test_offsets_that_somebody_put_forward_are_missed() -> None:
    assert balance(extents(10), behind(0), {ZERO: Page(0, 6, 6, 0, 0)}, extents(10)).difference == 4


def test_a_log_from_an_earlier_moment_than_postgresql_is_told() -> None:
    assert balance(extents(4), behind(0), {ZERO: Page(0, 10, 10, 0, 0)}, extents(4)).difference == -6


def test_books_that_are_not_begun_start_at_what_was_committed_before_them() -> None:
    found = balance(extents(10, first=2), behind(3), {}, extents(10, first=2))

    assert (found.accepted, found.in_flight, found.difference) == (3, 3, 0)
