"""The API of models: publish, look, go back."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, ConfigDict, Field

from services.scorer import model_repository, models
from services.scorer.domain.document import parse_model
from services.scorer.model_repository import PublishedModel
from shared.access.guard import require
from shared.access.keyring import KeyRing
from shared.access.principal import Principal, Scope
from shared.errors import InvalidInput
from shared.events.json import Json
from shared.http.inputs import JsonDocument, PlainText
from shared.http.problems import problem_responses
from shared.service import Context

Version = Annotated[int, Path(ge=1, le=2**31 - 1, description="Version of the workspace's model.")]
Reason = Annotated[PlainText, Field(min_length=1, max_length=500, description="Why, for the history.")]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Publication(_Request):
    """A model document to publish."""

    document: JsonDocument = Field(description="The model document, as the scoring page describes it.")
    reason: Reason = "published by API"
    activate: bool = Field(True, description="Let it count at once.")


class Validation(_Request):
    """A model document to check."""

    document: JsonDocument = Field(description="The model document.")


class Activation(_Request):
    """Why a version shall count from now on."""

    reason: Reason


class ModelSummary(BaseModel):
    """A published version."""

    version: int = Field(description="1, 2, 3 ... per workspace; never changes.")
    name: str = Field(description="The document's `model`.")
    active: bool = Field(description="Whether it counts now.")
    published_at: datetime
    published_by: str = Field(description="Key, or user of the command line.")
    reason: str


class ModelDetail(ModelSummary):
    """A published version with its document."""

    document: dict[str, Json]


class Valid(BaseModel):
    """The document may be published."""

    valid: bool
    name: str
    scores: list[str]
    rules: int


def models_router(context: Context, keys: KeyRing) -> APIRouter:
    """Routes under /v1/models."""
    router = APIRouter(prefix="/v1/models", tags=["models"], responses=problem_responses(401, 403, 503))
    reader = Annotated[Principal, Depends(require(Scope.LEADS_READ, keys))]
    writer = Annotated[Principal, Depends(require(Scope.MODELS_WRITE, keys))]

    @router.post("", status_code=201, summary="Publish a model", responses=problem_responses(400, 422))
    async def publish(body: Publication, caller: writer) -> ModelDetail:
        published = await models.publish(
            context.database,
            context.clock,
            caller.workspace,
            body.document,
            by=f"key {caller.key_id}",
            reason=body.reason,
            activate=body.activate,
        )
        return await _detail(caller.workspace, published.version)

    @router.post("/validate", summary="Check a model without publishing it", responses=problem_responses(400, 422))
    async def validate(body: Validation, caller: writer) -> Valid:  # noqa: ARG001 - the guard is its use
        model = parse_model(body.document)
        rules = sum(len(getattr(score, "rules", ())) for score in model.scores.values())
        return Valid(valid=True, name=model.name, scores=list(model.scores), rules=rules)

    @router.get("", summary="All versions, the newest first")
    async def list_models(caller: reader) -> list[ModelSummary]:
        async with context.database.transaction() as connection:
            active = await model_repository.active_versions(connection, [caller.workspace])
            found = await model_repository.models_of(connection, caller.workspace)
        return [_summary(model, active.get(caller.workspace)) for model in found]

    @router.get("/{version:int}", summary="One version", responses=problem_responses(404, 422))
    async def get_model(version: Version, caller: reader) -> ModelDetail:
        return await _detail(caller.workspace, version)

    @router.post(
        "/{version:int}/activate",
        summary="Let a version count (also to go back)",
        responses=problem_responses(400, 404, 422),
    )
    async def activate(version: Version, body: Activation, caller: writer) -> ModelDetail:
        await models.activate(
            context.database,
            context.clock,
            caller.workspace,
            version,
            by=f"key {caller.key_id}",
            reason=body.reason,
        )
        return await _detail(caller.workspace, version)

    async def _detail(workspace: str, version: int) -> ModelDetail:
        async with context.database.transaction() as connection:
            active = await model_repository.active_versions(connection, [workspace])
            model = await model_repository.model_of(connection, workspace, version)
        if model is None or not isinstance(model.document, dict):
            raise InvalidInput(f"there is no version {version} of the model", code="not_found", field="version")
        summary = _summary(model, active.get(workspace))
        return ModelDetail(**summary.model_dump(), document=model.document)

    return router


def _summary(model: PublishedModel, active: int | None) -> ModelSummary:
    return ModelSummary(
        version=model.version,
        name=model.name,
        active=model.version == active,
        published_at=model.published_at,
        published_by=model.published_by,
        reason=model.reason,
    )
