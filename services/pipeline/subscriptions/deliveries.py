"""Deliveries, statement by statement. Nothing here commits or decides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncConnection

from services.pipeline.delivery.sender import Answer
from services.pipeline.sealed import answers, message_bodies
from services.pipeline.subscriptions.repository import Secret
from shared.db.statements import text
from shared.observability import tracing
from shared.observability.tracing import TraceContext
from shared.sealing.envelope import is_sealed, key_id_of

_SECRETS: TypeAdapter[tuple[Secret, ...]] = TypeAdapter(tuple[Secret, ...])


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that belongs to one process until its lease ends.

    `attempts` is all that were made; `tries` those since the message was queued, or queued again by a replay.
    `failing`: the receiver's last attempt was no success. `told_at`: when this was first told, if it has not been
    tried yet and the receiver has been well ever since; None otherwise, then its lateness is not ours. `sealed_by`:
    the key of what is stored of the message, if that is sealed.
    """

    id: int
    subscription_id: UUID
    message_id: str
    lead_id: str
    url: str
    secrets: tuple[Secret, ...]
    body: bytes
    attempts: int
    tries: int
    failing: bool
    told_at: datetime | None
    trace: TraceContext | None = None
    sealed_by: UUID | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """Who takes deliveries, when, and until when they are its own."""

    holder: UUID
    now: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Room:
    """How much may be taken. `busy` counts, per subscription, what this process has in the air.

    Receivers that fail share `failing` places; one that was left alone for a while gets a single one to
    begin with, and the others `per_subscription`.
    """

    total: int
    failing: int
    per_subscription: int
    busy: Mapping[UUID, int]


async def claim(connection: AsyncConnection, lease: Lease, room: Room) -> list[Claimed]:
    """Take due deliveries: of each lead only the oldest one pending, and of each subscription in turn.

    A receiver that is left alone costs nothing here, however much waits for it: its index is not entered.
    """
    rows = await connection.execute(
        text("""
            WITH receiver AS (
                SELECT subscription.id, url, secrets, failing_since IS NOT NULL AS failing, healthy_since,
                    coalesce(flying.number, 0) AS flying,
                    greatest(CASE WHEN pauses > 0 THEN 1 ELSE :per END - coalesce(flying.number, 0), 0) AS room
                FROM pipeline.subscription
                LEFT JOIN unnest(CAST(:busy AS uuid[]), CAST(:numbers AS int[])) AS flying (id, number)
                    ON flying.id = subscription.id
                WHERE state = 'enabled' AND (resume_at IS NULL OR resume_at <= :now)
            ), candidate AS (
                SELECT head.id, head.next_at, failing,
                    flying + row_number() OVER (PARTITION BY receiver.id ORDER BY head.next_at, head.id) AS turn
                FROM receiver CROSS JOIN LATERAL (
                    SELECT delivery.id, next_at FROM pipeline.delivery
                    WHERE subscription_id = receiver.id AND state = 'pending' AND next_at <= :now
                        AND (leased_until IS NULL OR leased_until <= :now)
                        AND delivery.id = (
                            SELECT first.id FROM pipeline.delivery AS first
                            WHERE first.subscription_id = delivery.subscription_id
                                AND first.lead_id = delivery.lead_id AND first.state = 'pending'
                            ORDER BY first.id LIMIT 1
                        )
                    ORDER BY next_at, delivery.id LIMIT receiver.room FOR UPDATE SKIP LOCKED
                ) AS head
            ), placed AS (
                SELECT *, row_number() OVER (PARTITION BY failing ORDER BY turn, next_at, id) AS place FROM candidate
            ), due AS (
                SELECT id FROM placed WHERE NOT failing OR place <= :failing_room
                ORDER BY turn, next_at, id LIMIT :limit
            ), taken AS (
                UPDATE pipeline.delivery SET lease = :holder, leased_until = :until
                FROM due WHERE delivery.id = due.id
                RETURNING delivery.id, subscription_id, message_id, lead_id, attempts, attempts_before, created_at
            )
            SELECT taken.id, subscription_id, message_id, lead_id, attempts, attempts_before, url, failing,
                CAST(secrets AS text) AS secrets, body, traceparent, tracestate,
                CASE WHEN attempts = 0 AND NOT failing AND taken.created_at = webhook_message.created_at
                    AND (healthy_since IS NULL OR healthy_since <= taken.created_at) THEN taken.created_at
                END AS told_at
            FROM taken
            JOIN receiver ON receiver.id = subscription_id
            JOIN pipeline.webhook_message ON webhook_message.id = message_id
            ORDER BY taken.id
        """),
        {
            "per": room.per_subscription,
            "busy": list(room.busy),
            "numbers": list(room.busy.values()),
            "now": lease.now,
            "failing_room": room.failing,
            "limit": room.total,
            "holder": lease.holder,
            "until": lease.until,
        },
    )
    taken = rows.all()
    bodies = await message_bodies.opened(connection, [row.body for row in taken])
    secrets = {stored: _SECRETS.validate_json(stored) for stored in {row.secrets for row in taken}}
    return [
        Claimed(
            id=row.id,
            subscription_id=row.subscription_id,
            message_id=row.message_id,
            lead_id=row.lead_id,
            url=row.url,
            secrets=secrets[row.secrets],
            body=body,
            attempts=row.attempts,
            tries=row.attempts - row.attempts_before,
            failing=row.failing,
            told_at=row.told_at,
            trace=tracing.read(row.traceparent, row.tracestate),
            sealed_by=key_id_of(row.body) if is_sealed(row.body) else None,
        )
        for row, body in zip(taken, bodies, strict=True)
        if body is not None
    ]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt that is over: `state` is what the delivery is now, `next_at` when it is due if it is pending, and
    when the attempt ended if it is not.
    """

    delivery: Claimed
    began_at: datetime
    answer: Answer
    state: str
    next_at: datetime


@dataclass(frozen=True, slots=True)
class Settled:
    """An attempt that is written down. `received_at`: when the event was received from which the message follows, if
    nobody had taken the message before. `receiver_fails`: something is held against the receiver.
    """

    attempt: Attempt
    received_at: datetime | None
    receiver_fails: bool


async def settle(connection: AsyncConnection, attempts: Sequence[Attempt], holder: UUID) -> list[Settled]:
    """Write down attempts, but those whose lease was lost: they are not ours to say. Returns what was written.

    The log keeps words of the receiver only if it did not take the message. Rows are locked in the order of their
    ids, because others write down attempts for the same messages at the same time.
    """
    answers_to = [attempt.answer for attempt in attempts]
    said = [await _said(connection, attempt) for attempt in attempts]
    result = await connection.execute(
        text("""
            WITH attempt AS (
                SELECT * FROM unnest(
                    CAST(:ids AS bigint[]), CAST(:states AS text[]), CAST(:next AS timestamptz[]),
                    CAST(:began AS timestamptz[]), CAST(:durations AS float8[]), CAST(:statuses AS int[]),
                    CAST(:errors AS text[]), CAST(:responses AS text[]), CAST(:sealed AS bytea[])
                ) AS attempt (id, state, next_at, at, duration, status, error, response, sealed)
            ), held AS (
                SELECT id FROM pipeline.delivery WHERE id = ANY(CAST(:ids AS bigint[])) AND lease = :holder
                ORDER BY id FOR UPDATE
            ), settled AS (
                UPDATE pipeline.delivery SET state = attempt.state, attempts = attempts + 1,
                    next_at = attempt.next_at, lease = NULL, leased_until = NULL
                FROM held JOIN attempt USING (id) WHERE delivery.id = held.id
                RETURNING delivery.id, subscription_id, message_id, attempts
            ), logged AS (
                INSERT INTO pipeline.delivery_attempt
                    (delivery_id, subscription, number, at, duration_seconds, status, error, response,
                     sealed_response)
                SELECT id, subscription_id, attempts, at, duration, status, error, response, sealed
                FROM settled JOIN attempt USING (id)
            ), waiting AS (
                SELECT message_id FROM pipeline.undelivered
                WHERE message_id = ANY(CAST(:taken AS text[])) AND message_id IN (SELECT message_id FROM settled)
                ORDER BY message_id FOR UPDATE
            ), first AS (
                DELETE FROM pipeline.undelivered USING waiting WHERE undelivered.message_id = waiting.message_id
                RETURNING undelivered.message_id, received_at
            )
            SELECT settled.id, failing_since IS NOT NULL AS receiver_fails,
                CASE WHEN row_number() OVER (PARTITION BY message_id ORDER BY settled.id) = 1 THEN received_at END
                    AS received_at
            FROM settled JOIN pipeline.subscription ON subscription.id = subscription_id
            LEFT JOIN first USING (message_id)
        """),
        {
            "ids": [attempt.delivery.id for attempt in attempts],
            "holder": holder,
            "states": [attempt.state for attempt in attempts],
            "next": [attempt.next_at for attempt in attempts],
            "began": [attempt.began_at for attempt in attempts],
            "durations": [answer.duration_seconds for answer in answers_to],
            "statuses": [answer.status for answer in answers_to],
            "errors": [answer.error for answer in answers_to],
            "responses": [plain for plain, _ in said],
            "sealed": [sealed for _, sealed in said],
            "taken": [attempt.delivery.message_id for attempt in attempts if attempt.state == "delivered"],
        },
    )
    by_id = {attempt.delivery.id: attempt for attempt in attempts}
    return [Settled(by_id[row.id], row.received_at, row.receiver_fails) for row in result]


async def _said(connection: AsyncConnection, attempt: Attempt) -> tuple[str | None, bytes | None]:
    excerpt = None if attempt.state == "delivered" else attempt.answer.excerpt
    return await answers.stored(connection, excerpt, attempt.delivery.sealed_by)


async def hold_back(connection: AsyncConnection, attempt: Attempt) -> None:
    """Let what waits behind a delivery for the sake of order not be looked at before that is tried again."""
    if attempt.state != "pending":
        return
    claimed = attempt.delivery
    await connection.execute(
        text("""
            UPDATE pipeline.delivery SET next_at = :until
            WHERE subscription_id = :subscription AND lead_id = :lead AND state = 'pending' AND id > :id
                AND next_at < :until
        """),
        {
            "subscription": claimed.subscription_id,
            "lead": claimed.lead_id,
            "id": claimed.id,
            "until": attempt.next_at,
        },
    )


async def release(connection: AsyncConnection, holder: UUID) -> None:
    """Give back what this process took and did not finish."""
    await connection.execute(
        text("UPDATE pipeline.delivery SET lease = NULL, leased_until = NULL WHERE lease = :holder"),
        {"holder": holder},
    )


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for enabled subscriptions: how much, and how long the oldest of it.

    `oldest_due_age`: for how long the oldest could have been tried that nothing held back, neither a receiver that
    fails nor a schedule. It is leadflow's own lateness.
    """

    number: int
    oldest_age: timedelta
    oldest_due_age: timedelta


async def waiting(connection: AsyncConnection, now: datetime) -> Waiting:
    """What waits now."""
    found = await connection.execute(
        text("""
            SELECT count(*) AS number, min(delivery.created_at) AS oldest,
                min(greatest(next_at, healthy_since)) FILTER (
                    WHERE failing_since IS NULL AND next_at <= :now AND (leased_until IS NULL OR leased_until <= :now)
                ) AS oldest_due
            FROM pipeline.delivery JOIN pipeline.subscription ON subscription.id = subscription_id
            WHERE delivery.state = 'pending' AND subscription.state = 'enabled'
        """),
        {"now": now},
    )
    row = found.one()
    return Waiting(row.number, _age(row.oldest, now), _age(row.oldest_due, now))


def _age(moment: datetime | None, now: datetime) -> timedelta:
    return max(now - moment, timedelta(0)) if moment else timedelta(0)


async def given_up(connection: AsyncConnection) -> int:
    """How many deliveries have failed for good, of those still kept."""
    return int(await connection.scalar(text("SELECT count(*) FROM pipeline.delivery WHERE state = 'failed'")) or 0)


async def forget(connection: AsyncConnection, before: datetime, limit: int) -> int:
    """Let go of up to `limit` messages written earlier than `before`, with their deliveries and attempts.

    What the feed still has stays, and so does what waits for an enabled subscription. Returns how many went.
    """
    gone = await connection.execute(
        text("""
            WITH old AS (
                SELECT id FROM pipeline.webhook_message
                WHERE created_at < :before
                    AND NOT EXISTS (SELECT FROM pipeline.feed WHERE message_id = webhook_message.id)
                    AND NOT EXISTS (
                        SELECT FROM pipeline.delivery
                        JOIN pipeline.subscription ON subscription.id = subscription_id
                        WHERE message_id = webhook_message.id
                            AND delivery.state = 'pending' AND subscription.state = 'enabled'
                    )
                ORDER BY created_at LIMIT :limit FOR UPDATE SKIP LOCKED
            ), deliveries AS (
                DELETE FROM pipeline.delivery USING old WHERE message_id = old.id
            ), undelivered AS (
                DELETE FROM pipeline.undelivered USING old WHERE message_id = old.id
            )
            DELETE FROM pipeline.webhook_message USING old WHERE webhook_message.id = old.id
        """),
        {"before": before, "limit": limit},
    )
    return gone.rowcount
