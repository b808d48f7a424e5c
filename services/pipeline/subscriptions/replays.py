"""Sending again what was told: by time or by message, from the feed, with the same ids and bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from typing import Annotated
from uuid import UUID

from pydantic import Field
from pydantic_core import from_json
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.pipeline.domain.subscription import passes
from services.pipeline.feed import entries as feed
from services.pipeline.sealed import message_bodies
from services.pipeline.subscriptions.fanout import DELIVERED_TYPES
from services.pipeline.subscriptions.repository import Subscription
from shared.errors import InvalidInput
from shared.http.inputs import Moment

# Moments are read before positions are given out: so near to a moment, a row may stand on the wrong side of it.
_SLACK_POSITIONS = 10_000


Position = Annotated[int, Field(ge=0, le=2**63 - 1)]


@dataclass(frozen=True, slots=True)
class ReplayPlace:
    """A time range, `until` excluded, and the positions of the feed that are still to be looked at.

    Without `until` it ends with what had been told when the replay began.
    """

    since: Moment
    until: Moment | None
    after: Position
    end: Position


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many messages are on their way again, and where to go on; None: that was all."""

    queued: int
    next: ReplayPlace | None


async def range_of(
    connection: AsyncConnection, workspace: str, since: datetime, until: datetime | None
) -> ReplayPlace:
    """Where in the feed the messages told from `since` on and before `until` are."""
    newest = await feed.newest(connection, workspace)
    first = await _position_at(connection, workspace, since)
    if first is None:
        return ReplayPlace(since, until, 0, 0)
    last = None if until is None else await _position_at(connection, workspace, until)
    end = newest if last is None else min(newest, last + _SLACK_POSITIONS)
    return ReplayPlace(since, until, max(0, first - _SLACK_POSITIONS), end)


async def replay_range(
    connection: AsyncConnection, subscription: Subscription, place: ReplayPlace, *, now: datetime, limit: int
) -> Replayed:
    """Queue what the subscription wants of the next `limit` messages of the range."""
    rows = await connection.execute(
        text("""
            SELECT position, message_id, lead_id, body FROM pipeline.feed
            JOIN pipeline.webhook_message ON webhook_message.id = message_id
            WHERE workspace = :workspace AND position > :after AND position <= :end
                AND feed.created_at >= :since
                AND (CAST(:until AS timestamptz) IS NULL OR feed.created_at < CAST(:until AS timestamptz))
                AND feed.type = ANY(CAST(:types AS text[]))
            ORDER BY position LIMIT :limit FOR KEY SHARE OF webhook_message
        """),
        {
            "workspace": subscription.workspace,
            "after": place.after,
            "end": place.end,
            "since": place.since,
            "until": place.until,
            "types": list(subscription.event_types or DELIVERED_TYPES),
            "limit": limit,
        },
    )
    found = rows.all()
    bodies = await message_bodies.opened(connection, [row.body for row in found]) if subscription.filter else []
    wanted = [
        row
        for row, body in zip_longest(found, bodies)
        if not subscription.filter or (body is not None and passes(subscription.filter, from_json(body)))
    ]
    queued = await _queue(connection, subscription.id, wanted, now)
    if len(found) < limit:
        return Replayed(queued, None)
    return Replayed(queued, ReplayPlace(place.since, place.until, found[-1].position, place.end))


async def replay_messages(
    connection: AsyncConnection, subscription: Subscription, message_ids: Sequence[str], *, now: datetime
) -> Replayed:
    """Queue these messages, whatever the subscription's types and filter.

    Raises InvalidInput (not_found) for one that the workspace has not, or has no longer.
    """
    rows = await connection.execute(
        text("""
            SELECT position, message_id, lead_id, body FROM pipeline.feed
            JOIN pipeline.webhook_message ON webhook_message.id = message_id
            WHERE workspace = :workspace AND message_id = ANY(CAST(:ids AS text[]))
            ORDER BY position FOR KEY SHARE OF webhook_message
        """),
        {"workspace": subscription.workspace, "ids": list(message_ids)},
    )
    found = rows.all()
    missing = set(message_ids) - {row.message_id for row in found}
    if missing:
        raise InvalidInput("there is no such message, or no longer", code="not_found", field="message_ids")
    return Replayed(await _queue(connection, subscription.id, found, now), None)


async def _queue(
    connection: AsyncConnection, subscription_id: UUID, rows: Sequence[Row[tuple[object, ...]]], now: datetime
) -> int:
    """Put messages on their way, in order; what is still on its way stays as it is. Returns how many are new."""
    if not rows:
        return 0
    result = await connection.execute(
        text("""
            INSERT INTO pipeline.delivery AS known
                (subscription_id, message_id, lead_id, state, next_at, created_at)
            SELECT :subscription, message_id, lead_id, 'pending', :now, :now
            FROM unnest(CAST(:messages AS text[]), CAST(:leads AS text[]))
                 WITH ORDINALITY AS item (message_id, lead_id, number)
            ORDER BY number
            ON CONFLICT (subscription_id, message_id) DO UPDATE SET state = 'pending', next_at = :now,
                created_at = :now, attempts_before = known.attempts
            WHERE known.state <> 'pending'
        """),
        {
            "subscription": subscription_id,
            "messages": [row.message_id for row in rows],
            "leads": [row.lead_id for row in rows],
            "now": now,
        },
    )
    return result.rowcount


async def _position_at(connection: AsyncConnection, workspace: str, moment: datetime) -> int | None:
    """The position of the first message told at `moment` or later; None: there is none."""
    found = await connection.scalar(
        text("""
            SELECT position FROM pipeline.feed WHERE workspace = :workspace AND created_at >= :moment
            ORDER BY created_at LIMIT 1
        """),
        {"workspace": workspace, "moment": moment},
    )
    return None if found is None else int(found)
