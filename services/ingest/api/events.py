"""POST /v1/events."""

from collections.abc import Awaitable
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from services.ingest.api.decoding import Batch, decode
from services.ingest.api.documentation import EVENTS_DESCRIPTION, REQUEST_BODY
from services.ingest.api.schemas import EventsResult, count, result_json
from services.ingest.domain.outcome import Outcome, Status
from services.ingest.domain.plain import PlainReader
from services.ingest.metrics import API, BODY_BYTES, EVENTS, Fate
from services.ingest.service import Ingest
from services.ingest.settings import IngestSettings
from services.ingest.sources.book import SourceBook
from shared.access import KeyRing, Principal, Scope, require
from shared.access.pacing import Pacer
from shared.clock import Clock
from shared.errors import InvalidInput, RateLimited
from shared.http import problem_responses, read_body
from shared.http.direct import DirectRoute, WrittenJson

_PATH = "/v1/events"
_TOO_LARGE = frozenset({"too_large", "too_many_items"})


def events_router(
    ingest: Ingest, *, keys: KeyRing, sources: SourceBook, settings: IngestSettings, clock: Clock
) -> tuple[APIRouter, DirectRoute]:
    """The route by which anybody with a key sends events, and the short way to it."""
    router = APIRouter(tags=["events"])
    guard = require(Scope.EVENTS_WRITE, keys, cost="free")
    pacer = Pacer(settings.key_pace(), clock)
    plain = PlainReader(settings.json_limits())

    @router.post(
        _PATH,
        status_code=202,
        summary="Send events",
        description=EVENTS_DESCRIPTION,
        response_model=EventsResult,
        responses={
            **problem_responses(400, 401, 403, 408, 413, 415, 429, 503),
            422: {"model": EventsResult, "description": "No item was accepted."},
        },
        openapi_extra={"requestBody": REQUEST_BODY},
    )
    async def post_events(request: Request, caller: Annotated[Principal, Depends(guard)]) -> Response:
        _admit(pacer, caller)
        body, batch = await _read_batch(request, settings, plain)
        outcomes = await _accept(batch, body, caller)
        return _answer(outcomes)

    def _accept(batch: Batch, body: bytes, caller: Principal) -> Awaitable[list[Outcome]]:
        now = clock.now()
        if not batch.cloud_events:
            return ingest.accept_items(
                batch.elements, workspace=caller.workspace, received_at=now, source_label=API, body=body
            )
        return ingest.accept_cloud_events(
            batch.elements,
            sources.event_names(caller.workspace),
            workspace=caller.workspace,
            received_at=now,
            source_label=API,
            body=body,
        )

    async def post_directly(request: Request) -> Response:
        return await post_events(request, await guard(request))

    return router, DirectRoute("POST", _PATH, post_directly)


def _admit(pacer: Pacer, caller: Principal) -> None:
    try:
        pacer.admit(caller.key_id)
    except RateLimited:
        EVENTS.labels(API, Fate.RATE_LIMITED).inc()
        raise


async def _read_batch(request: Request, settings: IngestSettings, plain: PlainReader) -> tuple[bytes, Batch]:
    try:
        body = await read_body(request, limit_bytes=settings.max_body_bytes)
        BODY_BYTES.observe(len(body))
        return body, decode(_headers_read(request), body, limit=settings.max_events, plain=plain)
    except InvalidInput as error:
        EVENTS.labels(API, Fate.TOO_LARGE if error.code in _TOO_LARGE else Fate.INVALID).inc()
        raise


def _headers_read(request: Request) -> list[tuple[str, str]]:
    """Those that say what the body is."""
    return [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in request.scope["headers"]
        if name == b"content-type" or name.startswith(b"ce-")
    ]


def _answer(outcomes: list[Outcome]) -> Response:
    accepted = count(outcomes, Status.ACCEPTED)
    body = result_json(outcomes, Status.ACCEPTED, Status.REFUSED)
    return WrittenJson(body, 202 if accepted or not outcomes else 422)
