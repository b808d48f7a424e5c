"""GET /v1/parked and what can be done with what is there."""

from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from services.ingest.parked.replay import MOST_AT_ONCE, Replay, Replayed
from services.ingest.parked.repository import Attempt, ParkedElement, ParkedFilter, ParkedRepository, Place, State
from shared.access import KeyRing, Principal, Scope, require
from shared.clock import Clock
from shared.errors import InvalidInput
from shared.http import problem_responses


def _printable(text: str) -> str:
    """PostgreSQL takes no NUL, which a query can hold."""
    if not text.isprintable():
        raise ValueError("must be printable")
    return text


_Text = Annotated[str, Field(min_length=1, max_length=512), AfterValidator(_printable)]


class ParkedShown(BaseModel):
    """An element that became no event, without its bytes."""

    id: str = Field(description="A digest: the same element, sent again, is the same one here.")
    source: str = Field(description="The webhook source, or `api`.")
    kind: str = Field(description="Kind of the source, or `api`.")
    form: Literal["element", "body", "item", "cloud_event"] = Field(description="What it is a part of.")
    disposition: Literal["parked", "refused"] = Field(description="What the sender was told.")
    code: str = Field(description="Why it is no event: stable name.")
    field: str | None = Field(description="Path of what is wrong.")
    message: str = Field(description="Why, in words.")
    element_id: str | None = Field(description="What it calls itself.")
    size_bytes: int = Field(description="Its size when it came.")
    received_at: datetime
    state: State = Field(description="`parked` waits; the others are ends of waiting.")
    attempts: int = Field(description="How often it was tried again.")
    changed_at: datetime | None = Field(description="When that was last.")
    event_ids: list[str] = Field(description="The events that it became.")


class ParkedDetail(ParkedShown):
    """An element that became no event, with what came."""

    text: str | None = Field(description="Its bytes as text; null when they are none.")
    base64: str = Field(description="Its bytes; the first of them when it was too large.")
    headers: dict[str, str] = Field(description="Those headers of its request that tell something about it.")


class ParkedList(BaseModel):
    """A page of elements, the newest first."""

    elements: list[ParkedShown]
    next_cursor: str | None = Field(description="Where the next page starts; null on the last one.")


class ParkedQuery(BaseModel):
    """Which elements; everything given must hold."""

    model_config = ConfigDict(extra="forbid")

    source: _Text | None = Field(None, description="The webhook source, or `api`.")
    code: _Text | None = Field(None, description="The reason.")
    state: State | None = Field(None, description="Default: all.")
    limit: int = Field(50, ge=1, le=200, description="Elements per page.")
    cursor: str | None = Field(None, max_length=512, description="`next_cursor` of the page before.")


class ParkedReplayRequest(BaseModel):
    """Which elements to try again: by id, or all that wait and match."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"source": "acme-web", "code": "unknown_type"}]}
    )

    ids: list[_Text] | None = Field(None, min_length=1, max_length=MOST_AT_ONCE, description="These and no others.")
    source: _Text | None = Field(None, description="Those of this source.")
    code: _Text | None = Field(None, description="Those with this reason.")
    cursor: str | None = Field(None, max_length=512, description="`next_cursor` of the answer before.")


class SettleRequest(BaseModel):
    """Elements that nobody shall wait for any more."""

    model_config = ConfigDict(extra="forbid")

    ids: list[_Text] = Field(min_length=1, max_length=MOST_AT_ONCE)
    state: Literal["resolved", "discarded"] = Field(description="Settled by other means, or of no worth.")


class SettleResult(BaseModel):
    """Which of them waited until now."""

    ids: list[str]


class Tried(BaseModel):
    """What came of one element."""

    id: str
    event_ids: list[str] = Field(description="The events that it is now.")
    code: str | None = Field(description="Why it still is none.")
    field: str | None
    message: str | None


class ReplayResult(BaseModel):
    """What came of trying again."""

    replayed: int = Field(description="Elements that found their place.")
    still_parked: int = Field(description="Elements that did not.")
    items: list[Tried]
    next_cursor: str | None = Field(description="Send it with the same filter to go on; null when that was all.")


def parked_router(repository: ParkedRepository, replay: Replay, *, keys: KeyRing, clock: Clock) -> APIRouter:
    """The routes by which a workspace looks after what could not be placed."""
    router = APIRouter(prefix="/v1/parked", tags=["parked"], responses=problem_responses(401, 403, 422, 429, 503))
    replayer = Annotated[Principal, Depends(require(Scope.SOURCES_WRITE, keys, cost="dear"))]
    caller_of = Annotated[Principal, Depends(require(Scope.SOURCES_WRITE, keys))]

    @router.get("", summary="List elements that became no event")
    async def listed(caller: caller_of, query: Annotated[ParkedQuery, Query()]) -> ParkedList:
        which = ParkedFilter(query.source, query.code, query.state)
        found = await repository.page(caller.workspace, which, before=_place_of(query.cursor), limit=query.limit + 1)
        page = found[: query.limit]
        more = len(found) > query.limit
        return ParkedList(
            elements=[_shown(one) for one in page],
            next_cursor=_cursor_of(Place(page[-1].origin.received_at, page[-1].id)) if more else None,
        )

    @router.get("/{element_id}", summary="One element, byte for byte", responses=problem_responses(404))
    async def detail(element_id: str, caller: caller_of) -> ParkedDetail:
        if not element_id.isprintable():
            raise InvalidInput("no such element in this workspace", code="not_found", field="id")
        return _detail(await repository.find(caller.workspace, element_id))

    @router.post(
        "/replay",
        summary="Try elements again",
        description="Each goes through its source as that is configured now, and keeps the id and the time of receipt"
        " that it would have had: trying twice counts once. What still cannot be placed stays, with the new reason.",
        responses=problem_responses(400, 404),
    )
    async def try_again(body: ParkedReplayRequest, caller: replayer) -> ReplayResult:
        if body.ids is not None:
            return _result(await replay.by_ids(caller.workspace, body.ids))
        which = ParkedFilter(body.source, body.code)
        return _result(await replay.by_filter(caller.workspace, which, before=_place_of(body.cursor)))

    @router.post(
        "/settle",
        summary="Wait no longer for elements",
        description="For what was settled by other means, or is of no worth. It stays on record.",
        responses=problem_responses(400),
    )
    async def settle(body: SettleRequest, caller: caller_of) -> SettleResult:
        return SettleResult(ids=await repository.settle(caller.workspace, body.ids, body.state, now=clock.now()))

    return router


def _shown(one: ParkedElement) -> ParkedShown:
    return ParkedShown(**_members(one))


def _detail(one: ParkedElement) -> ParkedDetail:
    return ParkedDetail(
        **_members(one),
        text=_text_of(one.body),
        base64=b64encode(one.body).decode(),
        headers=dict(one.origin.headers),
    )


def _members(one: ParkedElement) -> dict[str, object]:
    return {
        "id": one.id,
        "source": one.origin.source,
        "kind": one.origin.kind,
        "form": one.origin.form,
        "disposition": one.disposition,
        "code": one.reason.code,
        "field": one.reason.field,
        "message": one.reason.message,
        "element_id": one.element_id,
        "size_bytes": one.size_bytes,
        "received_at": one.origin.received_at,
        "state": one.state,
        "attempts": one.attempts,
        "changed_at": one.changed_at,
        "event_ids": list(one.event_ids),
    }


def _text_of(body: bytes) -> str | None:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def _result(done: Replayed) -> ReplayResult:
    still = sum(attempt.reason is not None for attempt in done.attempts)
    return ReplayResult(
        replayed=len(done.attempts) - still,
        still_parked=still,
        items=[_tried(attempt) for attempt in done.attempts],
        next_cursor=_cursor_of(done.next_place) if done.next_place else None,
    )


def _tried(attempt: Attempt) -> Tried:
    reason = attempt.reason
    return Tried(
        id=attempt.id,
        event_ids=list(attempt.event_ids),
        code=reason.code if reason else None,
        field=reason.field if reason else None,
        message=reason.message if reason else None,
    )


def _cursor_of(place: Place) -> str:
    return urlsafe_b64encode(f"{place.received_at.isoformat()} {place.id}".encode()).decode().rstrip("=")


def _place_of(cursor: str | None) -> Place | None:
    """The place of a cursor. Raises InvalidInput for what none of our answers held."""
    if cursor is None:
        return None
    try:
        text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        moment, _, element_id = text.partition(" ")
        received_at = datetime.fromisoformat(moment)
        if received_at.tzinfo is None or not element_id.isalnum():
            raise ValueError(text)
        return Place(received_at, element_id)
    except ValueError as error:
        raise InvalidInput("the cursor is none that leadflow gave", code="bad_cursor", field="cursor") from error
