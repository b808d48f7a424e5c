"""POST /v1/webhooks/{source}."""

import hmac

from fastapi import APIRouter, Request, Response

from services.ingest.api.broken_off import BrokenOff
from services.ingest.api.decoding import parse, parse_elements
from services.ingest.api.documentation import (
    HANDSHAKE_DESCRIPTION,
    LOOK_DESCRIPTION,
    WEBHOOK_BODY,
    WEBHOOK_DESCRIPTION,
)
from services.ingest.api.handshake import consent
from services.ingest.api.schemas import DeliveryResult, result_json
from services.ingest.domain.outcome import Outcome, Status
from services.ingest.kinds.kind import Delivery, Kind, NotVerified, ReadsBody, Source, traits_of
from services.ingest.kinds.registry import KINDS
from services.ingest.metrics import BODY_BYTES, EVENTS, Fate
from services.ingest.pacing import admit_webhook
from services.ingest.service import Element, Ingest
from services.ingest.settings import IngestSettings
from services.ingest.sources.book import SourceBook
from shared.access.pacing import Pacer
from shared.clock import Clock
from shared.errors import InvalidInput, RateLimited, TransientError
from shared.http import problem_responses, read_body
from shared.http.direct import DirectRoute, WrittenJson
from shared.http.problems import problem_response

_PATH = "/v1/webhooks/{source_id}"
_DECOY_KEY = b"no source has this key"
_TOO_LARGE = frozenset({"too_large", "too_many_items"})


def webhooks_router(
    ingest: Ingest, *, sources: SourceBook, settings: IngestSettings, clock: Clock
) -> tuple[APIRouter, DirectRoute]:
    """The routes that platforms call, and the short way to the busiest."""
    router = APIRouter(tags=["webhooks"])
    pacer = Pacer(settings.source_pace(), clock)

    @router.head(_PATH, status_code=204, include_in_schema=False)
    async def look_only(source_id: str) -> Response:  # noqa: ARG001
        return Response()

    @router.get(
        _PATH,
        summary="Look whether anybody is here",
        description=LOOK_DESCRIPTION,
        responses={
            202: {"model": DeliveryResult, "description": "A delivery by GET was taken."},
            **problem_responses(400, 401, 408, 413, 415, 422, 429, 503),
        },
        response_class=Response,
    )
    async def look(source_id: str, request: Request) -> Response:
        source = sources.find(source_id) if request.url.query else None
        if source is None or not traits_of(KINDS.get(source.kind)).delivers_by_get:
            return Response()
        return await _counted(source, request)

    @router.options(
        _PATH,
        summary="Ask whether deliveries are welcome",
        description=HANDSHAKE_DESCRIPTION,
        responses=problem_responses(422),
        response_class=Response,
    )
    async def handshake(source_id: str, request: Request) -> Response:  # noqa: ARG001
        return Response(headers=consent(request.headers))

    @router.post(
        _PATH,
        status_code=202,
        summary="Receive a platform's webhook",
        description=WEBHOOK_DESCRIPTION,
        response_model=DeliveryResult,
        responses={
            200: {"model": DeliveryResult, "description": "The same, for platforms that know no other success."},
            **problem_responses(400, 401, 408, 413, 415, 422, 429, 503),
        },
        openapi_extra={"requestBody": WEBHOOK_BODY},
    )
    async def receive(source_id: str, request: Request) -> Response:
        source = None
        try:
            source = sources.find(source_id)
            return await _counted(source, request)
        except TransientError as error:
            if not _must_break_off(source):
                raise
            return BrokenOff(problem_response(error, method=request.method))

    async def _counted(source: Source | None, request: Request) -> Response:
        label = source.kind if source else None
        try:
            return await _receive(source, request)
        except InvalidInput as error:
            _count(label, Fate.TOO_LARGE if error.code in _TOO_LARGE else Fate.INVALID)
            raise
        except NotVerified:
            _count(label, Fate.UNAUTHORIZED)
            raise

    async def _receive(source: Source | None, request: Request) -> Response:
        body = await read_body(request, limit_bytes=settings.max_body_bytes)
        BODY_BYTES.observe(len(body))
        delivery = Delivery(request.method, dict(request.headers), body, clock.now(), request.url.query)
        kind, known = _verified(source, delivery)
        _admit(pacer, known)
        try:
            elements = elements_of(kind, delivery, settings.max_webhook_elements)
        except InvalidInput as error:
            await ingest.keep_body(error, delivery, known)
            raise
        outcomes = await ingest.accept_delivery(elements, kind, delivery, known)
        return _answer(outcomes, traits_of(kind).accepted_status)

    async def receive_directly(request: Request) -> Response:
        return await receive(request.path_params["source_id"], request)

    return router, DirectRoute("POST", _PATH, receive_directly)


def _admit(pacer: Pacer, source: Source) -> None:
    """After verification, so that nobody can use up the pace of others."""
    try:
        admit_webhook(pacer, source.id, source.kind)
    except (RateLimited, TransientError):
        EVENTS.labels(source.kind, Fate.RATE_LIMITED).inc()
        raise


def _must_break_off(source: Source | None) -> bool:
    """Whether trouble of ours must not look like an answer; before the sources are read, nobody can tell."""
    kind = KINDS.get(source.kind) if source else None
    return kind is None or traits_of(kind).any_answer_ends_it


def _verified(source: Source | None, delivery: Delivery) -> tuple[Kind, Source]:
    kind = KINDS.get(source.kind) if source else None
    if source is None or kind is None:
        # The work of a verification, so that the time taken does not tell which sources exist.
        hmac.digest(_DECOY_KEY, delivery.body, "sha256")
        raise NotVerified
    kind.verify(delivery, source)
    return kind, source


def elements_of(kind: Kind, delivery: Delivery, limit: int) -> list[Element]:
    """The elements of a verified body; one that cannot be parsed fails alone in a batch."""
    read = kind.read_body(delivery) if isinstance(kind, ReadsBody) else delivery.body
    try:
        whole = parse(read) if isinstance(read, bytes) else read
    except InvalidInput:
        if not (isinstance(read, bytes) and read.lstrip().startswith(b"[")):
            raise
        return parse_elements(read, limit=limit)
    elements = kind.elements(whole)
    if len(elements) > limit:
        raise InvalidInput(f"more than {limit} elements", code="too_many_items")
    return list(elements)


def _count(label: str | None, fate: Fate) -> None:
    """Requests for sources that do not exist have no kind to be counted under."""
    if label is not None:
        EVENTS.labels(label, fate).inc()


def _answer(outcomes: list[Outcome], status: int) -> Response:
    body = result_json(outcomes, Status.ACCEPTED, Status.REFUSED, Status.IGNORED, Status.PARKED)
    return WrittenJson(body, status)
