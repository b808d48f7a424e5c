"""Waits with an end: as `asyncio.timeout` has it, with one timer for all of them."""

import asyncio

import pytest

from shared.deadlines import within

SOON = 0.01
LATER = 60.0


async def wait_for(event: asyncio.Event, seconds: float) -> str:
    with within(seconds):
        await event.wait()
    return "through"


async def test_what_is_through_in_time_goes_on_as_if_nothing_had_been() -> None:
    event = asyncio.Event()
    waiting = asyncio.create_task(wait_for(event, LATER))
    await asyncio.sleep(0)

    event.set()

    assert await waiting == "through"


async def test_what_is_late_is_told_so() -> None:
    with pytest.raises(TimeoutError):
        await wait_for(asyncio.Event(), SOON)


async def test_each_of_many_is_late_in_its_own_time() -> None:
    event = asyncio.Event()
    patient = asyncio.create_task(wait_for(event, LATER))
    hurried = [asyncio.create_task(wait_for(event, SOON * number)) for number in (3, 1, 2)]

    ends = await asyncio.gather(*hurried, return_exceptions=True)
    event.set()

    assert [type(end) for end in ends] == [TimeoutError] * 3
    assert await patient == "through"


async def test_the_inner_of_two_ends_alone() -> None:
    with within(LATER):
        with pytest.raises(TimeoutError):
            await wait_for(asyncio.Event(), SOON)
        await asyncio.sleep(0)


async def test_an_error_of_the_block_goes_through() -> None:
    with pytest.raises(KeyError), within(LATER):
        raise KeyError


async def test_who_is_cancelled_from_outside_is_cancelled_and_not_late() -> None:
    waiting = asyncio.create_task(wait_for(asyncio.Event(), LATER))
    await asyncio.sleep(0)

    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_who_was_late_can_wait_again() -> None:
    event = asyncio.Event()
    with pytest.raises(TimeoutError):
        await wait_for(event, SOON)
    asyncio.get_running_loop().call_soon(event.set)

    assert await wait_for(event, LATER) == "through"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_new_loop_begins_anew() -> None:
    await asyncio.to_thread(lambda: asyncio.run(wait_briefly()))

    with pytest.raises(TimeoutError):
        await wait_for(asyncio.Event(), SOON)


async def wait_briefly() -> None:
    with within(LATER):
        await asyncio.sleep(0)
