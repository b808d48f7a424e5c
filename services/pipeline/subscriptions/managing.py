"""Subscriptions as their owners manage them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from secrets import token_bytes
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from services.pipeline.delivery import operational
from services.pipeline.delivery.address import AddressGuard
from services.pipeline.delivery.sender import Answer, Sender
from services.pipeline.delivery.signature import SECRET_BYTES, secret_text, signed_headers
from services.pipeline.domain.message_paths import check_paths
from services.pipeline.domain.subscription import Filter, parse_filter
from services.pipeline.subscriptions import replays, repository
from services.pipeline.subscriptions.fanout import DELIVERED_TYPES, OPERATIONAL_TYPES
from services.pipeline.subscriptions.replays import Replayed, ReplayPlace
from services.pipeline.subscriptions.repository import (
    AttemptPlace,
    AttemptView,
    Change,
    DeliveryView,
    Secret,
    Subscription,
)
from shared.clock import Clock
from shared.db.engine import Database
from shared.db.quota import Quota
from shared.errors import InvalidInput
from shared.events.json import Json
from shared.observability import tracing

REPLAY_PAGE: Final = 1_000
BY_OWNER: Final = "its owner disabled it"
_DELETED_AT_ONCE: Final = 5_000
_SUBSCRIPTIONS: Final = Quota(
    things="subscriptions",
    code="too_many_subscriptions",
    count="SELECT count(*) FROM pipeline.subscription WHERE workspace = :workspace",
    remedy="delete one, or raise LEADFLOW_PIPELINE_MOST_SUBSCRIPTIONS",
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to be told, and where. No `event_types`: all about leads."""

    url: str
    event_types: Sequence[str] = ()
    filter: Mapping[str, Json] | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class PartialWish:
    """What somebody wants otherwise; None: as it was."""

    url: str | None = None
    event_types: Sequence[str] | None = None
    filter: Mapping[str, Json] | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Tested:
    """A test message and what came back."""

    message_id: str
    answer: Answer


async def create(
    database: Database, clock: Clock, guard: AddressGuard, workspace: str, wish: Wish, *, most: int | None = None
) -> Subscription:
    """A new subscription with a new secret: the only moment to show it.

    Raises AddressRefused, InvalidDocument (filter), InvalidInput for an unknown event type, Refused when
    there are `most` subscriptions.
    """
    guard.check_url(wish.url)
    event_types = _known_types(wish.event_types)
    subscription = Subscription(
        id=uuid4(),
        workspace=workspace,
        description=wish.description,
        url=wish.url,
        event_types=event_types,
        filter=_of_messages(parse_filter(wish.filter or {}), event_types),
        secrets=(_new_secret(clock.now()),),
        state="enabled",
        disabled_reason=None,
        created_at=clock.now(),
    )
    async with database.transaction(workspace) as connection:
        await _SUBSCRIPTIONS.admit_one(connection, workspace, most=most)
        await repository.insert(connection, subscription)
    return subscription


async def all_of(database: Database, workspace: str) -> list[Subscription]:
    """The workspace's subscriptions, the oldest first."""
    async with database.transaction(workspace) as connection:
        return await repository.all_of(connection, workspace)


async def get(database: Database, workspace: str, subscription_id: UUID) -> Subscription:
    """One subscription. Raises InvalidInput (not_found), as all that follow."""
    async with database.transaction(workspace) as connection:
        return await _found(connection, workspace, subscription_id)


async def change(
    database: Database, guard: AddressGuard, workspace: str, subscription_id: UUID, wish: PartialWish
) -> Subscription:
    """Change what is told, or where; raises what `create` does. What is on its way goes to the new URL."""
    if wish.url is not None:
        guard.check_url(wish.url)
    async with database.transaction(workspace) as connection:
        known = await _found(connection, workspace, subscription_id, lock=True)
        event_types = known.event_types if wish.event_types is None else _known_types(wish.event_types)
        conditions = known.filter if wish.filter is None else parse_filter(wish.filter)
        changes_what = wish.event_types is not None or wish.filter is not None
        wanted = Change(
            url=known.url if wish.url is None else wish.url,
            event_types=event_types,
            filter=_of_messages(conditions, event_types) if changes_what else conditions,
            description=known.description if wish.description is None else wish.description,
        )
        await repository.change(connection, subscription_id, wanted)
        if wanted.url != known.url:
            # What the old receiver did is not held against the new one.
            await repository.record_success(connection, {subscription_id})
        return await _found(connection, workspace, subscription_id)


async def enable(database: Database, workspace: str, subscription_id: UUID) -> Subscription:
    """Send again; what was on its way goes on, what was told meanwhile can be replayed."""
    async with database.transaction(workspace) as connection:
        await _found(connection, workspace, subscription_id, lock=True)
        await repository.enable(connection, subscription_id)
        return await _found(connection, workspace, subscription_id)


async def disable(database: Database, clock: Clock, workspace: str, subscription_id: UUID) -> Subscription:
    """Send nothing until it is enabled again."""
    async with database.transaction(workspace) as connection:
        await _found(connection, workspace, subscription_id, lock=True)
        await repository.disable(connection, subscription_id, BY_OWNER, clock.now())
        return await _found(connection, workspace, subscription_id)


async def rotate_secret(
    database: Database, clock: Clock, workspace: str, subscription_id: UUID, *, keep_old: timedelta
) -> Subscription:
    """Exchange the secret; the one before it signs too for `keep_old`. The only moment to show the new one."""
    now = clock.now()
    async with database.transaction(workspace) as connection:
        known = await _found(connection, workspace, subscription_id, lock=True)
        secrets = rotated(known.secrets_at(now), _new_secret(now), until=now + keep_old)
        await repository.change_secrets(connection, subscription_id, secrets)
        return replace(known, secrets=secrets)


def rotated(alive: Sequence[Secret], new: Secret, *, until: datetime) -> tuple[Secret, ...]:
    """The secrets after a rotation, the newest first: two at most, the older one good until `until` at most."""
    kept = [replace(old, expires_at=min(old.expires_at or until, until)) for old in alive[:1]]
    return (new, *(old for old in kept if old.is_good(new.created_at)))


async def delete(database: Database, clock: Clock, workspace: str, subscription_id: UUID) -> None:
    """End a subscription with its deliveries; in steps, because there may be very many."""
    async with database.transaction(workspace) as connection:
        await _found(connection, workspace, subscription_id, lock=True)
        await repository.disable(connection, subscription_id, BY_OWNER, clock.now())
    gone = _DELETED_AT_ONCE
    while gone == _DELETED_AT_ONCE:
        async with database.transaction(workspace) as connection:
            gone = await repository.delete_deliveries(connection, subscription_id, _DELETED_AT_ONCE)
    async with database.transaction(workspace) as connection:
        await repository.delete(connection, workspace, subscription_id)


async def deliveries_of(
    database: Database, workspace: str, subscription_id: UUID, *, before: int | None, limit: int
) -> list[DeliveryView]:
    """Deliveries, the newest first."""
    async with database.transaction(workspace) as connection:
        await _found(connection, workspace, subscription_id)
        return await repository.deliveries_of(connection, subscription_id, before=before, limit=limit)


async def attempts_of(
    database: Database, workspace: str, subscription_id: UUID, *, before: AttemptPlace | None, limit: int
) -> list[AttemptView]:
    """The attempt log, the newest first."""
    async with database.transaction(workspace) as connection:
        await _found(connection, workspace, subscription_id)
        return await repository.attempts_of(connection, subscription_id, before=before, limit=limit)


async def replay_since(
    database: Database,
    clock: Clock,
    workspace: str,
    subscription_id: UUID,
    *,
    since: datetime,
    until: datetime | None,
) -> Replayed:
    """Send again what was told from `since` on and before `until`, or until now: a page, `replay_on` has the rest.

    The subscription's types and filter hold as they are now. A disabled one keeps them until it is enabled.
    """
    async with database.transaction(workspace) as connection:
        subscription = await _found(connection, workspace, subscription_id)
        place = await replays.range_of(connection, workspace, since, until)
        return await replays.replay_range(connection, subscription, place, now=clock.now(), limit=REPLAY_PAGE)


async def replay_on(
    database: Database, clock: Clock, workspace: str, subscription_id: UUID, *, place: ReplayPlace
) -> Replayed:
    """The next page of a replay."""
    async with database.transaction(workspace) as connection:
        subscription = await _found(connection, workspace, subscription_id)
        return await replays.replay_range(connection, subscription, place, now=clock.now(), limit=REPLAY_PAGE)


async def replay_messages(
    database: Database, clock: Clock, workspace: str, subscription_id: UUID, *, message_ids: Sequence[str]
) -> Replayed:
    """Send these messages again. Raises InvalidInput (not_found) for one that is not kept."""
    async with database.transaction(workspace) as connection:
        subscription = await _found(connection, workspace, subscription_id)
        return await replays.replay_messages(connection, subscription, message_ids, now=clock.now())


async def send_test(
    database: Database, clock: Clock, sender: Sender, workspace: str, subscription_id: UUID
) -> Tested:
    """Send a harmless signed message now, whatever the subscription's state, and wait for what comes back."""
    subscription = await get(database, workspace, subscription_id)
    now = clock.now()
    message = operational.tested(uuid4(), subscription_id, workspace=workspace, at=now)
    secrets = [secret.text for secret in subscription.secrets_at(now)]
    headers = signed_headers(message.id, message.body, at=now, secrets=secrets)
    with tracing.span("POST webhook", "client", parent=tracing.current()) as span:
        headers |= span.context.texts()
        return Tested(message.id, await sender.send(subscription.url, headers, message.body))


def _known_types(names: Sequence[str]) -> tuple[str, ...]:
    known = (*DELIVERED_TYPES, *OPERATIONAL_TYPES)
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise InvalidInput(
            f"there is no event type {unknown[0][:80]}; there are {', '.join(known)}", field="event_types"
        )
    return tuple(dict.fromkeys(names))


def _of_messages(conditions: Filter, types: Sequence[str]) -> Filter:
    """`conditions`, if the messages of `types` can have what they ask for. Raises InvalidDocument."""
    # No schema tells what messages about webhooks hold.
    if not set(types) & set(OPERATIONAL_TYPES):
        check_paths(conditions, types or DELIVERED_TYPES)
    return conditions


def _new_secret(now: datetime) -> Secret:
    return Secret(secret_text(token_bytes(SECRET_BYTES)), now)


async def _found(
    connection: AsyncConnection, workspace: str, subscription_id: UUID, *, lock: bool = False
) -> Subscription:
    found = await repository.find(connection, workspace, subscription_id, lock=lock)
    if found is None:
        raise InvalidInput("there is no such subscription", code="not_found", field="id")
    return found
