"""`leadflow tail` against servers that break off, refuse and come back."""

from collections.abc import AsyncIterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from services.command.tail.stream import Stream
from shared.errors import InvalidInput, LeadflowError, Misconfigured, Refused
from tests.support.leadflow_process import free_port
from tests.support.serving import serving


class Tellers:
    """A leadflow that gives one answer after the other, and what it was asked."""

    def __init__(self, *answers: Response) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, str | None]] = []
        self.app = Starlette(routes=[Route("/v1/stream", self._answer)])

    async def _answer(self, request: Request) -> Response:
        self.asked.append((request.url.query, request.headers.get("last-event-id")))
        return self._answers.pop(0)


def a_stream(*chunks: str) -> StreamingResponse:
    async def body() -> AsyncIterator[str]:
        for chunk in chunks:
            yield chunk

    return StreamingResponse(body(), media_type="text/event-stream")


def told(number: int) -> str:
    return f'event: lead.stalled\nid: place-{number}\ndata: {{"id": "{number}"}}\n\n'


async def heard(tellers: Tellers, count: int, notes: list[str]) -> list[object]:
    """The ids of the first `count` messages."""
    async with serving(tellers.app) as url:
        query = [("type", "lead.stalled"), ("lead", "x")]
        messages = Stream(url, "key", query, note=notes.append, again_seconds=0).messages()
        found: list[object] = []
        async for message in messages:
            found.append(message["id"])
            if len(found) == count:
                break
        await messages.aclose()
        return found


async def test_a_stream_that_ends_or_breaks_off_goes_on_behind_the_last_message() -> None:
    notes: list[str] = []
    tellers = Tellers(
        a_stream("retry: 2000\nid: place-0\n\n", told(1), ": still here\n\n", 'id: place-9\ndata: {"id'),
        JSONResponse({"detail": "draining"}, 503),
        a_stream("id: place-5\n\n"),
        a_stream(told(6)),
    )

    found = await heard(tellers, 2, notes)

    assert found == ["1", "6"]
    assert [place for _, place in tellers.asked] == [None, "place-1", "place-1", "place-5"]
    assert {query for query, _ in tellers.asked} == {"type=lead.stalled&lead=x"}
    assert "503" in " ".join(notes)


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (401, Refused, "LEADFLOW_KEY"),
        (403, Refused, "LEADFLOW_KEY"),
        (410, InvalidInput, "no longer kept"),
        (422, InvalidInput, "no longer kept"),
    ],
)
async def test_what_trying_again_cannot_mend_is_said(status: int, kind: type[LeadflowError], words: str) -> None:
    tellers = Tellers(JSONResponse({"detail": "no longer kept"}, status))

    with pytest.raises(kind, match=words):
        await heard(tellers, 1, [])


async def test_each_fault_of_a_question_is_said() -> None:
    errors = [{"field": "filter.a", "message": "no message has a"}, {"field": "filter.b", "message": "nor b"}]
    tellers = Tellers(JSONResponse({"detail": "the document is not valid", "errors": errors}, 422))

    with pytest.raises(InvalidInput, match=r"filter\.a: no message has a; filter\.b: nor b"):
        await heard(tellers, 1, [])


async def test_nobody_at_the_url_is_said_at_once() -> None:
    stream = Stream(f"http://127.0.0.1:{free_port()}", "key", [], note=print)

    with pytest.raises(Misconfigured, match="--url"):
        await anext(stream.messages())


async def test_a_server_that_is_no_leadflow_is_said() -> None:
    with pytest.raises(InvalidInput):
        await heard(Tellers(Response("<html>", 404)), 1, [])
