"""Which pipeline counts: publishing versions, and having the active one compiled at hand."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from pydantic_core import to_json
from sqlalchemy.ext.asyncio import AsyncConnection

from services.pipeline import metrics
from services.pipeline.documents import repository
from services.pipeline.documents.repository import Activation, PublishedDocument
from services.pipeline.domain.document import Pipeline, parse_pipeline
from shared.clock import Clock
from shared.db.engine import Database
from shared.db.quota import Quota
from shared.errors import InvalidInput, Refused
from shared.events.json import Json

_PIPELINES: Final = Quota(
    things="published pipelines",
    code="too_many_pipelines",
    count="SELECT count(*) FROM pipeline.document WHERE workspace = :workspace",
    remedy="they stay for good, so raise LEADFLOW_PIPELINE_MOST_PIPELINE_VERSIONS",
)


@dataclass(frozen=True, slots=True)
class ActivePipeline:
    """A published version, ready to use."""

    version: int
    pipeline: Pipeline


class PipelineBook:
    """Compiled pipelines by workspace and version; a version never changes, so none is ever stale."""

    def __init__(self) -> None:
        self._compiled: dict[tuple[str, int], ActivePipeline] = {}

    async def active(self, connection: AsyncConnection, workspaces: Iterable[str]) -> dict[str, ActivePipeline]:
        """The active pipelines of those of `workspaces` that have one, as of this transaction."""
        versions = await repository.active(connection, sorted(set(workspaces)))
        return {
            workspace: await self._compiled_version(connection, workspace, version)
            for workspace, version in versions.items()
        }

    async def _compiled_version(self, connection: AsyncConnection, workspace: str, version: int) -> ActivePipeline:
        key = (workspace, version)
        if key not in self._compiled:
            published = await repository.find(connection, workspace, version)
            assert published is not None, "an active version is a published one"
            pipeline = parse_pipeline(published.document)
            metrics.initialise_stages(tuple(stage.id for stage in pipeline.stages.order))
            self._compiled[key] = ActivePipeline(version, pipeline)
        return self._compiled[key]


async def publish(
    database: Database,
    clock: Clock,
    workspace: str,
    document: Json,
    *,
    by: str,
    reason: str,
    activate: bool = True,
    most: int | None = None,
) -> PublishedDocument:
    """Publish `document` as the workspace's next version, and let it count unless told otherwise.

    It moves nobody by itself. The same document as the newest version is that version again. Raises
    InvalidDocument with every fault, Refused when there are `most` versions.
    """
    pipeline = parse_pipeline(document)
    digest = sha256(to_json(document)).digest()
    async with database.transaction(workspace) as connection:
        await repository.lock(connection, workspace)
        newest = await repository.newest(connection, workspace)
        version = newest[0] if newest else 0
        if newest is None or newest[1] != digest:
            await _PIPELINES.admit_one(connection, workspace, most=most)
            version += 1
            draft = PublishedDocument(
                workspace=workspace,
                version=version,
                name=pipeline.name,
                document=document,
                active=False,
                published_at=clock.now(),
                published_by=by,
                reason=reason,
            )
            await repository.insert(connection, draft, digest)
        if activate:
            await _activate(connection, workspace, version, clock=clock, by=by, reason=reason)
        return await _found(connection, workspace, version)


async def activate(
    database: Database, clock: Clock, workspace: str, version: int, *, by: str, reason: str
) -> PublishedDocument:
    """Let a published version count from now on; going back to an older one is the same call.

    Raises InvalidInput (not_found).
    """
    async with database.transaction(workspace) as connection:
        await repository.lock(connection, workspace)
        await _found(connection, workspace, version)
        await _activate(connection, workspace, version, clock=clock, by=by, reason=reason)
        return await _found(connection, workspace, version)


async def roll_back(database: Database, clock: Clock, workspace: str, *, by: str, reason: str) -> PublishedDocument:
    """Let the version count again that the active one has replaced. Raises Refused when it has replaced none."""
    async with database.transaction(workspace) as connection:
        await repository.lock(connection, workspace)
        active = (await repository.active(connection, [workspace])).get(workspace, 0)
        before = await repository.replaced(connection, workspace, active)
        if before is None:
            raise Refused("the active version has replaced none", code="nothing_to_roll_back")
        await _activate(connection, workspace, before, clock=clock, by=by, reason=reason)
        return await _found(connection, workspace, before)


async def versions(
    database: Database, workspace: str, *, before: int | None = None, limit: int = 1_000
) -> list[PublishedDocument]:
    """Versions, the newest first."""
    async with database.transaction(workspace) as connection:
        return await repository.all_of(connection, workspace, before=before, limit=limit)


async def history(
    database: Database, workspace: str, *, before: int | None = None, limit: int = 1_000
) -> list[Activation]:
    """Which version counted since when, on whose word and why, the newest first."""
    async with database.transaction(workspace) as connection:
        return await repository.activations(connection, workspace, before=before, limit=limit)


async def version_of(database: Database, workspace: str, version: int | None) -> PublishedDocument:
    """One version, or the active one. Raises InvalidInput (not_found)."""
    async with database.transaction(workspace) as connection:
        if version is None:
            version = (await repository.active(connection, [workspace])).get(workspace, 0)
        return await _found(connection, workspace, version)


async def _activate(
    connection: AsyncConnection, workspace: str, version: int, *, clock: Clock, by: str, reason: str
) -> None:
    active = await repository.active(connection, [workspace])
    if active.get(workspace) != version:
        await repository.activate(connection, workspace, version, at=clock.now(), by=by, reason=reason)


async def _found(connection: AsyncConnection, workspace: str, version: int) -> PublishedDocument:
    found = await repository.find(connection, workspace, version)
    if found is None:
        raise InvalidInput("there is no such version of a pipeline", code="not_found", field="version")
    return found
