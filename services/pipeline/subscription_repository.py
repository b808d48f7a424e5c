"""Webhook subscriptions, statement by statement. Nothing here commits or decides."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.pipeline.domain.subscription import Filter


@dataclass(frozen=True, slots=True)
class Secret:
    """A signing secret, `whsec_...`; the old one of a rotation is good until `expires_at`."""

    text: str
    created_at: datetime
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Subscription:
    """Who is told what, where."""

    id: UUID
    workspace: str
    description: str
    url: str
    event_types: tuple[str, ...]
    filter: Filter
    secrets: tuple[Secret, ...]
    state: Literal["enabled", "disabled"]
    disabled_reason: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """A delivery as its owner sees it, with the last attempt."""

    id: int
    message_id: str
    type: str
    lead_id: str
    state: str
    attempts: int
    next_at: datetime
    created_at: datetime
    last_status: int | None
    last_error: str | None
    last_attempt_at: datetime | None
    last_duration_seconds: float | None


_SECRETS: TypeAdapter[tuple[Secret, ...]] = TypeAdapter(tuple[Secret, ...])
_FILTER: TypeAdapter[Filter] = TypeAdapter(Filter)
_COLUMNS = """
    id, workspace, description, url, event_types, CAST(filter AS text) AS filter,
    CAST(secrets AS text) AS secrets, state, disabled_reason, created_at
"""


async def insert(connection: AsyncConnection, subscription: Subscription) -> None:
    await connection.execute(
        text("""
            INSERT INTO pipeline.subscription
                (id, workspace, description, url, event_types, filter, secrets, state, created_at)
            VALUES (:id, :workspace, :description, :url, :event_types, CAST(:filter AS json),
                    CAST(:secrets AS json), :state, :created_at)
        """),
        {
            "id": subscription.id,
            "workspace": subscription.workspace,
            "description": subscription.description,
            "url": subscription.url,
            "event_types": list(subscription.event_types),
            "filter": to_json(subscription.filter).decode(),
            "secrets": _SECRETS.dump_json(subscription.secrets).decode(),
            "state": subscription.state,
            "created_at": subscription.created_at,
        },
    )


async def enabled_of(connection: AsyncConnection, workspaces: Iterable[str]) -> Mapping[str, Sequence[Subscription]]:
    """The enabled subscriptions of each workspace."""
    rows = await connection.execute(
        text(
            f"SELECT {_COLUMNS} FROM pipeline.subscription "  # noqa: S608
            "WHERE state = 'enabled' AND workspace = ANY(CAST(:workspaces AS text[])) ORDER BY created_at, id"
        ),
        {"workspaces": sorted(set(workspaces))},
    )
    found: dict[str, list[Subscription]] = {}
    for row in rows:
        found.setdefault(row.workspace, []).append(_subscription(row))
    return found


async def all_of(connection: AsyncConnection, workspace: str) -> list[Subscription]:
    rows = await connection.execute(
        text(f"SELECT {_COLUMNS} FROM pipeline.subscription WHERE workspace = :workspace ORDER BY created_at, id"),  # noqa: S608
        {"workspace": workspace},
    )
    return [_subscription(row) for row in rows]


async def find(connection: AsyncConnection, workspace: str, subscription_id: UUID) -> Subscription | None:
    rows = await connection.execute(
        text(f"SELECT {_COLUMNS} FROM pipeline.subscription WHERE workspace = :workspace AND id = :id"),  # noqa: S608
        {"workspace": workspace, "id": subscription_id},
    )
    row = rows.one_or_none()
    return None if row is None else _subscription(row)


async def delete(connection: AsyncConnection, workspace: str, subscription_id: UUID) -> bool:
    """End a subscription and its deliveries; false when the workspace has none of that id."""
    result = await connection.execute(
        text("DELETE FROM pipeline.subscription WHERE workspace = :workspace AND id = :id"),
        {"workspace": workspace, "id": subscription_id},
    )
    return result.rowcount > 0


async def disable(connection: AsyncConnection, subscription_id: UUID, reason: str) -> None:
    await connection.execute(
        text("UPDATE pipeline.subscription SET state = 'disabled', disabled_reason = :reason WHERE id = :id"),
        {"id": subscription_id, "reason": reason},
    )


async def count_by_state(connection: AsyncConnection) -> dict[str, int]:
    rows = await connection.execute(text("SELECT state, count(*) AS n FROM pipeline.subscription GROUP BY state"))
    return {row.state: row.n for row in rows}


async def deliveries_of(
    connection: AsyncConnection, subscription_id: UUID, *, before: int | None, limit: int
) -> list[DeliveryView]:
    """Deliveries with their last attempt, the newest first."""
    rows = await connection.execute(
        text("""
            SELECT delivery.id, message_id, type, lead_id, state, attempts, next_at, delivery.created_at,
                   attempt.status, attempt.error, attempt.at, attempt.duration_seconds
            FROM pipeline.delivery
            JOIN pipeline.webhook_message ON webhook_message.id = message_id
            LEFT JOIN pipeline.delivery_attempt AS attempt
                ON attempt.delivery_id = delivery.id AND attempt.number = delivery.attempts
            WHERE subscription_id = :id AND delivery.id < coalesce(CAST(:before AS bigint), 9223372036854775807)
            ORDER BY delivery.id DESC LIMIT :limit
        """),
        {"id": subscription_id, "before": before, "limit": limit},
    )
    return [
        DeliveryView(
            id=row.id,
            message_id=row.message_id,
            type=row.type,
            lead_id=row.lead_id,
            state=row.state,
            attempts=row.attempts,
            next_at=row.next_at,
            created_at=row.created_at,
            last_status=row.status,
            last_error=row.error,
            last_attempt_at=row.at,
            last_duration_seconds=row.duration_seconds,
        )
        for row in rows
    ]


def _subscription(row: Row[tuple[object, ...]]) -> Subscription:
    return Subscription(
        id=row.id,
        workspace=row.workspace,
        description=row.description,
        url=row.url,
        event_types=tuple(row.event_types),
        filter=_FILTER.validate_python(from_json(row.filter)),
        secrets=_SECRETS.validate_json(row.secrets),
        state=row.state,
        disabled_reason=row.disabled_reason,
        created_at=row.created_at,
    )
