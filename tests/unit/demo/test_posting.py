"""Which deeds travel together, and what goes wrong."""

from collections import Counter
from itertools import pairwise

from services.demo.diary import Channel
from services.demo.posting import SPOILT_ITEMS, SPOILT_LINES, Flaw, posts_of
from tests.unit.demo.stories import SEED, the_posts, the_story


def test_the_same_story_is_always_posted_alike() -> None:
    assert posts_of(the_story(), seed=SEED) == the_posts()


def test_every_deed_is_posted_once_in_good_order() -> None:
    good = [deed.id for post in the_posts() if post.flaw is None and not post.again for deed in post.deeds]

    assert Counter(good) == Counter(deed.id for deed in the_story())


def test_posts_come_in_the_order_of_time_and_never_before_their_deeds() -> None:
    assert all(one.at <= other.at for one, other in pairwise(the_posts()))
    good = [post for post in the_posts() if post.flaw is None and not post.again and post.deeds]
    assert all(post.at == max(deed.told_at for deed in post.deeds) for post in good)


def test_a_batch_is_no_larger_than_its_platform_makes_it() -> None:
    largest = {channel: max(post.size for post in the_posts() if post.channel is channel) for channel in Channel}

    assert largest[Channel.MAIL] <= 60
    assert largest[Channel.CRM] <= 25
    assert largest[Channel.IMPORT] <= 1000
    for single in (Channel.FORM, Channel.MEETING, Channel.PRODUCT, Channel.API):
        assert largest[single] == 1


def test_some_posts_come_twice_with_the_same_deeds() -> None:
    again = [post for post in the_posts() if post.again]
    good = [(post.channel, post.deeds) for post in the_posts() if post.flaw is None and not post.again]

    assert len(again) > len(the_posts()) / 50
    assert all((post.channel, post.deeds) in good for post in again)


def test_every_flaw_occurs_and_forgers_speak_for_nobody() -> None:
    flaws = Counter(post.flaw for post in the_posts() if post.flaw)
    told = {deed.id for deed in the_story()}

    assert flaws == {Flaw.FORGED: 7, Flaw.STALE: 4, Flaw.UNKNOWN_SOURCE: 3, Flaw.CUT_SHORT: 3}
    assert not any(deed.id in told for post in the_posts() if post.flaw is Flaw.FORGED for deed in post.deeds)


def test_the_spoilt_elements_are_all_there() -> None:
    spoilt = [element for post in the_posts() if not post.again for element in post.spoilt]

    assert Counter(spoilt) == Counter((*SPOILT_ITEMS, *SPOILT_LINES))
