"""Webhook subscriptions, statement by statement. Nothing here commits or decides."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, TypeAdapter
from pydantic_core import from_json, to_json
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from services.pipeline.delivery.endpoint import Failing
from services.pipeline.domain.subscription import Filter
from services.pipeline.sealed import answers
from shared.db.statements import text
from shared.http.inputs import Moment


@dataclass(frozen=True, slots=True)
class Secret:
    """A signing secret, `whsec_...`; the old one of a rotation is good until `expires_at`."""

    text: str
    created_at: datetime
    expires_at: datetime | None = None

    def is_good(self, moment: datetime) -> bool:
        """Whether it signs at `moment`."""
        return self.expires_at is None or moment < self.expires_at


@dataclass(frozen=True, slots=True)
class Subscription:
    """Who is told what, where.

    `failing` is how the receiver does since its last success: None while there is no reason to complain.
    """

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
    disabled_at: datetime | None = None
    failing: Failing | None = None

    def secrets_at(self, moment: datetime) -> tuple[Secret, ...]:
        """The secrets that sign at `moment`, the newest first."""
        return tuple(secret for secret in self.secrets if secret.is_good(moment))


@dataclass(frozen=True, slots=True)
class Change:
    """What an owner may change of a subscription; all of it is written."""

    url: str
    event_types: tuple[str, ...]
    filter: Filter
    description: str


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One attempt as the subscription's owner sees it."""

    at: datetime
    delivery_id: int
    number: int
    message_id: str
    type: str
    lead_id: str
    status: int | None
    error: str | None
    response: str | None
    duration_seconds: float


@dataclass(frozen=True, slots=True)
class AttemptPlace:
    """Where a page of the attempt log ended."""

    at: Moment
    delivery_id: Annotated[int, Field(ge=0, le=2**63 - 1)]
    number: Annotated[int, Field(ge=0, le=2**31 - 1)]


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
    CAST(secrets AS text) AS secrets, state, disabled_reason, disabled_at, created_at,
    failing_since, failures, pauses, resume_at
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


async def find(
    connection: AsyncConnection, workspace: str, subscription_id: UUID, *, lock: bool = False
) -> Subscription | None:
    """The subscription; with `lock` nobody else changes it before this transaction ends."""
    rows = await connection.execute(
        text(
            f"SELECT {_COLUMNS} FROM pipeline.subscription WHERE workspace = :workspace AND id = :id"  # noqa: S608
            f"{' FOR NO KEY UPDATE' if lock else ''}"
        ),
        {"workspace": workspace, "id": subscription_id},
    )
    row = rows.one_or_none()
    return None if row is None else _subscription(row)


async def change(connection: AsyncConnection, subscription_id: UUID, wanted: Change) -> None:
    await connection.execute(
        text("""
            UPDATE pipeline.subscription SET url = :url, event_types = :event_types,
                filter = CAST(:filter AS json), description = :description
            WHERE id = :id
        """),
        {
            "id": subscription_id,
            "url": wanted.url,
            "event_types": list(wanted.event_types),
            "filter": to_json(wanted.filter).decode(),
            "description": wanted.description,
        },
    )


async def change_secrets(connection: AsyncConnection, subscription_id: UUID, secrets: Sequence[Secret]) -> None:
    await connection.execute(
        text("UPDATE pipeline.subscription SET secrets = CAST(:secrets AS json) WHERE id = :id"),
        {"id": subscription_id, "secrets": _SECRETS.dump_json(tuple(secrets)).decode()},
    )


async def delete_deliveries(connection: AsyncConnection, subscription_id: UUID, limit: int) -> int:
    """Let go of up to `limit` deliveries of a subscription; returns how many went."""
    result = await connection.execute(
        text("""
            DELETE FROM pipeline.delivery WHERE id IN (
                SELECT id FROM pipeline.delivery WHERE subscription_id = :id LIMIT :limit
            )
        """),
        {"id": subscription_id, "limit": limit},
    )
    return result.rowcount


async def delete(connection: AsyncConnection, workspace: str, subscription_id: UUID) -> bool:
    """End a subscription and its deliveries; false when the workspace has none of that id."""
    result = await connection.execute(
        text("DELETE FROM pipeline.subscription WHERE workspace = :workspace AND id = :id"),
        {"workspace": workspace, "id": subscription_id},
    )
    return result.rowcount > 0


async def disable(connection: AsyncConnection, subscription_id: UUID, reason: str, at: datetime) -> str | None:
    """Send nothing any more; returns the workspace, None when it was disabled before."""
    workspace = await connection.scalar(
        text("""
            UPDATE pipeline.subscription SET state = 'disabled', disabled_reason = :reason, disabled_at = :at
            WHERE id = :id AND state = 'enabled' RETURNING workspace
        """),
        {"id": subscription_id, "reason": reason, "at": at},
    )
    return None if workspace is None else str(workspace)


async def enable(connection: AsyncConnection, subscription_id: UUID) -> None:
    """Send again, as if nothing had failed."""
    await connection.execute(
        text("""
            UPDATE pipeline.subscription SET state = 'enabled', disabled_reason = NULL, disabled_at = NULL,
                failing_since = NULL, failures = 0, pauses = 0, resume_at = NULL,
                healthy_since = clock_timestamp()
            WHERE id = :id
        """),
        {"id": subscription_id},
    )


async def record_success(connection: AsyncConnection, subscription_ids: Collection[UUID]) -> None:
    """The receivers have taken something: nothing is held against them. Healthy ones are not written."""
    await connection.execute(
        text("""
            UPDATE pipeline.subscription SET failing_since = NULL, failures = 0, pauses = 0, resume_at = NULL,
                healthy_since = clock_timestamp()
            WHERE id IN (
                SELECT id FROM pipeline.subscription
                WHERE id = ANY(CAST(:ids AS uuid[])) AND failing_since IS NOT NULL ORDER BY id FOR NO KEY UPDATE
            )
        """),
        {"ids": list(subscription_ids)},
    )


async def record_failure(connection: AsyncConnection, subscription_id: UUID, at: datetime) -> Failing:
    """The receiver has failed once more; how it does now."""
    found = await connection.execute(
        text("""
            UPDATE pipeline.subscription
            SET failures = failures + 1, failing_since = coalesce(failing_since, :at)
            WHERE id = :id RETURNING failing_since, failures, pauses, resume_at
        """),
        {"id": subscription_id, "at": at},
    )
    row = found.one()
    return Failing(row.failing_since, row.failures, row.pauses, row.resume_at)


async def leave_alone(connection: AsyncConnection, subscription_id: UUID, until: datetime) -> None:
    """Send nothing before `until`; a pause within a pause is the same one."""
    await connection.execute(
        text("""
            UPDATE pipeline.subscription SET resume_at = greatest(resume_at, :until), pauses = pauses + 1
            WHERE id = :id
        """),
        {"id": subscription_id, "until": until},
    )


async def count_by_state(connection: AsyncConnection, now: datetime) -> dict[str, int]:
    """How many subscriptions are enabled, paused and disabled."""
    rows = await connection.execute(
        text("""
            SELECT CASE WHEN state = 'enabled' AND resume_at > :now THEN 'paused' ELSE state END AS state,
                count(*) AS n
            FROM pipeline.subscription GROUP BY 1
        """),
        {"now": now},
    )
    return {row.state: row.n for row in rows}


async def attempts_of(
    connection: AsyncConnection, subscription_id: UUID, *, before: AttemptPlace | None, limit: int
) -> list[AttemptView]:
    """The attempt log, the newest first."""
    rows = await connection.execute(
        text("""
            SELECT attempt.at, delivery_id, number, message_id, type, lead_id, status, error, response,
                sealed_response, duration_seconds
            FROM pipeline.delivery_attempt AS attempt
            JOIN pipeline.delivery ON delivery.id = delivery_id
            JOIN pipeline.webhook_message ON webhook_message.id = message_id
            WHERE attempt.subscription = :id AND (
                CAST(:at AS timestamptz) IS NULL
                OR (attempt.at, delivery_id, number) < (CAST(:at AS timestamptz), :delivery, :number)
            )
            ORDER BY attempt.at DESC, delivery_id DESC, number DESC LIMIT :limit
        """),
        {
            "id": subscription_id,
            "at": before.at if before else None,
            "delivery": before.delivery_id if before else 0,
            "number": before.number if before else 0,
            "limit": limit,
        },
    )
    found = rows.all()
    said = await answers.opened(connection, [(row.response, row.sealed_response) for row in found])
    return [_attempt(row, response) for row, response in zip(found, said, strict=True)]


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


def _attempt(row: Row[tuple[object, ...]], response: str | None) -> AttemptView:
    return AttemptView(
        at=row.at,
        delivery_id=row.delivery_id,
        number=row.number,
        message_id=row.message_id,
        type=row.type,
        lead_id=row.lead_id,
        status=row.status,
        error=row.error,
        response=response,
        duration_seconds=row.duration_seconds,
    )


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
        disabled_at=row.disabled_at,
        failing=_failing(row),
    )


def _failing(row: Row[tuple[object, ...]]) -> Failing | None:
    if row.failing_since is None:
        return None
    return Failing(row.failing_since, row.failures, row.pauses, row.resume_at)
