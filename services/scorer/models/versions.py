"""Which model counts: drafts, publishing versions, choosing one, and having the chosen ones compiled at hand."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NamedTuple

from pydantic_core import to_json
from sqlalchemy.ext.asyncio import AsyncConnection

from services.scorer.domain.lead import NO_MODEL, ActiveModel
from services.scorer.domain.models.document import parse_model
from services.scorer.models import repository, shadow_runs
from services.scorer.models.repository import Choice, Draft, PublishedModel
from services.scorer.models.shadow_runs import ShadowRun
from shared.clock import Clock
from shared.db.engine import Database
from shared.db.quota import Quota
from shared.errors import InvalidInput, Refused
from shared.events.json import Json

_MODELS: Final = Quota(
    things="published models",
    code="too_many_models",
    count="SELECT count(*) FROM scorer.model WHERE workspace = :workspace",
    remedy="they stay for good, so raise LEADFLOW_SCORER_MOST_MODEL_VERSIONS",
)
# Drafts are work in progress of a few people; what shall last is published, or lies in their repository.
_DRAFTS: Final = Quota(
    things="drafts",
    code="too_many_drafts",
    count="SELECT count(*) FROM scorer.draft WHERE workspace = :workspace",
    remedy="delete one, or raise LEADFLOW_SCORER_MOST_DRAFTS",
)


@dataclass(frozen=True, slots=True)
class Shadow:
    """A version that is scored beside the active one; `id` tells this time from other times of the same version."""

    id: int
    model: ActiveModel


@dataclass(frozen=True, slots=True)
class Chosen:
    """What scores the leads of a workspace. `inherited` is as in `Choice`."""

    active: ActiveModel
    shadow: Shadow | None
    inherited: int | None


_NOTHING = Chosen(NO_MODEL, None, None)


class ModelBook:
    """Compiled models by workspace and version; a version never changes, so none is ever stale."""

    def __init__(self) -> None:
        self._compiled: dict[tuple[str, int], ActiveModel] = {}

    async def chosen(self, connection: AsyncConnection, workspaces: Iterable[str]) -> Mapping[str, Chosen]:
        """What scores the leads of each of `workspaces` as of this statement.

        Whoever acts on it has locked the leads before: then a shadow that starts meanwhile finds what was done.
        """
        wanted = sorted(set(workspaces))
        choices = await repository.choices(connection, wanted)
        return {name: await self._chosen(connection, name, choice) for name, choice in choices.items()}

    async def active(self, connection: AsyncConnection, workspaces: Iterable[str]) -> dict[str, ActiveModel]:
        """The model that counts in each of `workspaces` as of this statement; NO_MODEL where there is none."""
        return {name: chosen.active for name, chosen in (await self.chosen(connection, workspaces)).items()}

    async def model(self, connection: AsyncConnection, workspace: str, version: int) -> ActiveModel:
        """A published version, compiled."""
        key = (workspace, version)
        if key not in self._compiled:
            published = await repository.model_of(connection, workspace, version)
            assert published is not None, "a chosen version is a published one"
            self._compiled[key] = ActiveModel(version, parse_model(published.document))
        return self._compiled[key]

    async def _chosen(self, connection: AsyncConnection, workspace: str, choice: Choice) -> Chosen:
        if choice.version is None:
            return _NOTHING
        active = await self.model(connection, workspace, choice.version)
        if choice.shadow_id is None or choice.shadow_version is None:
            return Chosen(active, None, choice.inherited)
        shadow = Shadow(choice.shadow_id, await self.model(connection, workspace, choice.shadow_version))
        return Chosen(active, shadow, choice.inherited)


class Actor(NamedTuple):
    """Who decides something, and why: for the history."""

    name: str
    reason: str


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
) -> PublishedModel:
    """Publish `document` as the workspace's next version, and let it count unless told otherwise.

    The same document as the newest version is that version again. Raises InvalidDocument, and Refused when there
    are `most` versions.
    """
    async with database.transaction(workspace) as connection:
        actor = Actor(by, reason)
        return await _publish(connection, clock, workspace, document, actor=actor, activate=activate, most=most)


async def publish_draft(
    database: Database,
    clock: Clock,
    workspace: str,
    name: str,
    *,
    by: str,
    reason: str,
    activate: bool = True,
    most: int | None = None,
) -> PublishedModel:
    """Publish a draft as the next version; then there is no such draft any more.

    Raises InvalidInput (`not_found`) without one by that name, and what `publish` raises.
    """
    async with database.transaction(workspace) as connection:
        await repository.lock_choice(connection, workspace)
        draft = await _draft(connection, workspace, name)
        actor = Actor(by, reason)
        published = await _publish(
            connection, clock, workspace, draft.document, actor=actor, activate=activate, most=most
        )
        await repository.delete_draft(connection, workspace, name)
        return published


async def activate(database: Database, clock: Clock, workspace: str, version: int, *, by: str, reason: str) -> None:
    """Let a published version count from now on; going back to an older one is the same call.

    If it was scored in the shadow, that ends, and its states are taken over. Raises InvalidInput (`not_found`).
    """
    async with database.transaction(workspace) as connection:
        await repository.lock_choice(connection, workspace)
        await _must_be_published(connection, workspace, version)
        await _activate(connection, workspace, version, clock=clock, actor=Actor(by, reason))


async def rollback(
    database: Database, clock: Clock, workspace: str, *, by: str, reason: str, version: int | None = None
) -> int:
    """Let the version count that did before the active one; returns it.

    `version`, if given, must be the active one: a call that is repeated then goes back only once. Raises Refused
    when it is not, or when nothing counted before.
    """
    async with database.transaction(workspace) as connection:
        await repository.lock_choice(connection, workspace)
        decisions = await repository.activations(connection, workspace, limit=2)
        if version is not None and (not decisions or decisions[0].version != version):
            raise Refused(f"version {version} is not the active one", code="not_active")
        if len(decisions) < 2:
            raise Refused("no other version was active before", code="nothing_before")
        before = decisions[1].version
        await _activate(connection, workspace, before, clock=clock, actor=Actor(by, reason))
        return before


async def start_shadow(
    database: Database, clock: Clock, workspace: str, version: int, *, by: str, reason: str
) -> ShadowRun:
    """Score a published version beside the active one, from the same events; nothing of it is told.

    If it is in the shadow already, nothing changes. Raises InvalidInput (`not_found`), and Refused while another
    version is, for the active version, and where none is active.
    """
    async with database.transaction(workspace) as connection:
        await repository.lock_choice(connection, workspace)
        await _must_be_published(connection, workspace, version)
        running = await shadow_runs.running(connection, workspace)
        if running is not None and running.version == version:
            return running
        if running is not None:
            raise Refused(f"version {running.version} is in the shadow; stop it first", code="another_shadow")
        active = (await repository.choices(connection, [workspace]))[workspace].version
        if active is None or active == version:
            what = "no version is active" if active is None else f"version {version} is active itself"
            raise Refused(f"there is nothing to compare with: {what}", code="nothing_to_compare")
        run = ShadowRun(0, workspace, version, clock.now(), by, reason)
        await shadow_runs.start(connection, run)
        started = await shadow_runs.running(connection, workspace)
    assert started is not None, "it was just written"
    return started


async def stop_shadow(database: Database, clock: Clock, workspace: str, version: int, *, by: str) -> None:
    """Score `version` in the shadow no more. Raises InvalidInput (`not_found`) if it is not."""
    async with database.transaction(workspace) as connection:
        await repository.lock_choice(connection, workspace)
        running = await shadow_runs.running(connection, workspace)
        if running is None or running.version != version:
            raise InvalidInput(f"version {version} is not in the shadow", code="not_found", field="version")
        await shadow_runs.end(connection, running.id, at=clock.now(), by=by)


async def save_draft(
    database: Database,
    clock: Clock,
    workspace: str,
    name: str,
    document: Json,
    *,
    by: str,
    most: int | None = None,
) -> Draft:
    """Store a document to work on, valid or not, in place of the draft by the same name.

    Raises Refused when the workspace has `most` others.
    """
    draft = Draft(workspace, name, document, clock.now(), by)
    async with database.transaction(workspace) as connection:
        await repository.lock_choice(connection, workspace)
        if await repository.draft_of(connection, workspace, name) is None:
            await _DRAFTS.admit_one(connection, workspace, most=most)
        await repository.save_draft(connection, draft)
    return draft


async def draft(database: Database, workspace: str, name: str) -> Draft:
    """The draft by that name. Raises InvalidInput (`not_found`)."""
    async with database.transaction(workspace) as connection:
        return await _draft(connection, workspace, name)


async def delete_draft(database: Database, workspace: str, name: str) -> None:
    """Throw a draft away. Raises InvalidInput (`not_found`)."""
    async with database.transaction(workspace) as connection:
        await _draft(connection, workspace, name)
        await repository.delete_draft(connection, workspace, name)


async def published(database: Database, workspace: str, version: int) -> PublishedModel:
    """A version. Raises InvalidInput (`not_found`)."""
    async with database.transaction(workspace) as connection:
        return await _must_be_published(connection, workspace, version)


async def _publish(
    connection: AsyncConnection,
    clock: Clock,
    workspace: str,
    document: Json,
    *,
    actor: Actor,
    activate: bool,
    most: int | None,
) -> PublishedModel:
    model = parse_model(document)
    digest = sha256(to_json(document)).digest()
    await repository.lock_choice(connection, workspace)
    newest = await repository.newest(connection, workspace)
    version = newest[0] if newest else 0
    if newest is None or newest[1] != digest:
        await _MODELS.admit_one(connection, workspace, most=most)
        version += 1
        body = PublishedModel(
            workspace=workspace,
            version=version,
            name=model.name,
            document=document,
            published_at=clock.now(),
            published_by=actor.name,
            reason=actor.reason,
        )
        await repository.insert(connection, body, digest)
    if activate:
        await _activate(connection, workspace, version, clock=clock, actor=actor)
    return await _must_be_published(connection, workspace, version)


async def _activate(connection: AsyncConnection, workspace: str, version: int, *, clock: Clock, actor: Actor) -> None:
    """Every change of the active version comes by here; the caller holds the lock on the choice."""
    active = (await repository.choices(connection, [workspace]))[workspace].version
    if active == version:
        return
    now = clock.now()
    decision = await repository.activate(connection, workspace, version, at=now, by=actor.name, reason=actor.reason)
    running = await shadow_runs.running(connection, workspace)
    if running is not None and running.version == version:
        await shadow_runs.end(connection, running.id, at=now, by=actor.name, activation_id=decision)


async def _must_be_published(connection: AsyncConnection, workspace: str, version: int) -> PublishedModel:
    found = await repository.model_of(connection, workspace, version)
    if found is None:
        raise InvalidInput(f"there is no version {version} of the model", code="not_found", field="version")
    return found


async def _draft(connection: AsyncConnection, workspace: str, name: str) -> Draft:
    found = await repository.draft_of(connection, workspace, name)
    if found is None:
        raise InvalidInput(f"there is no draft {name}", code="not_found", field="name")
    return found
