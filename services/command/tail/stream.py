"""The stream of leadflow's HTTP API as a client reads it: it comes back by itself, and misses nothing."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from shared.errors import InvalidInput, Misconfigured, Refused
from shared.events.json import Json, parse_json

# The server says something at least every 15 s: a connection without a word for longer is dead.
_TIMEOUT = httpx.Timeout(10.0, read=45.0)
_AGAIN_SECONDS = 2.0
_TRY_AGAIN = frozenset({429, 500, 502, 503, 504})
_PATH = "/v1/stream"


@dataclass(frozen=True, slots=True)
class Chunk:
    """One server-sent event: `id` is the place behind it, `data` is empty when only the place moved."""

    id: str | None
    data: str


async def chunks(lines: AsyncIterable[str]) -> AsyncIterator[Chunk]:
    """The events that `lines` of a stream make. What breaks off without an empty line is none."""
    place: str | None = None
    data: list[str] = []
    async for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "id":
            place = value
        elif name == "data":
            data.append(value)
        elif not line and (place is not None or data):
            yield Chunk(place, "\n".join(data))
            place, data = None, []


class Stream:
    """Reads `/v1/stream` of the leadflow at `url`. `note` is told, in words, why it has to come back."""

    def __init__(
        self,
        url: str,
        key: str,
        query: Sequence[tuple[str, str]],
        *,
        note: Callable[[str], None],
        again_seconds: float = _AGAIN_SECONDS,
    ) -> None:
        self._url = url
        self._key = key
        self._query = query
        self._note = note
        self._again_seconds = again_seconds
        self._place: str | None = None

    async def messages(self) -> AsyncGenerator[Mapping[str, Json], None]:
        """What is told, for ever. After a loss it goes on behind the last message.

        Raises Misconfigured when nobody answers at `url` to begin with, Refused when the key is not taken, and
        InvalidInput when the query makes no sense or the place is no longer kept.
        """
        while True:
            try:
                async with self._opened() as lines:
                    async for chunk in chunks(lines):
                        self._place = chunk.id or self._place
                        if chunk.data:
                            yield _message(chunk.data)
                self._note("the stream has ended; it goes on in a moment")
            except httpx.TransportError as error:
                if self._place is None:
                    raise Misconfigured(
                        f"no leadflow answers at {self._url} ({type(error).__name__}): --url names another"
                    ) from error
                self._note(f"the connection is lost ({type(error).__name__}); it goes on as soon as it can")
            await asyncio.sleep(self._again_seconds)

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[AsyncIterator[str]]:
        """The lines of a stream that begins behind the last message; none if the server asks to come again."""
        headers = {"Authorization": f"Bearer {self._key}", "Accept": "text/event-stream"}
        if self._place is not None:
            headers["Last-Event-ID"] = self._place
        async with (
            httpx.AsyncClient(base_url=self._url, timeout=_TIMEOUT, trust_env=False) as client,
            client.stream("GET", _PATH, params=list(self._query), headers=headers) as answer,
        ):
            if answer.status_code in _TRY_AGAIN:
                self._note(f"leadflow answers {answer.status_code}; it is asked again")
                yield _nothing()
            elif answer.status_code != 200:
                raise _refusal(answer.status_code, await answer.aread())
            else:
                yield answer.aiter_lines()


async def _nothing() -> AsyncIterator[str]:
    nothing: Sequence[str] = ()
    for line in nothing:
        yield line


def _message(data: str) -> Mapping[str, Json]:
    message = parse_json(data.encode())
    if not isinstance(message, dict):
        raise InvalidInput("the stream holds something else than messages: is this a leadflow?")
    return message


def _refusal(status: int, body: bytes) -> Exception:
    try:
        problem = parse_json(body)
    except InvalidInput:
        problem = None
    said = _said(problem) if isinstance(problem, dict) else None
    if status in {401, 403}:
        return Refused(f"the key in LEADFLOW_KEY is not taken ({status}): {said}", code="key_refused")
    return InvalidInput(f"leadflow answers {status}: {said or 'no leadflow, perhaps'}")


def _said(problem: Mapping[str, Json]) -> Json:
    """What a problem says, each fault on its own where there are several."""
    errors = problem.get("errors")
    faults = [one for one in errors if isinstance(one, dict)] if isinstance(errors, list) else []
    return "; ".join(f"{one.get('field')}: {one.get('message')}" for one in faults) or problem.get("detail")
