"""A dead letter goes back once, whatever happens on the way."""

import asyncio
from datetime import UTC, datetime

import pytest

from shared.db.engine import Database
from shared.errors import LogUnavailable, Refused
from shared.log.dead_letter import StoredLetter, stored_letter
from shared.log.embedded import EmbeddedLog
from shared.log.letter_replays import replay, replays_of
from shared.log.protocol import Partition, ReceivedRecord, Record
from tests.support.waiting import wait_until

pytestmark = pytest.mark.postgres

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Log(EmbeddedLog):
    """The embedded log of a server that has trouble: what it is asked to publish, and what it answers."""

    def __init__(self, database: Database, error: LogUnavailable | None = None) -> None:
        super().__init__(database)
        self.error = error
        self.published: list[Record] = []

    async def publish(self, topic: str, records: object) -> None:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        assert isinstance(records, list)
        self.published += records


def a_letter() -> StoredLetter:
    headers = {
        "dead-letter-topic": b"engagement-events",
        "dead-letter-partition": b"3",
        "dead-letter-offset": b"41",
        "dead-letter-published-at": NOW.isoformat().encode(),
    }
    return stored_letter(ReceivedRecord(Partition("engagement-events-dlq", 0), 0, b"k", b"v", headers, NOW))


async def state_of(database: Database, letter: StoredLetter) -> str | None:
    assert letter.origin is not None
    found = await replays_of(database, [letter.origin])
    return found[letter.origin].state if letter.origin in found else None


async def test_of_several_people_at_once_one_sends_it(database: Database) -> None:
    log, letter = Log(database), a_letter()

    outcomes = await asyncio.gather(
        *(replay(database, log, letter, now=NOW) for _ in range(5)), return_exceptions=True
    )

    assert outcomes.count("engagement-events") == 1
    assert [type(outcome) for outcome in outcomes if outcome != "engagement-events"] == [Refused] * 4
    assert log.published == [Record(b"k", b"v")]
    assert await state_of(database, letter) == "done"


@pytest.mark.parametrize(("outcome_unknown", "state"), [(True, "begun"), (False, None)])
async def test_what_the_log_did_not_confirm_is_remembered_only_if_it_may_have_gone(
    database: Database, outcome_unknown: bool, state: str | None
) -> None:
    letter = a_letter()

    with pytest.raises(LogUnavailable):
        await replay(database, Log(database, LogUnavailable("x", outcome_unknown=outcome_unknown)), letter, now=NOW)

    assert await state_of(database, letter) == state


async def test_a_process_that_ends_on_the_way_leaves_it_begun_and_only_asking_sends_it_again(
    database: Database,
) -> None:
    letter, log = a_letter(), Log(database)
    interrupted = Log(database)
    interrupted.publish = _never  # type: ignore[method-assign]
    task = asyncio.create_task(replay(database, interrupted, letter, now=NOW))
    await _begun(database, letter)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    with pytest.raises(Refused):
        await replay(database, log, letter, now=NOW)
    await replay(database, log, letter, now=NOW, again=True)

    assert len(log.published) == 1
    assert await state_of(database, letter) == "done"


async def _never(topic: str, records: object) -> None:
    await asyncio.Event().wait()


async def _begun(database: Database, letter: StoredLetter) -> None:
    async def is_begun() -> bool:
        return await state_of(database, letter) == "begun"

    await wait_until(is_begun, "the letter is claimed")
