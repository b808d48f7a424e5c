"""Subscriptions as their owners manage them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from secrets import token_bytes
from uuid import UUID, uuid4

from pydantic_core import to_json
from sqlalchemy.ext.asyncio import AsyncConnection

from services.pipeline import subscription_repository
from services.pipeline.delivery.address import AddressGuard
from services.pipeline.delivery.signature import SECRET_BYTES, secret_text
from services.pipeline.domain.subscription import parse_filter
from services.pipeline.fanout import DELIVERED_TYPES, Delivery, FanOut
from services.pipeline.subscription_repository import DeliveryView, Secret, Subscription
from shared.clock import Clock
from shared.db.engine import Database
from shared.errors import InvalidInput
from shared.events.json import Json

TEST_TYPE = "subscription.tested"


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to be told, and where. No `event_types`: all of them."""

    url: str
    event_types: Sequence[str] = ()
    filter: Mapping[str, Json] | None = None
    description: str = ""


async def create(database: Database, clock: Clock, guard: AddressGuard, workspace: str, wish: Wish) -> Subscription:
    """A new subscription with a new secret: the only moment to show it.

    Raises AddressRefused, InvalidDocument (filter), InvalidInput for an unknown event type.
    """
    guard.check_url(wish.url)
    unknown = sorted(set(wish.event_types) - set(DELIVERED_TYPES))
    if unknown:
        known = ", ".join(DELIVERED_TYPES)
        raise InvalidInput(f"there is no event type {unknown[0]}; there are {known}", field="event_types")
    subscription = Subscription(
        id=uuid4(),
        workspace=workspace,
        description=wish.description,
        url=wish.url,
        event_types=tuple(dict.fromkeys(wish.event_types)) or DELIVERED_TYPES,
        filter=parse_filter(wish.filter or {}),
        secrets=(Secret(secret_text(token_bytes(SECRET_BYTES)), clock.now()),),
        state="enabled",
        disabled_reason=None,
        created_at=clock.now(),
    )
    async with database.transaction() as connection:
        await subscription_repository.insert(connection, subscription)
    return subscription


async def all_of(database: Database, workspace: str) -> list[Subscription]:
    """The workspace's subscriptions, the oldest first."""
    async with database.transaction() as connection:
        return await subscription_repository.all_of(connection, workspace)


async def delete(database: Database, workspace: str, subscription_id: UUID) -> None:
    """End a subscription with its deliveries. Raises InvalidInput (not_found)."""
    async with database.transaction() as connection:
        if not await subscription_repository.delete(connection, workspace, subscription_id):
            raise _not_found()


async def deliveries_of(
    database: Database, workspace: str, subscription_id: UUID, *, before: int | None, limit: int
) -> list[DeliveryView]:
    """Deliveries, the newest first. Raises InvalidInput (not_found)."""
    async with database.transaction() as connection:
        await _found(connection, workspace, subscription_id)
        return await subscription_repository.deliveries_of(connection, subscription_id, before=before, limit=limit)


async def send_test(database: Database, clock: Clock, workspace: str, subscription_id: UUID) -> str:
    """Put a harmless signed message on its way; returns its id. Raises InvalidInput (not_found)."""
    message_id, now = str(uuid4()), clock.now()
    body = {
        "specversion": "1.0",
        "id": message_id,
        "source": "/leadflow/pipeline",
        "subject": str(subscription_id),
        "type": TEST_TYPE,
        "time": now,
        "datacontenttype": "application/json",
        "workspace": workspace,
        "data": {"subscription": str(subscription_id)},
    }
    async with database.transaction() as connection:
        await _found(connection, workspace, subscription_id)
        fan_out = FanOut({}, now)
        fan_out.add_for(Delivery(subscription_id, message_id, str(subscription_id)), TEST_TYPE, to_json(body))
        await fan_out.write(connection)
    return message_id


async def _found(connection: AsyncConnection, workspace: str, subscription_id: UUID) -> Subscription:
    found = await subscription_repository.find(connection, workspace, subscription_id)
    if found is None:
        raise _not_found()
    return found


def _not_found() -> InvalidInput:
    return InvalidInput("there is no such subscription", code="not_found", field="id")
