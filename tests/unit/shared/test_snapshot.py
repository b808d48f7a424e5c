"""The copy in memory that requests read."""

import asyncio

import pytest

from shared.db.snapshot import NotLoaded, Snapshot
from shared.errors import DatabaseUnavailable
from tests.support.waiting import wait_until


class Shelf:
    """Something that changes, and sometimes cannot be read."""

    def __init__(self) -> None:
        self.value = 1
        self.away = False
        self.readings = 0

    async def read(self) -> int:
        self.readings += 1
        if self.away:
            raise DatabaseUnavailable("away")
        return self.value


async def test_before_the_first_reading_there_is_nothing() -> None:
    with pytest.raises(NotLoaded):
        Snapshot(Shelf().read, name="things").current()


async def test_a_reading_that_fails_leaves_the_last_value_until_one_succeeds() -> None:
    shelf, stop = Shelf(), asyncio.Event()
    snapshot = Snapshot(shelf.read, name="things", interval_seconds=0.01)
    running = asyncio.create_task(snapshot.run(stop))
    await wait_until(lambda: shelf.readings > 0, "it is read")

    shelf.away, shelf.value = True, 2
    readings = shelf.readings
    await wait_until(lambda: shelf.readings > readings + 2, "it is read again")
    kept = snapshot.current()
    shelf.away = False
    await wait_until(lambda: snapshot.current() == 2, "the new value is seen")
    stop.set()
    await running

    assert kept == 1


async def test_what_is_no_passing_trouble_ends_the_task() -> None:
    async def broken() -> int:
        raise ValueError("for good")

    with pytest.raises(ValueError, match="for good"):
        await Snapshot(broken, name="things").run(asyncio.Event())
