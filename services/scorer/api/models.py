"""The API of models: publish, compare, choose, look, go back."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from services.scorer.domain.models.diff import differences
from services.scorer.domain.models.document import parse_model
from services.scorer.models import repository as model_repository
from services.scorer.models import versions
from services.scorer.models.repository import PublishedModel
from shared.access.guard import require
from shared.access.keyring import KeyRing
from shared.access.principal import Principal, Scope
from shared.events.json import Json
from shared.http.cursors import cursor_of, place_of
from shared.http.inputs import JsonDocument, PlainText
from shared.http.problems import problem_responses
from shared.service import Context

_LARGEST_VERSION = 2**31 - 1

Version = Annotated[int, Path(ge=1, le=_LARGEST_VERSION, description="Version of the workspace's model.")]
Reason = Annotated[PlainText, Field(min_length=1, max_length=500, description="Why, for the history.")]
Limit = Annotated[int, Query(ge=1, le=100, description="Entries per page.")]
Cursor = Annotated[str | None, Query(max_length=512, description="`next_cursor` of the page before.")]


class Request(BaseModel):
    """A body in which an unknown field is a mistake."""

    model_config = ConfigDict(extra="forbid")


class ModelPublication(Request):
    """A model document to publish."""

    document: JsonDocument = Field(description="The model document, as the scoring page describes it.")
    reason: Reason = "published by API"
    activate: bool = Field(True, description="Let it count at once.")


class Validation(Request):
    """A model document to check."""

    document: JsonDocument = Field(description="The model document.")


class Decision(Request):
    """Why something is decided."""

    reason: Reason


class Return(Decision):
    """Why the version before shall count again."""

    from_version: Annotated[int, Field(ge=1, le=_LARGEST_VERSION)] | None = Field(
        None, description="The version that must be active: repeating the call then goes back only once."
    )


class ModelSummary(BaseModel):
    """A published version."""

    version: int = Field(description="1, 2, 3 ... per workspace; never changes.")
    name: str = Field(description="The document's `model`.")
    active: bool = Field(description="Whether it counts now.")
    shadow: bool = Field(description="Whether it is scored in the shadow of the active one.")
    published_at: datetime
    published_by: str = Field(description="Key, or user of the command line.")
    reason: str


class ModelDetail(ModelSummary):
    """A published version with its document."""

    document: dict[str, Json]


class ModelList(BaseModel):
    """Published versions, the newest first."""

    models: list[ModelSummary]
    next_cursor: str | None = Field(description="Hand it back as `cursor` for the next page; null: the end.")


class Activated(BaseModel):
    """The decision that a version counts, until the next one."""

    version: int
    activated_at: datetime
    activated_by: str = Field(description="Key, or user of the command line.")
    reason: str


class ModelHistory(BaseModel):
    """Which version counted when, the newest decision first."""

    activations: list[Activated]
    next_cursor: str | None = Field(description="Hand it back as `cursor` for the next page; null: the end.")


class Valid(BaseModel):
    """The document may be published."""

    valid: bool
    name: str
    scores: list[str]
    rules: int


class Changed(BaseModel):
    """One thing that differs between two models."""

    change: Literal["added", "removed", "changed", "moved"]
    path: str = Field(description="Where in the document.")
    old: str | None = Field(description="What stood there; null for what was added.")
    new: str | None = Field(description="What stands there; null for what was removed.")
    text: str = Field(description="The same in words.")


class Differences(BaseModel):
    """What changes from one model to another; spelling is no difference."""

    differences: list[Changed]


@dataclass(frozen=True, slots=True)
class _BeforeVersion:
    """The last version of the page before."""

    version: Annotated[int, Field(ge=1, le=_LARGEST_VERSION)]


@dataclass(frozen=True, slots=True)
class _BeforeDecision:
    """The last decision of the page before."""

    id: Annotated[int, Field(ge=1, le=2**63 - 1)]


def models_router(context: Context, keys: KeyRing, *, most_versions: int | None = None) -> APIRouter:
    """Routes under /v1/models about versions."""
    router = APIRouter(prefix="/v1/models", tags=["models"], responses=problem_responses(401, 403, 429, 503))
    reader = Annotated[Principal, Depends(require(Scope.LEADS_READ, keys))]
    writer = Annotated[Principal, Depends(require(Scope.MODELS_WRITE, keys))]
    database, clock = context.database, context.clock

    @router.post("", status_code=201, summary="Publish a model", responses=problem_responses(400, 409, 422))
    async def publish(body: ModelPublication, caller: writer) -> ModelDetail:
        published = await versions.publish(
            database,
            clock,
            caller.workspace,
            body.document,
            by=who(caller),
            reason=body.reason,
            activate=body.activate,
            most=most_versions,
        )
        return await detail(context, caller.workspace, published.version)

    @router.post("/validate", summary="Check a model without publishing it", responses=problem_responses(400, 422))
    async def validate(body: Validation, caller: writer) -> Valid:  # noqa: ARG001 - the guard is its use
        model = parse_model(body.document)
        rules = sum(len(getattr(score, "rules", ())) for score in model.scores.values())
        return Valid(valid=True, name=model.name, scores=list(model.scores), rules=rules)

    @router.get("", summary="All versions, the newest first", responses=problem_responses(422))
    async def list_models(caller: reader, limit: Limit = 50, cursor: Cursor = None) -> ModelList:
        place = place_of(cursor, _BeforeVersion)
        async with database.transaction(caller.workspace) as connection:
            choice = (await model_repository.choices(connection, [caller.workspace]))[caller.workspace]
            found = await model_repository.models_of(
                connection, caller.workspace, before=place.version if place else None, limit=limit + 1
            )
        more = cursor_of(_BeforeVersion(found[limit - 1].version)) if len(found) > limit else None
        return ModelList(models=[_summary(model, choice) for model in found[:limit]], next_cursor=more)

    @router.get("/history", summary="Which version counted when, and why", responses=problem_responses(422))
    async def history(caller: reader, limit: Limit = 50, cursor: Cursor = None) -> ModelHistory:
        place = place_of(cursor, _BeforeDecision)
        async with database.transaction(caller.workspace) as connection:
            found = await model_repository.activations(
                connection, caller.workspace, before=place.id if place else None, limit=limit + 1
            )
        more = cursor_of(_BeforeDecision(found[limit - 1].id)) if len(found) > limit else None
        shown = [
            Activated(
                version=each.version,
                activated_at=each.activated_at,
                activated_by=each.activated_by,
                reason=each.reason,
            )
            for each in found[:limit]
        ]
        return ModelHistory(activations=shown, next_cursor=more)

    @router.post(
        "/rollback",
        summary="Let the version count that did before",
        responses=problem_responses(400, 409, 422),
    )
    async def rollback(body: Return, caller: writer) -> ModelDetail:
        version = await versions.rollback(
            database, clock, caller.workspace, by=who(caller), reason=body.reason, version=body.from_version
        )
        return await detail(context, caller.workspace, version)

    @router.get("/{version:int}", summary="One version", responses=problem_responses(404, 422))
    async def get_model(version: Version, caller: reader) -> ModelDetail:
        return await detail(context, caller.workspace, version)

    @router.get(
        "/{version:int}/diff/{other:int}",
        summary="What changes from one version to another, in words",
        responses=problem_responses(404, 422),
    )
    async def diff(version: Version, other: Version, caller: reader) -> Differences:
        old = await versions.published(database, caller.workspace, version)
        new = await versions.published(database, caller.workspace, other)
        return differences_between(old.document, new.document)

    @router.post(
        "/{version:int}/activate",
        summary="Let a version count (also to go back, or to promote what is in the shadow)",
        responses=problem_responses(400, 404, 422),
    )
    async def activate(version: Version, body: Decision, caller: writer) -> ModelDetail:
        await versions.activate(database, clock, caller.workspace, version, by=who(caller), reason=body.reason)
        return await detail(context, caller.workspace, version)

    return router


def who(caller: Principal) -> str:
    """The caller, for the history."""
    return f"key {caller.key_id}"


async def detail(context: Context, workspace: str, version: int) -> ModelDetail:
    """A version with its document. Raises InvalidInput (`not_found`)."""
    model = await versions.published(context.database, workspace, version)
    async with context.database.transaction(workspace) as connection:
        choice = (await model_repository.choices(connection, [workspace]))[workspace]
    assert isinstance(model.document, dict), "every published document is valid"
    return ModelDetail(**_summary(model, choice).model_dump(), document=model.document)


def differences_between(old: Json, new: Json) -> Differences:
    """How the valid model `new` differs from `old`."""
    return Differences(
        differences=[
            Changed(change=each.change, path=each.path, old=each.old, new=each.new, text=str(each))
            for each in differences(old, new)
        ]
    )


def _summary(model: PublishedModel, choice: model_repository.Choice) -> ModelSummary:
    return ModelSummary(
        version=model.version,
        name=model.name,
        active=model.version == choice.version,
        shadow=model.version == choice.shadow_version,
        published_at=model.published_at,
        published_by=model.published_by,
        reason=model.reason,
    )
