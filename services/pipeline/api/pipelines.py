"""The API of pipeline documents: check, publish, look."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, ConfigDict, Field

from services.pipeline import documents
from services.pipeline.document_repository import PublishedDocument
from services.pipeline.domain.document import parse_pipeline
from shared.access.guard import require
from shared.access.keyring import KeyRing
from shared.access.principal import Principal, Scope
from shared.events.json import Json
from shared.http.inputs import JsonDocument
from shared.http.problems import problem_responses
from shared.service import Context

_EXAMPLE: dict[str, Json] = {
    "pipeline": "b2b-sales",
    "stages": [
        {"id": "new", "initial": True, "due": "1d"},
        {"id": "engaged", "enter_when": {"threshold": "warm"}},
        {"id": "won", "terminal": "won"},
        {"id": "lost", "terminal": "lost", "requires": ["reason"]},
    ],
}


class PipelineDraft(BaseModel):
    """A pipeline document."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"document": _EXAMPLE}]})

    document: JsonDocument = Field(description="The pipeline document.")


class PipelineSummary(BaseModel):
    """A published version."""

    version: int = Field(description="1, 2, 3 ... per workspace; never changes.")
    name: str = Field(description="The document's `pipeline`.")
    active: bool = Field(description="Whether it counts now.")
    published_at: datetime
    published_by: str = Field(description="Key, or user of the command line.")


class PipelineDetail(PipelineSummary):
    """A published version with its document."""

    document: Json


class ValidPipeline(BaseModel):
    """The document may be published."""

    valid: bool
    name: str
    stages: list[str]
    criteria: list[str]


def pipelines_router(context: Context, keys: KeyRing) -> APIRouter:
    """Routes under /v1/pipelines."""
    router = APIRouter(prefix="/v1/pipelines", tags=["pipelines"], responses=problem_responses(401, 403, 503))
    reader = Annotated[Principal, Depends(require(Scope.LEADS_READ, keys))]
    writer = Annotated[Principal, Depends(require(Scope.PIPELINES_WRITE, keys))]

    @router.post(
        "",
        status_code=201,
        summary="Publish a pipeline",
        description="The new version counts from now on; it moves nobody by itself.",
        responses=problem_responses(400, 422),
    )
    async def publish(body: PipelineDraft, caller: writer) -> PipelineDetail:
        published = await documents.publish(
            context.database,
            context.clock,
            caller.workspace,
            body.document,
            by=f"key {caller.key_id}",
            reason="published by API",
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

    @router.get("", summary="All versions, the newest first")
    async def list_pipelines(caller: reader) -> list[PipelineSummary]:
        return [_summary(item) for item in await documents.versions(context.database, caller.workspace)]

    @router.get("/{version:int}", summary="One version", responses=problem_responses(404, 422))
    async def get_pipeline(
        version: Annotated[int, Path(ge=1, le=2**31 - 1, description="Version of the workspace's pipeline.")],
        caller: reader,
    ) -> PipelineDetail:
        return _detail(await documents.version_of(context.database, caller.workspace, version))

    return router


def _summary(document: PublishedDocument) -> PipelineSummary:
    return PipelineSummary(
        version=document.version,
        name=document.name,
        active=document.active,
        published_at=document.published_at,
        published_by=document.published_by,
    )


def _detail(document: PublishedDocument) -> PipelineDetail:
    return PipelineDetail(**_summary(document).model_dump(), document=document.document)
