"""Posts the story over HTTP, several requests at once, and keeps account of what became of each element."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import httpx

from services.demo.posting import Post
from services.demo.webhooks import SigningKeys, request_of
from shared.clock import Clock
from shared.errors import TransientError

_AT_ONCE: Final = 12
_ATTEMPTS: Final = 20
_UNAVAILABLE: Final = 503


@dataclass(slots=True)
class Tally:
    """What was sent and what leadflow said of it, in elements.

    `uncertain` elements were in attempts after which nobody knew whether they counted; they were sent again.
    """

    requests: int = 0
    sent: int = 0
    accepted: int = 0
    ignored: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    let_in: int = 0
    retries: int = 0
    uncertain: int = 0

    @property
    def published(self) -> int:
        """Elements that leadflow promised to count."""
        return self.accepted + self.ignored


@dataclass(frozen=True, slots=True)
class Stage:
    """With what the story is played."""

    client: httpx.AsyncClient
    keys: SigningKeys
    forger: SigningKeys
    clock: Clock
    told: Callable[[Post, Tally], None]
    """Called after each post, for those who watch."""
    pause_seconds: float = 2.0
    """Between attempts while leadflow is unavailable: what it asks for in Retry-After."""


async def play(posts: Sequence[Post], stage: Stage) -> Tally:
    """Post everything in order, `_AT_ONCE` at a time. Raises TransientError when leadflow stays away."""
    tally = Tally()
    waiting = _in_turn(posts)
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(_post_all(waiting, stage, tally))
    except* TransientError as errors:
        raise errors.exceptions[0] from None
    return tally


@dataclass(frozen=True, slots=True)
class _Turn:
    """A post, what it must wait for, and what waits for it: posts about one person go one after the other."""

    post: Post
    after: tuple[asyncio.Event, ...]
    done: asyncio.Event


def _in_turn(posts: Iterable[Post]) -> Iterator[_Turn]:
    """The posts in order; whoever takes one must take it to its end, or those after it wait for ever."""
    latest: dict[int, asyncio.Event] = {}
    for post in posts:
        people = {deed.person.number for deed in post.deeds}
        turn = _Turn(post, tuple({latest[person] for person in people if person in latest}), asyncio.Event())
        latest |= dict.fromkeys(people, turn.done)
        yield turn


async def _post_all(waiting: Iterator[_Turn], stage: Stage, tally: Tally) -> None:
    for turn in waiting:
        for earlier in turn.after:
            await earlier.wait()
        response = await _posted(turn.post, stage, tally)
        turn.done.set()
        _account(turn.post, response, tally)
        stage.told(turn.post, tally)


async def _posted(post: Post, stage: Stage, tally: Tally) -> httpx.Response:
    """The final answer to a post: while leadflow is unavailable the same bytes are sent again."""
    for _ in range(_ATTEMPTS):
        request = request_of(post, keys=stage.keys, forger=stage.forger, now=stage.clock.now())
        try:
            response = await stage.client.post(request.path, headers=dict(request.headers), content=request.body)
        except httpx.TransportError:
            tally.uncertain += post.size
        else:
            if response.status_code != _UNAVAILABLE:
                return response
            tally.uncertain += post.size if response.json().get("code") == "outcome_unknown" else 0
        tally.retries += 1
        await asyncio.sleep(stage.pause_seconds)
    raise TransientError("leadflow does not take events: see its log above")


def _account(post: Post, response: httpx.Response, tally: Tally) -> None:
    tally.requests += 1
    tally.sent += post.size
    answer = response.json()
    if "items" not in answer:
        tally.refused[_reason(response.status_code, str(answer.get("code")))] += post.size
        return
    for item in answer["items"]:
        _account_item(post, item["status"], item["error"], tally)


def _account_item(post: Post, status: str, error: dict[str, str] | None, tally: Tally) -> None:
    match status:
        case "accepted":
            tally.accepted += 1
        case "ignored":
            tally.ignored += 1
        case "parked":
            tally.refused["a type nobody has mapped (parked)"] += 1
        case _:
            tally.refused[f"invalid item: {error['code'] if error else 'no reason given'}"] += 1
    if post.flaw is not None and status in {"accepted", "ignored"}:
        tally.let_in += 1


def _reason(status: int, code: str) -> str:
    if status == httpx.codes.UNAUTHORIZED:
        return "not verified: forged, stale, unknown source or key (401)"
    return f"the whole request: {code} ({status})"
