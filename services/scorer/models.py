"""Which model counts: publishing versions, choosing one, and having the chosen one compiled at hand."""

from collections.abc import Iterable
from hashlib import sha256

from pydantic_core import to_json
from sqlalchemy.ext.asyncio import AsyncConnection

from services.scorer import model_repository
from services.scorer.domain.document import parse_model
from services.scorer.domain.lead import NO_MODEL, ActiveModel
from services.scorer.model_repository import PublishedModel
from shared.clock import Clock
from shared.db.engine import Database
from shared.errors import InvalidInput
from shared.events.json import Json


class ModelBook:
    """Compiled models by workspace and version; a version never changes, so none is ever stale."""

    def __init__(self) -> None:
        self._compiled: dict[tuple[str, int], ActiveModel] = {}

    async def active(self, connection: AsyncConnection, workspaces: Iterable[str]) -> dict[str, ActiveModel]:
        """The model that counts in each of `workspaces` as of this transaction; NO_MODEL where there is none."""
        wanted = sorted(set(workspaces))
        versions = await model_repository.active_versions(connection, wanted)
        found = {name: await self._model(connection, name, version) for name, version in versions.items()}
        return {workspace: found.get(workspace, NO_MODEL) for workspace in wanted}

    async def _model(self, connection: AsyncConnection, workspace: str, version: int) -> ActiveModel:
        key = (workspace, version)
        if key not in self._compiled:
            published = await model_repository.model_of(connection, workspace, version)
            assert published is not None, "an active version is a published one"
            self._compiled[key] = ActiveModel(version, parse_model(published.document))
        return self._compiled[key]


async def publish(
    database: Database, clock: Clock, workspace: str, document: Json, *, by: str, reason: str, activate: bool = True
) -> PublishedModel:
    """Publish `document` as the workspace's next version, and let it count unless told otherwise.

    The same document as the newest version is that version again. Raises InvalidDocument.
    """
    model = parse_model(document)
    now = clock.now()
    body = PublishedModel(
        workspace=workspace,
        version=0,
        name=model.name,
        document=document,
        published_at=now,
        published_by=by,
        reason=reason,
    )
    async with database.transaction() as connection:
        version = await model_repository.publish(connection, body, sha256(to_json(document)).digest())
        if activate:
            await _activate(connection, workspace, version, clock=clock, by=by, reason=reason)
        published = await model_repository.model_of(connection, workspace, version)
    assert published is not None, "it was just written"
    return published


async def activate(database: Database, clock: Clock, workspace: str, version: int, *, by: str, reason: str) -> None:
    """Let a published version count from now on; going back to an older one is the same call.

    Raises InvalidInput when there is no such version.
    """
    async with database.transaction() as connection:
        if await model_repository.model_of(connection, workspace, version) is None:
            raise InvalidInput(f"there is no version {version} of the model", code="not_found", field="version")
        await _activate(connection, workspace, version, clock=clock, by=by, reason=reason)


async def _activate(
    connection: AsyncConnection, workspace: str, version: int, *, clock: Clock, by: str, reason: str
) -> None:
    active = await model_repository.active_versions(connection, [workspace])
    if active.get(workspace) != version:
        await model_repository.activate(connection, workspace, version, at=clock.now(), by=by, reason=reason)
