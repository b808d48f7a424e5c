"""POST and GET /v1/sources."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends

from services.ingest.api.schemas import ChangedSource, NewSecret, NewSource, SecretShown, SourceList, SourceShown
from services.ingest.kinds.kind import Source
from services.ingest.sources.book import SourceBook
from services.ingest.sources.checking import SourceChange, SourceRequest, changed_source, new_source, with_new_secret
from services.ingest.sources.repository import SourceRepository
from shared.access import KeyRing, Principal, Scope, require
from shared.clock import Clock
from shared.errors import InvalidInput
from shared.http import problem_responses


def sources_router(
    repository: SourceRepository, *, keys: KeyRing, sources: SourceBook, clock: Clock, most: int | None = None
) -> APIRouter:
    """The routes by which a workspace manages who may send webhooks to it."""
    router = APIRouter(tags=["sources"])
    guard = require(Scope.SOURCES_WRITE, keys)

    @router.post(
        "/v1/sources",
        status_code=201,
        summary="Create a webhook source",
        description="Other leadflow processes know it within two seconds. Secrets are never shown again.",
        responses=problem_responses(400, 401, 403, 409, 422, 503),
    )
    async def create(body: NewSource, caller: Annotated[Principal, Depends(guard)]) -> SourceShown:
        request = SourceRequest(
            id=body.id,
            kind=body.kind,
            secrets=body.secrets,
            public_url=body.public_url,
            event_names=body.event_names,
            time_zone=body.time_zone,
            tolerance_seconds=body.tolerance_seconds,
        )
        now = clock.now()
        source = new_source(request, workspace=caller.workspace, now=now)
        await repository.create(source, now=now, most=most)
        await sources.snapshot.refresh()
        return _shown(source)

    @router.post(
        "/v1/sources/{source_id}/secrets",
        status_code=201,
        summary="Exchange the secret of a webhook source",
        description="Both are taken until the old one ends, so nothing is refused while the platform changes over.",
        responses=problem_responses(400, 401, 403, 404, 422, 503),
    )
    async def exchange(source_id: str, body: NewSecret, caller: Annotated[Principal, Depends(guard)]) -> SourceShown:
        def exchanged(source: Source) -> Source:
            keep_old = timedelta(seconds=body.keep_old_seconds)
            return with_new_secret(source, body.secret, now=clock.now(), keep_old=keep_old)

        _refuse_unstorable(source_id)
        source = await repository.change_secrets(source_id, caller.workspace, exchanged)
        await sources.snapshot.refresh()
        return _shown(source)

    @router.patch(
        "/v1/sources/{source_id}",
        summary="Change what a webhook source's names mean",
        description="What was parked for an unknown name becomes events by POST /v1/parked/replay.",
        responses=problem_responses(400, 401, 403, 404, 422, 503),
    )
    async def change(
        source_id: str, body: ChangedSource, caller: Annotated[Principal, Depends(guard)]
    ) -> SourceShown:
        wanted = SourceChange(body.event_names, body.public_url, body.time_zone)
        _refuse_unstorable(source_id)
        source = await repository.change_meaning(
            source_id, caller.workspace, lambda source: changed_source(source, wanted)
        )
        await sources.snapshot.refresh()
        return _shown(source)

    @router.get(
        "/v1/sources",
        summary="List the webhook sources",
        responses=problem_responses(401, 403, 429, 503),
    )
    async def listed(caller: Annotated[Principal, Depends(guard)]) -> SourceList:
        return SourceList(sources=[_shown(one) for one in await repository.of_workspace(caller.workspace)])

    return router


def _refuse_unstorable(source_id: str) -> None:
    """PostgreSQL takes no NUL, which a URL can hold."""
    if not source_id.isprintable():
        raise InvalidInput("no such source in this workspace", code="not_found", field="source")


def _shown(source: Source) -> SourceShown:
    return SourceShown(
        id=source.id,
        kind=source.kind,
        path=f"/v1/webhooks/{source.id}",
        secrets=[
            SecretShown(id=secret.id, created_at=secret.created_at, expires_at=secret.expires_at)
            for secret in source.secrets
        ],
        public_url=source.public_url,
        event_names=dict(source.event_names),
        time_zone=source.time_zone,
        tolerance_seconds=source.tolerance_seconds,
    )
