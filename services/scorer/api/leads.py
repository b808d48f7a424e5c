"""The API of single leads' scores: why, when, what would lift them, what people did, and correcting it."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query
from pydantic import BaseModel, ConfigDict, Field

from services.scorer.api.lead_schemas import (
    AdjustmentRequest,
    Correction,
    EventIdentity,
    EventPage,
    LiftView,
    MergeRequest,
    Moment,
    ResetRequest,
    RetractionRequest,
    ScoreCourse,
    ScoreExplanation,
    ScoreForecast,
    Unmerged,
    UnmergeRequest,
    event_view,
    lead_answer,
    lift_view,
    score_explanation,
    score_forecast,
    standing_at,
)
from services.scorer.correcting import Corrected, Corrector
from services.scorer.domain import corrections
from services.scorer.domain.scores.course import moments
from services.scorer.explaining import Explainer
from services.scorer.leads.records import EventPlace
from services.scorer.service import Scorer
from shared.access.guard import require
from shared.access.keyring import KeyRing
from shared.access.principal import Principal, Scope
from shared.errors import InvalidInput
from shared.http.cursors import cursor_of, place_of
from shared.http.inputs import PlainText
from shared.http.problems import problem_responses
from shared.service import Context

_MONTH = timedelta(days=30)

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        pattern=r"^[!-~]+$",
        description="Names the request: repeated with the same key, it takes effect once.",
    ),
]


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AtQuery(_Query):
    """A moment."""

    at: Moment | None = Field(None, description="Past or future, as known today; default: now.")


class OutlookQuery(_Query):
    """How far to look, and how closely."""

    until: Moment | None = Field(None, description="End of the points; default: 30 days from now.")
    points: int = Field(30, ge=0, le=500, description="How many points up to then.")


class CourseQuery(_Query):
    """A stretch of time."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    from_: Moment | None = Field(None, alias="from", description="Default: 30 days before `until` or now.")
    until: Moment | None = Field(None, description="Default: 30 days from now.")
    points: int = Field(61, ge=2, le=500, description="How many points, the ends included.")


class LiftQuery(_Query):
    """What to lift."""

    score: Annotated[PlainText | None, Field(max_length=200)] = Field(
        None, description="Default: the model's last combined score with bands."
    )


class EventsQuery(_Query):
    """Which events."""

    type: Annotated[PlainText | None, Field(max_length=64)] = Field(None, description="Of this type only.")
    limit: int = Field(50, ge=1, le=100, description="Events per page.")
    cursor: str | None = Field(None, max_length=2_048, description="`next_cursor` of the page before.")


def scores_router(context: Context, keys: KeyRing, scorer: Scorer) -> APIRouter:
    """Routes under /v1/scores."""
    router = APIRouter(
        prefix="/v1/scores", tags=["scores"], responses=problem_responses(401, 403, 404, 422, 429, 503)
    )
    reader = Annotated[Principal, Depends(require(Scope.LEADS_READ, keys))]
    writer = Annotated[Principal, Depends(require(Scope.SCORES_WRITE, keys))]
    explainer = Explainer(context.database, context.clock)
    corrector = Corrector(context.database, scorer, explainer, context.clock)

    @router.get("/{lead_id}", summary="Where a lead stands at any moment, and why")
    async def explain(lead_id: UUID, caller: reader, query: Annotated[AtQuery, Query()]) -> ScoreExplanation:
        return score_explanation(await explainer.explain(caller.workspace, lead_id, query.at))

    @router.get("/{lead_id}/forecast", summary="What becomes of a lead that stays silent")
    async def forecast(lead_id: UUID, caller: reader, query: Annotated[OutlookQuery, Query()]) -> ScoreForecast:
        until = query.until or context.clock.now() + _MONTH
        return score_forecast(await explainer.outlook(caller.workspace, lead_id, until, query.points))

    @router.get("/{lead_id}/curve", summary="The scores along time, past and future")
    async def curve(lead_id: UUID, caller: reader, query: Annotated[CourseQuery, Query()]) -> ScoreCourse:
        now = context.clock.now()
        until = query.until or now + _MONTH
        start = query.from_ or min(until, now) - _MONTH
        if start >= until:
            raise InvalidInput("must lie before until", code="invalid", field="from")
        subject, points = await explainer.course(caller.workspace, lead_id, moments(start, until, query.points))
        answer = lead_answer(subject).model_dump()
        return ScoreCourse(**answer, points=[standing_at(at, standing) for at, standing in points])

    @router.get("/{lead_id}/lift", summary="What would lift a lead into the next band or a threshold")
    async def lift(lead_id: UUID, caller: reader, query: Annotated[LiftQuery, Query()]) -> LiftView:
        return lift_view(await explainer.lift(caller.workspace, lead_id, query.score))

    @router.get("/{lead_id}/events", summary="What is recorded for a lead, and what each event is worth")
    async def events(lead_id: UUID, caller: reader, query: Annotated[EventsQuery, Query()]) -> EventPage:
        subject, found = await explainer.events(
            caller.workspace,
            lead_id,
            before=place_of(query.cursor, EventPlace),
            event_type=query.type,
            limit=query.limit + 1,
        )
        page = found[: query.limit]
        last = page[-1].recorded.event if len(found) > query.limit else None
        return EventPage(
            **lead_answer(subject).model_dump(),
            events=[event_view(one) for one in page],
            next_cursor=cursor_of(EventPlace(last.occurred_at, last.source, last.id)) if last else None,
        )

    @router.post(
        "/{lead_id}/adjustments",
        status_code=201,
        summary="Give or take points by hand",
        responses=problem_responses(400, 409),
    )
    async def adjust(
        lead_id: UUID, body: AdjustmentRequest, caller: writer, idempotency_key: IdempotencyKey = None
    ) -> Correction:
        wish = corrections.Adjustment(
            body.score, body.points, body.half_life, body.expires_after, body.actor, body.reason
        )
        return _correction(
            await corrector.correct(
                caller.workspace, lead_id, wish, key=idempotency_key, occurred_at=body.occurred_at
            )
        )

    @router.post(
        "/{lead_id}/resets",
        status_code=201,
        summary="Wipe the slate of a score",
        responses=problem_responses(400, 409),
    )
    async def reset(
        lead_id: UUID, body: ResetRequest, caller: writer, idempotency_key: IdempotencyKey = None
    ) -> Correction:
        wish = corrections.Reset(body.score, body.actor, body.reason)
        return _correction(
            await corrector.correct(
                caller.workspace, lead_id, wish, key=idempotency_key, occurred_at=body.occurred_at
            )
        )

    @router.post(
        "/{lead_id}/retractions",
        status_code=201,
        summary="Retract an event: it counts as never accepted, for good",
        responses=problem_responses(400, 409),
    )
    async def retract(
        lead_id: UUID, body: RetractionRequest, caller: writer, idempotency_key: IdempotencyKey = None
    ) -> Correction:
        wish = corrections.Retraction(body.source, body.event_id, body.actor, body.reason)
        return _correction(await corrector.correct(caller.workspace, lead_id, wish, key=idempotency_key))

    @router.post("/{lead_id}/merge", summary="Make two leads one", responses=problem_responses(400, 409))
    async def merge(lead_id: UUID, body: MergeRequest, caller: writer) -> ScoreExplanation:
        survivor = await scorer.merge(caller.workspace, lead_id, body.absorbed, actor=body.actor, reason=body.reason)
        return score_explanation(await explainer.explain(caller.workspace, survivor))

    @router.post("/{lead_id}/unmerge", summary="Make two leads of one again", responses=problem_responses(400, 409))
    async def unmerge(lead_id: UUID, body: UnmergeRequest, caller: writer) -> Unmerged:
        parted = await scorer.unmerge(caller.workspace, lead_id, body.absorbed, actor=body.actor, reason=body.reason)
        return Unmerged(
            survivor=score_explanation(await explainer.explain(caller.workspace, parted.survivor)),
            restored=score_explanation(await explainer.explain(caller.workspace, parted.restored)),
        )

    return router


def _correction(corrected: Corrected) -> Correction:
    event = corrected.event
    identity = EventIdentity(source=event.source, id=event.id, type=event.type, occurred_at=event.occurred_at)
    return Correction(
        **score_explanation(corrected.explanation).model_dump(), event=identity, repeated=corrected.repeated
    )
