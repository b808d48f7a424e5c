"""The API of what is held about a lead: all of it as JSON, and erasing it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends

from services.scorer.api.erasure_schemas import ErasureView, ScorerExport, erasure_view, scorer_export
from services.scorer.erasure import exporting
from services.scorer.explaining import Explainer
from services.scorer.service import Scorer
from shared.access.guard import require
from shared.access.keyring import KeyRing
from shared.access.principal import Principal, Scope
from shared.errors import InvalidInput
from shared.http.problems import problem_responses
from shared.sealing import erasures
from shared.service import Context


def erasures_router(context: Context, keys: KeyRing, scorer: Scorer) -> APIRouter:
    """Routes under /v1/scores that GDPR asks for."""
    router = APIRouter(
        prefix="/v1/scores", tags=["scores"], responses=problem_responses(401, 403, 404, 422, 429, 503)
    )
    reader = Annotated[Principal, Depends(require(Scope.LEADS_READ, keys))]
    eraser = Annotated[Principal, Depends(require(Scope.LEADS_ERASE, keys))]
    explainer = Explainer(context.database, context.clock)

    @router.get("/{lead_id}/export", summary="Everything the scorer holds about a lead")
    async def export(lead_id: UUID, caller: reader) -> ScorerExport:
        explanation = await explainer.explain(caller.workspace, lead_id)
        async with context.database.transaction(caller.workspace) as connection:
            held = await exporting.holding(connection, caller.workspace, explanation.subject.id)
        return scorer_export(explanation, held)

    @router.delete("/{lead_id}", status_code=202, summary="Erase a lead with all that is held about it, for good")
    async def erase(lead_id: UUID, caller: eraser) -> ErasureView:
        return erasure_view(await scorer.erase(caller.workspace, lead_id, actor=caller.key_id))

    @router.get("/{lead_id}/erasure", summary="How far the erasure of a lead has come")
    async def erasure(lead_id: UUID, caller: eraser) -> ErasureView:
        async with context.database.transaction(caller.workspace) as connection:
            found = await erasures.last_of(connection, caller.workspace, lead_id)
        if found is None:
            raise InvalidInput("that lead was not erased", code="not_found", field="lead_id")
        return erasure_view(found)

    return router
