"""Group commit: order kept, one write at a time, and honest about what may still appear."""

import asyncio
from collections.abc import Sequence

import pytest

from shared.errors import LogUnavailable
from shared.log.flusher import Flusher


class Writer:
    """Notes each write, and holds it until the test lets it go."""

    def __init__(self) -> None:
        self.writes: list[list[int]] = []
        self.open = asyncio.Event()
        self.failure: Exception | None = None

    async def write(self, items: Sequence[int]) -> None:
        self.writes.append(list(items))
        await self.open.wait()
        if self.failure is not None:
            raise self.failure


@pytest.fixture
async def writer() -> Writer:
    return Writer()


def flusher_of(writer: Writer, *, max_bytes: int = 100) -> Flusher[int]:
    return Flusher(writer.write, max_bytes=max_bytes)


async def submit(flusher: Flusher[int], *items: int, timeout_seconds: float = 5.0) -> None:
    await flusher.submit(items, size=len(items), timeout_seconds=timeout_seconds)


async def begun(*submissions: "asyncio.Task[None]") -> None:
    for _ in range(10):
        await asyncio.sleep(0)
    assert not any(submission.done() for submission in submissions)


async def test_what_arrives_during_a_write_goes_out_together_in_order(writer: Writer) -> None:
    flusher = flusher_of(writer)
    first = asyncio.create_task(submit(flusher, 1))
    await begun(first)
    others = [asyncio.create_task(submit(flusher, number)) for number in (2, 3, 4)]
    await begun(*others)

    writer.open.set()
    await asyncio.gather(first, *others)

    assert writer.writes == [[1], [2, 3, 4]]


async def test_a_write_holds_no_more_than_its_size_but_always_something(writer: Writer) -> None:
    flusher = flusher_of(writer, max_bytes=3)
    writer.open.set()

    await asyncio.gather(submit(flusher, 1, 2), submit(flusher, 3, 4), submit(flusher, 5), submit(flusher, *range(9)))

    assert writer.writes == [[1, 2], [3, 4, 5], list(range(9))]


async def test_a_failed_write_fails_those_in_it_and_nobody_else(writer: Writer) -> None:
    flusher = flusher_of(writer)
    writer.open.set()
    writer.failure = LogUnavailable("gone", outcome_unknown=True)
    with pytest.raises(LogUnavailable, match="gone"):
        await submit(flusher, 1)

    writer.failure = None
    await submit(flusher, 2)

    assert writer.writes == [[1], [2]]


async def test_items_under_way_may_still_appear_after_the_timeout(writer: Writer) -> None:
    with pytest.raises(LogUnavailable) as refusal:
        await submit(flusher_of(writer), 1, timeout_seconds=0.01)

    assert refusal.value.outcome_unknown


async def test_items_still_waiting_at_the_timeout_never_appear(writer: Writer) -> None:
    flusher = flusher_of(writer)
    first = asyncio.create_task(submit(flusher, 1))
    await begun(first)

    with pytest.raises(LogUnavailable) as refusal:
        await submit(flusher, 2, timeout_seconds=0.01)
    writer.open.set()
    await first
    await submit(flusher, 3)

    assert not refusal.value.outcome_unknown
    assert writer.writes == [[1], [3]]


async def test_a_sender_that_goes_away_disturbs_nobody(writer: Writer) -> None:
    flusher = flusher_of(writer)
    gone, stays = asyncio.create_task(submit(flusher, 1)), asyncio.create_task(submit(flusher, 2))
    await begun(gone, stays)

    gone.cancel()
    writer.open.set()
    await stays

    assert gone.cancelled() or gone.cancelling()


async def test_closing_ends_everybodys_wait(writer: Writer) -> None:
    flusher = flusher_of(writer)
    under_way = asyncio.create_task(submit(flusher, 1))
    await begun(under_way)
    waiting = asyncio.create_task(submit(flusher, 2))
    await begun(waiting)

    await flusher.close()

    with pytest.raises(LogUnavailable) as unknown:
        await under_way
    with pytest.raises(LogUnavailable) as refused:
        await waiting
    assert (unknown.value.outcome_unknown, refused.value.outcome_unknown) == (True, False)
