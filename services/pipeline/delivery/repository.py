"""Deliveries, statement by statement. Nothing here commits or decides."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.pipeline.delivery.sender import Answer
from services.pipeline.subscription_repository import Secret

_SECRETS: TypeAdapter[tuple[Secret, ...]] = TypeAdapter(tuple[Secret, ...])


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that belongs to one process until its lease ends."""

    id: int
    subscription_id: UUID
    message_id: str
    url: str
    secrets: tuple[Secret, ...]
    body: bytes
    attempts: int


@dataclass(frozen=True, slots=True)
class Lease:
    """Who takes deliveries, when, and until when they are its own."""

    holder: UUID
    now: datetime
    until: datetime


async def claim(
    connection: AsyncConnection, lease: Lease, *, busy: Mapping[UUID, int], per_subscription: int, limit: int
) -> list[Claimed]:
    """Take due deliveries: per subscription no more than its room, per lead only the oldest one pending.

    `busy` counts what this process has in the air per subscription.
    """
    rows = await connection.execute(
        text("""
            WITH receiver AS (
                SELECT subscription.id, url, secrets, greatest(:per - coalesce(flying.number, 0), 0) AS room
                FROM pipeline.subscription
                LEFT JOIN unnest(CAST(:busy AS uuid[]), CAST(:numbers AS int[])) AS flying (id, number)
                    ON flying.id = subscription.id
                WHERE state = 'enabled'
            ), due AS (
                SELECT head.id FROM receiver CROSS JOIN LATERAL (
                    SELECT delivery.id, next_at FROM pipeline.delivery
                    WHERE subscription_id = receiver.id AND state = 'pending' AND next_at <= :now
                        AND (leased_until IS NULL OR leased_until <= :now)
                        AND NOT EXISTS (
                            SELECT FROM pipeline.delivery AS earlier
                            WHERE earlier.subscription_id = delivery.subscription_id
                                AND earlier.lead_id = delivery.lead_id
                                AND earlier.state = 'pending' AND earlier.id < delivery.id
                        )
                    ORDER BY delivery.id LIMIT receiver.room FOR UPDATE SKIP LOCKED
                ) AS head
                ORDER BY head.next_at LIMIT :limit
            ), taken AS (
                UPDATE pipeline.delivery SET lease = :holder, leased_until = :until
                FROM due WHERE delivery.id = due.id
                RETURNING delivery.id, subscription_id, message_id, attempts
            )
            SELECT taken.id, subscription_id, message_id, attempts, url, CAST(secrets AS text) AS secrets, body
            FROM taken
            JOIN receiver ON receiver.id = subscription_id
            JOIN pipeline.webhook_message ON webhook_message.id = message_id
            ORDER BY taken.id
        """),
        {
            "per": per_subscription,
            "busy": list(busy),
            "numbers": list(busy.values()),
            "now": lease.now,
            "limit": limit,
            "holder": lease.holder,
            "until": lease.until,
        },
    )
    return [
        Claimed(
            id=row.id,
            subscription_id=row.subscription_id,
            message_id=row.message_id,
            url=row.url,
            secrets=_SECRETS.validate_json(row.secrets),
            body=bytes(row.body),
            attempts=row.attempts,
        )
        for row in rows
    ]


async def settle(
    connection: AsyncConnection, claimed: Claimed, holder: UUID, *, state: str, next_at: datetime
) -> bool:
    """Write down what became of an attempt; false when the lease was lost, and then it is not ours to say."""
    result = await connection.execute(
        text("""
            UPDATE pipeline.delivery SET state = :state, attempts = attempts + 1, next_at = :next_at,
                lease = NULL, leased_until = NULL
            WHERE id = :id AND lease = :holder
        """),
        {"id": claimed.id, "holder": holder, "state": state, "next_at": next_at},
    )
    return result.rowcount > 0


async def add_attempt(connection: AsyncConnection, claimed: Claimed, at: datetime, answer: Answer) -> None:
    """One line of the attempt log: never the body of the answer."""
    await connection.execute(
        text("""
            INSERT INTO pipeline.delivery_attempt (delivery_id, number, at, duration_seconds, status, error)
            VALUES (:id, :number, :at, :duration, :status, :error)
        """),
        {
            "id": claimed.id,
            "number": claimed.attempts + 1,
            "at": at,
            "duration": answer.duration_seconds,
            "status": answer.status,
            "error": answer.error,
        },
    )


async def release(connection: AsyncConnection, holder: UUID) -> None:
    """Give back what this process took and did not finish."""
    await connection.execute(
        text("UPDATE pipeline.delivery SET lease = NULL, leased_until = NULL WHERE lease = :holder"),
        {"holder": holder},
    )


async def pending(connection: AsyncConnection) -> int:
    """How many deliveries wait for enabled subscriptions."""
    found = await connection.scalar(
        text("""
            SELECT count(*) FROM pipeline.delivery JOIN pipeline.subscription ON subscription.id = subscription_id
            WHERE delivery.state = 'pending' AND subscription.state = 'enabled'
        """)
    )
    return int(found or 0)
