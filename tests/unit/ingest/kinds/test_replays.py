"""What is remembered of signatures that do not cover the event."""

from datetime import timedelta

from services.ingest.kinds.replays import Replays
from tests.support.deliveries import NOON

HOUR = timedelta(hours=1)


def test_a_key_belongs_to_the_content_it_came_with() -> None:
    seen = Replays(HOUR)

    assert seen.admits("key", "content", NOON)
    assert seen.admits("key", "content", NOON + HOUR)
    assert not seen.admits("key", "another", NOON + HOUR)
    assert seen.admits("another key", "another", NOON + HOUR)


def test_what_is_older_than_the_memory_is_forgotten() -> None:
    seen = Replays(HOUR)
    seen.admits("key", "content", NOON)

    assert seen.admits("key", "another", NOON + HOUR + timedelta(seconds=1))


def test_beyond_the_most_the_oldest_is_forgotten() -> None:
    seen = Replays(HOUR, most=2)
    for key in ("1", "2", "3"):
        seen.admits(key, "content", NOON)

    assert not seen.admits("3", "another", NOON)
    assert not seen.admits("2", "another", NOON)
    assert seen.admits("1", "another", NOON)
