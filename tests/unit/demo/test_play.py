"""Posting, with an account of every element; leadflow's part is played by canned answers."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace

import httpx
import pytest

from services.demo.bodies import body_of
from services.demo.diary import Channel
from services.demo.installation import forgers_keys, new_secrets
from services.demo.play import Stage, Tally, play
from services.demo.posting import Flaw, Post
from services.demo.webhooks import SigningKeys
from shared.clock import SystemClock
from tests.unit.demo.stories import the_posts

Answer = Callable[[httpx.Request], httpx.Response] | Callable[[httpx.Request], Coroutine[None, None, httpx.Response]]


def a_post(size: int = 1, *, flaw: Flaw | None = None) -> Post:
    post = next(post for post in the_posts() if post.channel is Channel.MAIL and post.size > size)
    return replace(post, deeds=post.deeds[:size], flaw=flaw)


def an_item(status: str, code: str | None = None) -> dict[str, object]:
    error = {"code": code, "field": None, "message": ""} if code else None
    return {"index": 0, "id": None, "status": status, "error": error}


def items(*given: dict[str, object], status: int = 202) -> httpx.Response:
    return httpx.Response(status, json={"items": list(given)})


def unavailable(code: str) -> httpx.Response:
    return httpx.Response(503, json={"code": code})


async def played(answer: Answer, *posts: Post) -> Tally:
    keys = SigningKeys(new_secrets(), "lf_test")
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://leadflow") as client:
        stage = Stage(client, keys, forgers_keys(), SystemClock(), lambda _post, _tally: None, pause_seconds=0)
        return await play(posts, stage)


async def test_every_element_ends_as_accepted_or_refused() -> None:
    answers = [
        an_item("accepted"),
        an_item("ignored"),
        an_item("parked", "unknown_type"),
        an_item("refused", "missing"),
    ]

    tally = await played(lambda _request: items(*answers), a_post(4))

    assert (tally.requests, tally.sent, tally.accepted, tally.ignored, tally.published) == (1, 4, 1, 1, 2)
    assert tally.refused == {"a type nobody has mapped (parked)": 1, "invalid item: missing": 1}
    assert tally.sent == tally.published + tally.refused.total()


async def test_a_request_refused_as_a_whole_counts_with_all_its_elements() -> None:
    tally = await played(
        lambda _request: httpx.Response(401, json={"code": "unauthenticated"}), a_post(3, flaw=Flaw.FORGED)
    )

    assert (tally.sent, tally.refused.total(), tally.published, tally.let_in) == (3, 3, 0, 0)


async def test_an_unavailable_leadflow_is_sent_the_same_bytes_again() -> None:
    bodies: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(request.content)
        codes = {1: "not_accepted", 2: "outcome_unknown"}
        code = codes.get(len(bodies))
        return unavailable(code) if code else items(an_item("accepted"), an_item("accepted"))

    tally = await played(answer, a_post(2))

    assert len(set(bodies)) == 1
    assert (tally.retries, tally.uncertain, tally.requests, tally.accepted) == (2, 2, 1, 2)


async def test_a_broken_connection_leaves_its_elements_uncertain() -> None:
    attempts: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        attempts.append(request)
        if len(attempts) == 1:
            raise httpx.ReadError("gone")
        return items(an_item("accepted"))

    tally = await played(answer, a_post(1))

    assert (tally.uncertain, tally.accepted) == (1, 1)


async def test_a_leadflow_that_stays_away_is_an_error_in_words() -> None:
    with pytest.raises(Exception, match="does not take events"):
        await played(lambda _request: unavailable("not_accepted"), a_post(1))


async def test_something_forged_that_is_let_in_is_noticed() -> None:
    tally = await played(lambda _request: items(an_item("accepted")), a_post(1, flaw=Flaw.FORGED))

    assert tally.let_in == 1


async def test_posts_about_one_person_go_one_after_the_other_and_the_rest_together() -> None:
    mine, other = a_post(1), next(post for post in the_posts() if post.channel is Channel.FORM and post.flaw is None)
    under_way: list[bytes] = []
    together: list[set[bytes]] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        under_way.append(request.content)
        await asyncio.sleep(0)
        together.append(set(under_way))
        under_way.remove(request.content)
        return items(an_item("accepted"))

    await played(answer, mine, replace(mine, again=True), other)

    assert max(len(bodies) for bodies in together) == 2
    assert len(together) == 3
    assert all(len(bodies & {body_of(mine)}) <= 1 for bodies in together)
