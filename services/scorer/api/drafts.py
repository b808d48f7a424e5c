"""The API of drafts: models that somebody works on, valid or not, until they are published."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, Field

from services.scorer.api.models import (
    Cursor,
    Differences,
    Limit,
    ModelDetail,
    Reason,
    Request,
    detail,
    differences_between,
    who,
)
from services.scorer.domain.models.document import parse_model
from services.scorer.models import repository as model_repository
from services.scorer.models import versions
from services.scorer.models.repository import Draft
from shared.access.guard import require
from shared.access.keyring import KeyRing
from shared.access.principal import Principal, Scope
from shared.documents.reading import NAME
from shared.errors import Fault, InvalidDocument, Refused
from shared.events.json import Json
from shared.http.cursors import cursor_of, place_of
from shared.http.inputs import JsonDocument
from shared.http.problems import problem_responses
from shared.service import Context

_PATTERN = f"^{NAME.pattern}$"
Name = Annotated[str, Path(pattern=_PATTERN, max_length=64, description="Name of the draft.")]


class DraftBody(Request):
    """The document to keep, whatever its faults."""

    document: JsonDocument = Field(description="A model document; it may be invalid yet.")


class DraftPublication(Request):
    """Why a draft is published."""

    reason: Reason
    activate: bool = Field(True, description="Let it count at once.")


class DraftFault(BaseModel):
    """One thing that keeps a draft from being published."""

    path: str
    message: str


class DraftSummary(BaseModel):
    """A draft."""

    name: str
    changed_at: datetime
    changed_by: str = Field(description="Key, or user of the command line.")
    valid: bool = Field(description="Whether it may be published.")


class DraftDetail(DraftSummary):
    """A draft with its document and everything that is wrong with it."""

    faults: list[DraftFault]
    document: dict[str, Json]


class DraftList(BaseModel):
    """Drafts by name."""

    drafts: list[DraftSummary]
    next_cursor: str | None = Field(description="Hand it back as `cursor` for the next page; null: the end.")


@dataclass(frozen=True, slots=True)
class _After:
    """The last draft of the page before."""

    name: Annotated[str, Field(pattern=_PATTERN, max_length=64)]


def drafts_router(
    context: Context, keys: KeyRing, *, most_drafts: int | None = None, most_versions: int | None = None
) -> APIRouter:
    """Routes under /v1/models/drafts."""
    router = APIRouter(prefix="/v1/models/drafts", tags=["models"], responses=problem_responses(401, 403, 429, 503))
    reader = Annotated[Principal, Depends(require(Scope.LEADS_READ, keys))]
    writer = Annotated[Principal, Depends(require(Scope.MODELS_WRITE, keys))]
    database, clock = context.database, context.clock

    @router.get("", summary="Drafts by name", responses=problem_responses(422))
    async def list_drafts(caller: reader, limit: Limit = 50, cursor: Cursor = None) -> DraftList:
        place = place_of(cursor, _After)
        async with database.transaction(caller.workspace) as connection:
            found = await model_repository.drafts_of(
                connection, caller.workspace, after=place.name if place else None, limit=limit + 1
            )
        more = cursor_of(_After(found[limit - 1].name)) if len(found) > limit else None
        return DraftList(drafts=[_summary(draft) for draft in found[:limit]], next_cursor=more)

    @router.put("/{name}", summary="Keep a draft, valid or not", responses=problem_responses(400, 409, 422))
    async def save(name: Name, body: DraftBody, caller: writer) -> DraftDetail:
        saved = await versions.save_draft(
            database, clock, caller.workspace, name, body.document, by=who(caller), most=most_drafts
        )
        return _detail(saved)

    @router.get("/{name}", summary="A draft, and what is wrong with it", responses=problem_responses(404, 422))
    async def get_draft(name: Name, caller: reader) -> DraftDetail:
        return _detail(await versions.draft(database, caller.workspace, name))

    @router.delete("/{name}", status_code=204, summary="Throw a draft away", responses=problem_responses(404, 422))
    async def delete(name: Name, caller: writer) -> None:
        await versions.delete_draft(database, caller.workspace, name)

    @router.get(
        "/{name}/diff",
        summary="What publishing a draft would change of the active model, in words",
        responses=problem_responses(404, 409, 422),
    )
    async def diff(name: Name, caller: reader) -> Differences:
        draft = await versions.draft(database, caller.workspace, name)
        parse_model(draft.document)
        async with database.transaction(caller.workspace) as connection:
            active = (await model_repository.choices(connection, [caller.workspace]))[caller.workspace].version
        if active is None:
            raise Refused("no version is active to compare with", code="nothing_to_compare")
        published = await versions.published(database, caller.workspace, active)
        return differences_between(published.document, draft.document)

    @router.post(
        "/{name}/publish",
        status_code=201,
        summary="Publish a draft as the next version",
        responses=problem_responses(400, 404, 409, 422),
    )
    async def publish(name: Name, body: DraftPublication, caller: writer) -> ModelDetail:
        published = await versions.publish_draft(
            database,
            clock,
            caller.workspace,
            name,
            by=who(caller),
            reason=body.reason,
            activate=body.activate,
            most=most_versions,
        )
        return await detail(context, caller.workspace, published.version)

    return router


def _summary(draft: Draft) -> DraftSummary:
    return DraftSummary(
        name=draft.name, changed_at=draft.changed_at, changed_by=draft.changed_by, valid=not _faults(draft.document)
    )


def _detail(draft: Draft) -> DraftDetail:
    assert isinstance(draft.document, dict), "nothing else is kept"
    faults = [DraftFault(path=fault.path, message=fault.message) for fault in _faults(draft.document)]
    return DraftDetail(**_summary(draft).model_dump(), faults=faults, document=draft.document)


def _faults(document: Json) -> tuple[Fault, ...]:
    try:
        parse_model(document)
    except InvalidDocument as error:
        return error.faults
    return ()
