"""The API of pipeline documents: check, try, publish, go back, compare, draw."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from services.pipeline.documents import versions
from services.pipeline.documents.repository import Activation as Activated
from services.pipeline.documents.repository import PublishedDocument
from services.pipeline.domain.changes import changes
from services.pipeline.domain.document import Pipeline, parse_pipeline
from services.pipeline.domain.mermaid import mermaid
from services.pipeline.domain.svg import svg
from services.pipeline.leads import impacts
from services.pipeline.leads.impacts import ImpactPage
from shared.access.guard import require
from shared.access.keyring import KeyRing
from shared.access.principal import Principal, Scope
from shared.errors import InvalidInput
from shared.events.json import Json
from shared.http.cursors import cursor_of, place_of
from shared.http.inputs import JsonDocument, PlainText
from shared.http.problems import problem_responses
from shared.service import Context

_EXAMPLE: dict[str, Json] = {
    "pipeline": "b2b-sales",
    "stages": [
        {"id": "new", "initial": True, "due": "1d"},
        {"id": "engaged", "enter_when": {"threshold": "warm"}},
        {"id": "won", "terminal": "won"},
        {"id": "lost", "terminal": "lost", "requires": ["reason"], "on_enter": {"reset_scores": ["engagement"]}},
    ],
}
_SVG_HEADERS = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}

VersionNumber = Annotated[int, Path(ge=1, le=2**31 - 1, description="Version of the workspace's pipeline.")]
Reason = Annotated[PlainText, Field(min_length=1, max_length=500, description="Why, for the history.")]


@dataclass(frozen=True, slots=True)
class ActivationPlace:
    """Where a page of the history ended."""

    before: Annotated[int, Field(ge=1, le=2**62)]


@dataclass(frozen=True, slots=True)
class ImpactPlace:
    """Where looking at leads ended."""

    after: UUID


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PipelineDraft(_Request):
    """A pipeline document."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"document": _EXAMPLE}]})

    document: JsonDocument = Field(description="The pipeline document.")


class PipelinePublication(PipelineDraft):
    """A pipeline document to publish."""

    reason: Reason = "published by API"
    activate: bool = Field(True, strict=True, description="Let it count at once.")


class Activation(_Request):
    """Why a version shall count from now on."""

    reason: Reason


class ImpactQuery(_Request):
    """Which version to try: a document, or a published version."""

    document: JsonDocument | None = Field(None, description="A document that need not be published.")
    version: Annotated[int, Field(ge=1, le=2**31 - 1, strict=True)] | None = Field(
        None, description="A published version."
    )
    limit: int = Field(2_000, ge=1, le=10_000, strict=True, description="Leads to look at in this call.")
    cursor: str | None = Field(None, max_length=512, description="`next_cursor` of the call before.")


class VersionsQuery(_Request):
    """Which versions to list."""

    limit: int = Field(100, ge=1, le=1_000, description="Versions to list.")
    before: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = Field(None, description="Only those older than this.")


class ActivationsQuery(_Request):
    """Which part of the history to show."""

    limit: int = Field(50, ge=1, le=100, description="Entries per page.")
    cursor: str | None = Field(None, max_length=512, description="`next_cursor` of the page before.")


class ChangesQuery(_Request):
    """What to compare with."""

    since: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = Field(
        None, description="Version to compare with; the one before by default."
    )


class DiagramQuery(_Request):
    """How to draw."""

    format: Literal["svg", "mermaid"] = Field("svg", description="A picture, or text for Mermaid.")


class PipelineSummary(BaseModel):
    """A published version."""

    version: int = Field(description="1, 2, 3 ... per workspace; never changes.")
    name: str = Field(description="The document's `pipeline`.")
    active: bool = Field(description="Whether it counts now.")
    published_at: datetime
    published_by: str = Field(description="Key, or user of the command line.")
    reason: str


class PipelineDetail(PipelineSummary):
    """A published version with its document."""

    document: Json


class ActivationView(BaseModel):
    """A version began to count."""

    version: int
    activated_at: datetime
    activated_by: str = Field(description="Key, or user of the command line.")
    reason: str


class ActivationHistory(BaseModel):
    """A page of which version counted since when, the newest first."""

    activations: list[ActivationView]
    next_cursor: str | None = Field(description="Hand it back as `cursor` for the next page; null: the end.")


class PipelineChanges(BaseModel):
    """What a version changes about another, in words."""

    version: int
    since: int | None = Field(description="The version compared with; null: there is none before.")
    changes: list[str]


class ValidPipeline(BaseModel):
    """The document may be published."""

    valid: bool
    name: str
    stages: list[str]
    criteria: list[str]


class MoveCount(BaseModel):
    """Leads that the version's rules would take from one stage to another if they ran now."""

    from_stage: str
    to_stage: str
    leads: int
    now: int = Field(description="How many the active version's rules would take the same way.")


class MissingStage(BaseModel):
    """A stage in which leads stand and which the version lacks: there they would stay."""

    stage: str
    leads: int


class VerdictCount(BaseModel):
    """Leads about whose qualification the version thinks otherwise than the active one."""

    from_state: str
    to_state: str
    leads: int


class ImpactOnLead(BaseModel):
    """A lead to which the version makes a difference."""

    id: str
    stage: str
    stage_missing: bool
    to_stage: str | None = Field(description="Where the version's rules would take it now.")
    to_stage_now: str | None = Field(description="Where those of the active version would.")
    state: str = Field(description="Verdict by the version.")
    state_now: str = Field(description="Verdict by the active one.")


class ImpactView(BaseModel):
    """What a version would do to the leads that were looked at; nothing was done."""

    looked_at: int = Field(description="Leads in a stage, of those looked at in this call.")
    moves: list[MoveCount]
    missing_stages: list[MissingStage]
    verdicts: list[VerdictCount]
    leads: list[ImpactOnLead] = Field(description="Up to 200 of those touched.")
    next_cursor: str | None = Field(description="Hand it back to look at the next; null: all were looked at.")


def pipelines_router(context: Context, keys: KeyRing, *, most_versions: int | None = None) -> APIRouter:
    """Routes under /v1/pipelines."""
    router = APIRouter(prefix="/v1/pipelines", tags=["pipelines"], responses=problem_responses(401, 403, 429, 503))
    looker = Annotated[Principal, Depends(require(Scope.LEADS_READ, keys, cost="dear"))]
    reader = Annotated[Principal, Depends(require(Scope.LEADS_READ, keys))]
    writer = Annotated[Principal, Depends(require(Scope.PIPELINES_WRITE, keys))]
    database, clock = context.database, context.clock

    @router.post(
        "",
        status_code=201,
        summary="Publish a pipeline",
        description="The new version counts from now on, unless told otherwise; it moves nobody by itself.",
        responses=problem_responses(400, 409, 422),
    )
    async def publish(body: PipelinePublication, caller: writer) -> PipelineDetail:
        published = await versions.publish(
            database,
            clock,
            caller.workspace,
            body.document,
            by=_name_of(caller),
            reason=body.reason,
            activate=body.activate,
            most=most_versions,
        )
        return _detail(published)

    @router.post("/validate", summary="Check a pipeline without publishing it", responses=problem_responses(400, 422))
    async def validate(body: PipelineDraft, caller: writer) -> ValidPipeline:  # noqa: ARG001 - the guard is its use
        pipeline = parse_pipeline(body.document)
        return ValidPipeline(
            valid=True,
            name=pipeline.name,
            stages=[stage.id for stage in pipeline.stages.order],
            criteria=[criterion.name for criterion in pipeline.policy.criteria],
        )

    @router.post(
        "/impact",
        summary="What a version would do to the leads as they stand",
        description="Looks at leads page by page and changes nothing; add the counts of all pages.",
        responses=problem_responses(400, 404, 422),
    )
    async def get_impact(body: ImpactQuery, caller: looker) -> ImpactView:
        if (body.document is None) == (body.version is None):
            raise InvalidInput("give either a document or a version", code="invalid_value", field="document")
        document, version = body.document, body.version
        pipeline = parse_pipeline(document) if document is not None else await _published(caller, version)
        place = place_of(body.cursor, ImpactPlace)
        page = await impacts.impact_page(
            database,
            caller.workspace,
            pipeline,
            now=clock.now(),
            after=str(place.after) if place else None,
            limit=body.limit,
        )
        return _impact_view(page)

    @router.post(
        "/rollback",
        summary="Let the version count again that the active one replaced",
        responses=problem_responses(400, 409, 422),
    )
    async def roll_back(body: Activation, caller: writer) -> PipelineDetail:
        return _detail(
            await versions.roll_back(database, clock, caller.workspace, by=_name_of(caller), reason=body.reason)
        )

    @router.get("", summary="Versions, the newest first", responses=problem_responses(422))
    async def list_pipelines(caller: reader, query: Annotated[VersionsQuery, Query()]) -> list[PipelineSummary]:
        found = await versions.versions(database, caller.workspace, before=query.before, limit=query.limit)
        return [_summary(item) for item in found]

    @router.get("/activations", summary="Which version counted since when, and why", responses=problem_responses(422))
    async def get_activations(caller: reader, query: Annotated[ActivationsQuery, Query()]) -> ActivationHistory:
        place = place_of(query.cursor, ActivationPlace)
        before = place.before if place else None
        found = await versions.history(database, caller.workspace, before=before, limit=query.limit + 1)
        shown = found[: query.limit]
        more = cursor_of(ActivationPlace(shown[-1].id)) if len(found) > query.limit else None
        return ActivationHistory(activations=[_activation(item) for item in shown], next_cursor=more)

    @router.get("/{version:int}", summary="One version", responses=problem_responses(404, 422))
    async def get_pipeline(version: VersionNumber, caller: reader) -> PipelineDetail:
        return _detail(await versions.version_of(database, caller.workspace, version))

    @router.post(
        "/{version:int}/activate",
        summary="Let a version count (also to go back)",
        responses=problem_responses(400, 404, 422),
    )
    async def activate(version: VersionNumber, body: Activation, caller: writer) -> PipelineDetail:
        return _detail(
            await versions.activate(
                database, clock, caller.workspace, version, by=_name_of(caller), reason=body.reason
            )
        )

    @router.get(
        "/{version:int}/changes", summary="What a version changes, in words", responses=problem_responses(404, 422)
    )
    async def get_changes(
        version: VersionNumber, caller: reader, query: Annotated[ChangesQuery, Query()]
    ) -> PipelineChanges:
        new = await _published(caller, version)
        since = query.since if query.since is not None else version - 1
        if since == 0:
            return PipelineChanges(version=version, since=None, changes=[])
        return PipelineChanges(version=version, since=since, changes=changes(await _published(caller, since), new))

    @router.get(
        "/{version:int}/diagram",
        summary="A version as a diagram",
        response_class=Response,
        responses={
            200: {
                "description": "The diagram.",
                "content": {
                    "image/svg+xml": {"schema": {"type": "string"}},
                    "text/plain": {"schema": {"type": "string"}},
                },
            },
            **problem_responses(404, 422),
        },
    )
    async def get_diagram(
        version: VersionNumber, caller: reader, query: Annotated[DiagramQuery, Query()]
    ) -> Response:
        pipeline = await _published(caller, version)
        if query.format == "mermaid":
            return Response(mermaid(pipeline), media_type="text/plain")
        return Response(svg(pipeline), media_type="image/svg+xml", headers=_SVG_HEADERS)

    async def _published(caller: Principal, version: int | None) -> Pipeline:
        return parse_pipeline((await versions.version_of(database, caller.workspace, version)).document)

    return router


def _name_of(caller: Principal) -> str:
    return f"key {caller.key_id}"


def _activation(item: Activated) -> ActivationView:
    return ActivationView(
        version=item.version, activated_at=item.activated_at, activated_by=item.activated_by, reason=item.reason
    )


def _impact_view(page: ImpactPage) -> ImpactView:
    summary = page.summary
    return ImpactView(
        looked_at=summary.looked_at,
        moves=[
            MoveCount(from_stage=way[0], to_stage=way[1], leads=leads, now=summary.moves_now[way])
            for way, leads in summary.moves.most_common()
        ],
        missing_stages=[MissingStage(stage=stage, leads=leads) for stage, leads in summary.missing.most_common()],
        verdicts=[
            VerdictCount(from_state=before, to_state=after, leads=leads)
            for (before, after), leads in summary.verdicts.most_common()
        ],
        leads=[
            ImpactOnLead(
                id=item.lead_id,
                stage=item.stage,
                stage_missing=item.stage_missing,
                to_stage=item.to,
                to_stage_now=item.to_now,
                state=item.verdict,
                state_now=item.verdict_now,
            )
            for item in page.touched
        ],
        next_cursor=cursor_of(ImpactPlace(UUID(page.last))) if page.last else None,
    )


def _summary(document: PublishedDocument) -> PipelineSummary:
    return PipelineSummary(
        version=document.version,
        name=document.name,
        active=document.active,
        published_at=document.published_at,
        published_by=document.published_by,
        reason=document.reason,
    )


def _detail(document: PublishedDocument) -> PipelineDetail:
    return PipelineDetail(**_summary(document).model_dump(), document=document.document)
