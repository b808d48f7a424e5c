"""The API of leads: the hot list, one lead, its timeline and stages, and moving it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from services.pipeline.api.schemas import (
    ForecastView,
    HotLead,
    HotList,
    LeadDetail,
    LeadExport,
    LeadHistory,
    MoveRequest,
    QualificationView,
    history_entry,
    lead_export,
    ledger_views,
    stage_view,
    threshold_views,
    top_reasons,
)
from services.pipeline.documents.versions import ActivePipeline, PipelineBook
from services.pipeline.domain.lead import Lead
from services.pipeline.domain.stages import Move
from services.pipeline.erasure import exporting
from services.pipeline.leads import hot_list, views
from services.pipeline.leads import repository as lead_repository
from services.pipeline.leads.hot_list import After, HotFilter, Placed
from services.pipeline.leads.views import HistoryPlace, LeadView
from services.pipeline.service import PipelineService
from shared.access.guard import require
from shared.access.keyring import KeyRing
from shared.access.principal import Principal, Scope
from shared.errors import InvalidInput
from shared.events.curve import published
from shared.events.json import Json
from shared.events.scores import ScoreChange
from shared.http.cursors import cursor_of, place_of
from shared.http.inputs import PlainText, value_of
from shared.http.problems import problem_responses
from shared.service import Context

Limit = Annotated[int, Query(ge=1, le=100, description="Entries per page.")]
Cursor = Annotated[str | None, Query(max_length=512, description="`next_cursor` of the page before.")]
Filter = Annotated[PlainText | None, Field(max_length=512)]


@dataclass(frozen=True, slots=True)
class HotPlace:
    """Where a page of the hot list ended, of which score and for which moment."""

    at: datetime
    score: str
    after: After


class HotQuery(BaseModel):
    """What to list; everything given must hold."""

    model_config = ConfigDict(extra="forbid")

    score: Filter = Field(None, description="Score to order by; default: the model's last combined one.")
    stage: Filter = Field(None, description="Stage of the pipeline.")
    grade: Filter = Field(None, description="Grade, `A1`.")
    band: Filter = Field(None, description="Band of the score that the list is ordered by.")
    owner: Filter = Field(None, description="Owner of the deal.")
    source: Filter = Field(None, description="Source of the lead's first event.")
    email: Filter = Field(None, description="A known address, in full.")
    attribute: list[PlainText] = Field(
        [], max_length=20, description="`country=SE`, repeated; what reads as a number or as true is one."
    )
    limit: int = Field(20, ge=1, le=100, description="Leads per page.")
    cursor: str | None = Field(None, max_length=512, description="`next_cursor` of the page before.")


def leads_router(context: Context, keys: KeyRing, service: PipelineService) -> APIRouter:
    """Routes under /v1/leads."""
    router = APIRouter(prefix="/v1/leads", tags=["leads"], responses=problem_responses(401, 403, 422, 429, 503))
    reader = Annotated[Principal, Depends(require(Scope.LEADS_READ, keys))]
    writer = Annotated[Principal, Depends(require(Scope.PIPELINES_WRITE, keys))]
    book = PipelineBook()

    @router.get("", summary="The hot list: leads by their score now")
    async def hottest(caller: reader, query: Annotated[HotQuery, Query()]) -> HotList:
        place, limit = place_of(query.cursor, HotPlace), query.limit
        at = place.at if place else context.clock.now()
        async with context.database.transaction(caller.workspace) as connection:
            named = place.score if place else query.score
            chosen = named or (await hot_list.default_score(connection, caller.workspace))[0]
            page = await hot_list.hottest(
                connection,
                caller.workspace,
                chosen,
                at=at,
                limit=limit + 1,
                conditions=_conditions(query),
                after=place.after if place else None,
            )
            if not page and place is None:
                active = (await book.active(connection, [caller.workspace])).get(caller.workspace)
                await _check_names(connection, caller.workspace, query, at=at, active=active)
            leads = await _hot_leads(connection, caller.workspace, page[:limit], score=chosen, at=at)
        more = (
            HotPlace(at, chosen, After(page[limit - 1].value, page[limit - 1].lead_id)) if len(page) > limit else None
        )
        return HotList(at=at, score=chosen, leads=leads, next_cursor=cursor_of(more) if more else None)

    @router.get("/{lead_id}", summary="One lead, now", responses=problem_responses(404))
    async def get_lead(lead_id: UUID, caller: reader) -> LeadDetail:
        async with context.database.transaction(caller.workspace) as connection:
            view = await _found(connection, caller.workspace, lead_id)
            active = (await book.active(connection, [caller.workspace])).get(caller.workspace)
        now = context.clock.now()
        verdict, evidence = views.qualification_at(view.lead, active, now)
        qualification = QualificationView(state=verdict.state, reason=verdict.reason, evidence=list(evidence))
        return _detail(view, now, qualification, active.version if active else None)

    @router.get("/{lead_id}/timeline", summary="What happened, the newest first", responses=problem_responses(404))
    async def get_timeline(lead_id: UUID, caller: reader, limit: Limit = 50, cursor: Cursor = None) -> LeadHistory:
        async with context.database.transaction(caller.workspace) as connection:
            view = await _found(connection, caller.workspace, lead_id)
            lines = await views.timeline(
                connection,
                (caller.workspace, view.lead.id),
                before=place_of(cursor, HistoryPlace),
                limit=limit + 1,
            )
        return _page(lines, limit)

    @router.get(
        "/{lead_id}/stages", summary="The stages it came to, the newest first", responses=problem_responses(404)
    )
    async def get_stages(lead_id: UUID, caller: reader, limit: Limit = 50, cursor: Cursor = None) -> LeadHistory:
        async with context.database.transaction(caller.workspace) as connection:
            view = await _found(connection, caller.workspace, lead_id)
            lines = await views.stays(
                connection,
                (caller.workspace, view.lead.id),
                before=place_of(cursor, HistoryPlace),
                limit=limit + 1,
            )
        return _page(lines, limit)

    @router.get(
        "/{lead_id}/export", summary="Everything the pipeline holds about a lead", responses=problem_responses(404)
    )
    async def export(lead_id: UUID, caller: reader) -> LeadExport:
        async with context.database.transaction(caller.workspace) as connection:
            held = await exporting.holding(connection, (caller.workspace, str(lead_id)))
        return lead_export(held)

    @router.post(
        "/{lead_id}/stage",
        summary="Move a lead to a stage",
        description="Passes the same guards as rules and CRMs; 409 with the guard's code when one refuses.",
        responses=problem_responses(400, 404, 409),
    )
    async def move_lead(lead_id: UUID, body: MoveRequest, caller: writer) -> LeadDetail:
        move = Move(body.to, "person", actor=body.actor, reason=body.reason, override=body.override)
        await service.move(caller.workspace, str(lead_id), move)
        return await get_lead(lead_id, caller)

    return router


def _conditions(query: HotQuery) -> HotFilter:
    return HotFilter(
        stage=query.stage,
        grade=query.grade,
        band=query.band,
        owner=query.owner,
        source=query.source,
        email=query.email.strip().lower() if query.email else None,
        attributes=dict(_attribute(item) for item in query.attribute),
    )


async def _check_names(
    connection: AsyncConnection, workspace: str, query: HotQuery, *, at: datetime, active: ActivePipeline | None
) -> None:
    """A list is not empty because of a name that is none: nothing that counts has it, and no lead has.

    Raises InvalidInput. While no model or pipeline counts, nobody knows which names there will be.
    """
    default, scores = await hot_list.default_score(connection, workspace)
    stages = [stage.id for stage in active.pipeline.stages.order] if active else []
    asked = (
        ("score", query.score, scores, query.score or default, HotFilter()),
        ("stage", query.stage, stages, default, HotFilter(stage=query.stage)),
    )
    for field, name, known, score, conditions in asked:
        if name is None or not known or name in known:
            continue
        if not await hot_list.hottest(connection, workspace, score, at=at, limit=1, conditions=conditions):
            names = ", ".join(known)
            raise InvalidInput(f"there is no such {field}; there are {names}", code=f"unknown_{field}", field=field)


async def _found(connection: AsyncConnection, workspace: str, lead_id: UUID) -> LeadView:
    view = await views.lead_view(connection, (workspace, str(lead_id)))
    if view is None:
        raise InvalidInput("there is no such lead", code="not_found", field="id")
    return view


async def _hot_leads(
    connection: AsyncConnection, workspace: str, page: list[Placed], *, score: str, at: datetime
) -> list[HotLead]:
    ids = [placed.lead_id for placed in page]
    changes = await views.changes_of(connection, workspace, ids)
    leads = await views.leads_of(connection, workspace, ids)
    return [
        _hot_lead(placed, leads[placed.lead_id], changes[placed.lead_id], score=score, at=at)
        for placed in page
        if placed.lead_id in changes and placed.lead_id in leads
    ]


def _hot_lead(placed: Placed, lead: Lead, change: ScoreChange, *, score: str, at: datetime) -> HotLead:
    standing = LeadView(lead, change).standing_at(at)
    assert standing is not None
    return HotLead(
        id=lead.id,
        emails=list(lead.emails),
        external_ids={system: list(ids) for system, ids in lead.external_ids.items()},
        value=published(placed.value),
        scores=standing.scores,
        bands=standing.bands,
        grade=standing.grade,
        stage=stage_view(lead),
        owner=lead_repository.owner_of(lead),
        source=lead.first_touch.source if lead.first_touch else None,
        reasons=top_reasons(change, score, at),
    )


def _detail(
    view: LeadView, now: datetime, qualification: QualificationView, pipeline_version: int | None
) -> LeadDetail:
    lead, change, standing = view.lead, view.change, view.standing_at(now)
    forecast = change.forecast if change else None
    return LeadDetail(
        id=lead.id,
        emails=list(lead.emails),
        external_ids={system: list(ids) for system, ids in lead.external_ids.items()},
        at=now,
        scores=standing.scores if standing else {},
        bands=standing.bands if standing else {},
        grade=standing.grade if standing else None,
        model=change.model if change else None,
        model_version=change.model_version if change else None,
        ledger=ledger_views(change, now),
        forecast=ForecastView(changes_at=forecast.changes_at, becomes=forecast.becomes) if forecast else None,
        thresholds=threshold_views(view),
        attributes=dict(lead.attributes),
        deal={name: fact.value for name, fact in lead.deal.items()},
        stage=stage_view(lead),
        qualification=qualification,
        pipeline_version=pipeline_version,
        owner=lead_repository.owner_of(lead),
        source=lead.first_touch.source if lead.first_touch else None,
    )


def _page(lines: list[views.HistoryLine], limit: int) -> LeadHistory:
    shown = lines[:limit]
    more = HistoryPlace(shown[-1].at, shown[-1].id) if len(lines) > limit else None
    return LeadHistory(entries=[history_entry(line) for line in shown], next_cursor=cursor_of(more) if more else None)


def _attribute(text: str) -> tuple[str, Json]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise InvalidInput("an attribute filter has the form name=value", field="attribute")
    return name, value_of(value)
