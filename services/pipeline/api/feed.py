"""The API of what is told: a feed to poll with a cursor, and a stream of server-sent events that resumes."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import from_json
from sqlalchemy.ext.asyncio import AsyncConnection

from services.pipeline.domain.message_paths import check_paths
from services.pipeline.domain.subscription import Filter, parse_filter
from services.pipeline.feed import entries as feed
from services.pipeline.feed.entries import FeedEntry, FeedPage, Wanted
from services.pipeline.feed.watch import FeedWatch
from services.pipeline.subscriptions.fanout import DELIVERED_TYPES
from shared.access.guard import require
from shared.access.keyring import KeyRing
from shared.access.principal import Principal, Scope
from shared.errors import InvalidInput, TransientError
from shared.events.json import Json
from shared.http.cursors import cursor_of, place_of
from shared.http.inputs import PlainText, value_of
from shared.http.problems import problem_responses
from shared.observability import tracing
from shared.service import Context

_PAGE = 100
_HEARTBEAT_SECONDS = 15.0
_RECONNECT_MILLISECONDS = 2_000
# A proxy that gathers an answer before it passes it on would gather a stream for ever.
_STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class _EventStream(StreamingResponse):
    """FastAPI's own class for it begins to answer before anything can be refused."""

    media_type = "text/event-stream"


Begin = Literal["oldest", "newest"]


@dataclass(frozen=True, slots=True)
class FeedPlace:
    """Up to which position somebody has read."""

    position: Annotated[int, Field(ge=0, le=2**63 - 1)]


class FeedFilter(BaseModel):
    """Which messages; everything given must hold."""

    model_config = ConfigDict(extra="forbid")

    type: list[PlainText] = Field([], max_length=20, description="`lead.stage_changed`, repeated; default: all.")
    lead: UUID | None = Field(None, description="Only what is about this lead.")
    filter: list[PlainText] = Field(
        [],
        max_length=20,
        description="`data.to_stage=mql`: a path of the message and its value, which is a number, true, false or "
        "null where it reads as one. Repeated: of one path any value, of several paths all.",
    )

    def wanted(self) -> Wanted:
        """What to look for. Raises InvalidInput for a type or a filter that makes no sense."""
        for kind in self.type:
            if kind not in DELIVERED_TYPES:
                known = ", ".join(DELIVERED_TYPES)
                raise InvalidInput(f"there is no event type {kind[:80]}; there are {known}", field="type")
        lead = None if self.lead is None else str(self.lead)
        conditions = _conditions(self.filter)
        check_paths(conditions, self.type or DELIVERED_TYPES)
        return Wanted(tuple(self.type), lead, conditions)


class FeedQuery(FeedFilter):
    """A page of the feed."""

    cursor: str | None = Field(None, max_length=512, description="`next_cursor` of the page before.")
    begin: Begin = Field("oldest", description="Where to begin without a cursor.")
    limit: int = Field(100, ge=1, le=1_000, description="Messages per page.")


class StreamQuery(FeedFilter):
    """A stream."""

    cursor: str | None = Field(
        None, max_length=512, description="A `next_cursor` of the feed, or an `id` of the stream, to go on after it."
    )
    begin: Begin = Field("newest", description="Where to begin without a cursor or `Last-Event-ID`.")


class Feed(BaseModel):
    """A page of what was told, the oldest first."""

    messages: list[dict[str, Json]] = Field(description="CloudEvents, as on the topics and in webhooks.")
    traceparents: list[str | None] = Field(
        description="For each message the W3C trace context of what it comes from; null where none is known."
    )
    next_cursor: str = Field(description="Hand it back as `cursor` to go on, also after an empty page.")
    more: bool = Field(description="Whether there is more already.")


def feed_router(context: Context, keys: KeyRing, watch: FeedWatch) -> APIRouter:
    """Routes /v1/feed and /v1/stream."""
    router = APIRouter(prefix="/v1", tags=["feed"], responses=problem_responses(401, 403, 410, 422, 429, 503))
    reader = Annotated[Principal, Depends(require(Scope.LEADS_READ, keys))]

    async def begin_at(workspace: str, cursor: str | None, begin: Begin) -> int:
        place = place_of(cursor, FeedPlace)
        async with context.database.transaction(workspace) as connection:
            if place is None:
                return await _first(connection, workspace, begin)
            await _check_kept(connection, workspace, place.position)
            return place.position

    async def page_after(workspace: str, position: int, wanted: Wanted, limit: int) -> FeedPage:
        async with context.database.transaction(workspace) as connection:
            return await feed.read(connection, workspace, after=position, wanted=wanted, limit=limit)

    @router.get(
        "/feed",
        summary="What was told, to poll",
        description="Everything that goes out, in order and without gaps, for as long as "
        "`LEADFLOW_PIPELINE_FEED_RETENTION_SECONDS`; 410 `cursor_expired` when the cursor points before that.",
    )
    async def get_feed(caller: reader, query: Annotated[FeedQuery, Query()]) -> Feed:
        wanted = query.wanted()
        position = await begin_at(caller.workspace, query.cursor, query.begin)
        page = await page_after(caller.workspace, position, wanted, query.limit)
        async with context.database.transaction(caller.workspace) as connection:
            more = await feed.newest(connection, caller.workspace) > page.position
        return Feed(
            messages=[from_json(entry.body) for entry in page.entries],
            traceparents=[entry.traceparent for entry in page.entries],
            next_cursor=cursor_of(FeedPlace(page.position)),
            more=more,
        )

    @router.get(
        "/stream",
        summary="What is told, as it happens",
        description="Server-sent events: `event` is the message's type, `data` the message, `id` the place to "
        "resume from, which a browser's EventSource sends back as `Last-Event-ID` by itself. A comment "
        "`traceparent ...` goes with a message whose W3C trace context is known.",
        response_class=_EventStream,
        responses=problem_responses(429),
    )
    async def get_stream(
        caller: reader,
        query: Annotated[StreamQuery, Query()],
        last_event_id: Annotated[str | None, Header(max_length=512)] = None,
    ) -> StreamingResponse:
        wanted = query.wanted()
        position = await begin_at(caller.workspace, last_event_id or query.cursor, query.begin)
        watch.check_room()

        async def events() -> AsyncIterator[bytes]:
            with watch.listening(caller.workspace):
                yield format_sse_event(retry=_RECONNECT_MILLISECONDS, id=cursor_of(FeedPlace(position)))
                async for chunk in follow(position):
                    yield chunk

        async def follow(position: int) -> AsyncIterator[bytes]:
            while not watch.closed and keys.still_good(caller):
                change = watch.next_change()
                try:
                    page = await page_after(caller.workspace, position, wanted, _PAGE)
                except TransientError:
                    # The client comes back with its last id, and is told 503 as long as that lasts.
                    return
                for entry in page.entries:
                    yield _event(entry)
                if page.position > position and not page.entries:
                    yield format_sse_event(id=cursor_of(FeedPlace(page.position)))
                if page.position == position and not await watch.happens(change, _HEARTBEAT_SECONDS):
                    yield format_sse_event(comment="")
                position = page.position

        return _EventStream(events(), headers=_STREAM_HEADERS)

    return router


async def _first(connection: AsyncConnection, workspace: str, begin: Begin) -> int:
    if begin == "newest":
        return await feed.newest(connection, workspace)
    return await feed.horizon(connection, workspace)


async def _check_kept(connection: AsyncConnection, workspace: str, position: int) -> None:
    if position < await feed.horizon(connection, workspace):
        raise InvalidInput(
            "what came after this cursor is no longer kept: begin with `begin=oldest`, and take stock by /v1/leads",
            code="cursor_expired",
            field="cursor",
        )


def _event(entry: FeedEntry) -> bytes:
    return format_sse_event(
        event=entry.type,
        data_str=entry.body.decode(),
        id=cursor_of(FeedPlace(entry.position)),
        comment=None if entry.traceparent is None else f"{tracing.HEADER} {entry.traceparent}",
    )


def _conditions(texts: Sequence[str]) -> Filter:
    found: dict[str, list[Json]] = {}
    for item in texts:
        path, equals, value = item.partition("=")
        if not equals:
            raise InvalidInput("a filter has the form path=value", field="filter")
        found.setdefault(path, []).append(value_of(value))
    return parse_filter({path: list(values) for path, values in found.items()})
