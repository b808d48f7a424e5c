"""Which deeds travel together in one request, and what goes wrong on the way. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random
from typing import Final

from services.demo.diary import Channel, Deed


class Flaw(StrEnum):
    """What is wrong with a whole request."""

    FORGED = "forged"
    """Signed with a key that is not the source's."""
    STALE = "stale"
    """Signed well, an hour ago: somebody replays what he has captured."""
    UNKNOWN_SOURCE = "unknown_source"
    """Sent to a source that does not exist."""
    CUT_SHORT = "cut_short"
    """The connection broke, half of the body came."""


@dataclass(frozen=True, slots=True)
class Post:
    """One request: the deeds that it tells of, and `spoilt` elements among them that nobody could accept."""

    channel: Channel
    at: datetime
    deeds: tuple[Deed, ...]
    spoilt: tuple[bytes, ...] = ()
    flaw: Flaw | None = None
    again: bool = False

    @property
    def size(self) -> int:
        """Elements in it."""
        return len(self.deeds) + len(self.spoilt)


@dataclass(frozen=True, slots=True)
class Batching:
    """How a platform collects: up to `size` elements, for no longer than `window`."""

    size: int
    window: timedelta


_SINGLE: Final = Batching(1, timedelta(0))
_BATCHES: Final[Mapping[Channel, Batching]] = {
    Channel.SITE: Batching(20, timedelta(minutes=20)),
    Channel.MAIL: Batching(60, timedelta(minutes=30)),
    Channel.CRM: Batching(25, timedelta(hours=3)),
    Channel.ENRICHMENT: Batching(20, timedelta(hours=12)),
    Channel.IMPORT: Batching(1000, timedelta(days=14)),
    Channel.WEBINAR: Batching(500, timedelta(hours=1)),
}
_AGAIN_SHARE: Final = 0.04

_NEVER_FORGED: Final = frozenset({Channel.IMPORT, Channel.ENRICHMENT, Channel.WEBINAR})
_FORGED: Final = (
    Channel.SITE,
    Channel.MAIL,
    Channel.FORM,
    Channel.MEETING,
    Channel.CRM,
    Channel.PRODUCT,
    Channel.API,
)
_STALE: Final = (Channel.MAIL, Channel.MEETING, Channel.CRM, Channel.PRODUCT)
_UNKNOWN: Final = (Channel.FORM, Channel.SITE, Channel.PRODUCT)
_CUT_SHORT: Final = (Channel.FORM, Channel.API, Channel.MAIL)

SPOILT_ITEMS: Final = (
    b'{"id":"spoilt-1","type":"page_viewed","lead":{"email":"ann@firm.example"},"points":50}',
    b'{"id":"spoilt-2","type":"Page Viewed","lead":{"email":"ann@firm.example"}}',
    b'{"id":"spoilt-3","type":"page_viewed","lead":{}}',
    b'{"id":"spoilt-4","type":"page_viewed","occurred_at":"yesterday","lead":{"email":"ann@firm.example"}}',
    b'{"id":"spoilt-5","type":"page_viewed","lead":{"email":"not an address"}}',
    b'{"id":"spoilt-6","type":"page_viewed","lead":{"email":"ann@firm.example"},"properties":{"seconds":1e400}}',
    b'{"id":"spoilt-7","type":"score_adjusted","lead":{"email":"ann@firm.example"},"properties":{"points":500}}',
)
SPOILT_LINES: Final = (
    b'{"id":"spoilt-8","type":"contact_created","lead":{"email":"cut.off@fi',
    b'{"id":"spoilt-9","type":"contact_created","lead":{"email":"ann@firm.example"},"attributes":{"name":"\\u0000"}}',
)


def posts_of(deeds: Sequence[Deed], *, seed: int) -> list[Post]:
    """Every request of the story in the order of posting: good ones, some of them twice, and bad ones."""
    random = Random(f"posting/{seed}")
    good = [_with_spoilt_lines(post) for channel in Channel for post in _collected(deeds, channel)]
    again = [_posted_again(post, random) for post in good if random.random() < _AGAIN_SHARE]
    bad = [*_flawed(good, random), _spoilt(deeds, random)]
    end = max(post.at for post in good)
    posts = [replace(post, at=min(post.at, end)) for post in (*good, *again, *bad)]
    return sorted(posts, key=lambda post: post.at)


def _collected(deeds: Iterable[Deed], channel: Channel) -> list[Post]:
    batching = _BATCHES.get(channel, _SINGLE)
    batches: list[list[Deed]] = []
    for deed in deeds:
        if deed.channel is not channel:
            continue
        if batches and _has_room(batches[-1], deed, batching):
            batches[-1].append(deed)
        else:
            batches.append([deed])
    return [Post(channel, batch[-1].told_at, tuple(batch)) for batch in batches]


def _has_room(batch: Sequence[Deed], deed: Deed, batching: Batching) -> bool:
    return len(batch) < batching.size and deed.told_at - batch[0].told_at <= batching.window


def _with_spoilt_lines(post: Post) -> Post:
    return replace(post, spoilt=SPOILT_LINES) if post.channel is Channel.IMPORT else post


def _posted_again(post: Post, random: Random) -> Post:
    """An answer got lost, so the platform sends the same bytes once more, minutes or a day later."""
    return replace(post, at=post.at + timedelta(minutes=random.choice((1, 5, 30, 600, 1500))), again=True)


def _spoilt(deeds: Sequence[Deed], random: Random) -> Post:
    """Somebody writes an integration, and has not read the reference."""
    return Post(Channel.ENRICHMENT, random.choice(deeds).told_at, (), spoilt=SPOILT_ITEMS)


def _flawed(good: Sequence[Post], random: Random) -> list[Post]:
    wanted = {Flaw.FORGED: _FORGED, Flaw.STALE: _STALE, Flaw.UNKNOWN_SOURCE: _UNKNOWN, Flaw.CUT_SHORT: _CUT_SHORT}
    return [
        _with_flaw(random.choice([post for post in good if post.channel is channel]), flaw)
        for flaw, channels in wanted.items()
        for channel in channels
    ]


def _with_flaw(post: Post, flaw: Flaw) -> Post:
    """A forger makes up one deed of his own; everything else goes wrong with what was true."""
    if flaw is not Flaw.FORGED:
        return replace(post, flaw=flaw)
    deed = replace(post.deeds[0], id=post.deeds[0].id[::-1])
    return replace(post, deeds=(deed,), flaw=flaw)
