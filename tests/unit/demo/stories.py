"""One story for all tests of the demo: telling it takes a moment."""

from datetime import UTC, datetime
from functools import cache

from services.demo.diary import Deed
from services.demo.posting import Post, posts_of
from services.demo.story import story_of

UNTIL = datetime(2026, 11, 20, 15, 30, tzinfo=UTC)
SEED = 17


@cache
def the_story() -> list[Deed]:
    return story_of(SEED, UNTIL)


@cache
def the_posts() -> list[Post]:
    return posts_of(the_story(), seed=SEED)
