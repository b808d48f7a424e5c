"""Everything that the pipeline holds about one lead: where it stands, its histories, what was told and to whom."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from msgspec import to_builtins
from pydantic_core import from_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.pipeline.erasure.repository import message_ids
from services.pipeline.leads import repository as lead_repository
from services.pipeline.leads import views
from services.pipeline.leads.repository import LeadKey
from services.pipeline.leads.views import HistoryLine
from services.pipeline.sealed import answers, message_bodies
from shared.errors import InvalidInput
from shared.events.json import Json

_EVERYTHING = 1_000_000


@dataclass(frozen=True, slots=True)
class Sent:
    """A delivery of a message, to which subscription, and what the receiver answered."""

    subscription_id: UUID
    message_id: str
    state: str
    attempts: int
    created_at: datetime
    answers: list[Json]


@dataclass(frozen=True, slots=True)
class Holding:
    """What the pipeline holds about a lead. `lead` is its state as it is stored."""

    lead: Json
    timeline: list[HistoryLine]
    stages: list[HistoryLine]
    messages: list[Json]
    deliveries: list[Sent]


async def holding(connection: AsyncConnection, key: LeadKey) -> Holding:
    """All that is held about the lead. Raises InvalidInput (`not_found`)."""
    view = await views.lead_view(connection, key)
    if view is None:
        raise InvalidInput("there is no such lead", code="not_found", field="id")
    own = (key[0], view.lead.id)
    row = await lead_repository.read_lead(connection, own)
    ids = [] if row is None else list(message_ids(row))
    return Holding(
        lead=to_builtins(view.lead),
        timeline=await views.timeline(connection, own, before=None, limit=_EVERYTHING),
        stages=await views.stays(connection, own, before=None, limit=_EVERYTHING),
        messages=await _messages(connection, ids),
        deliveries=await _deliveries(connection, ids),
    )


async def _messages(connection: AsyncConnection, ids: Sequence[str]) -> list[Json]:
    rows = await connection.execute(
        text("""
            SELECT body FROM pipeline.webhook_message WHERE id = ANY(CAST(:ids AS text[])) ORDER BY created_at, id
        """),
        {"ids": list(ids)},
    )
    bodies = await message_bodies.opened(connection, [row.body for row in rows])
    return [from_json(body) for body in bodies if body is not None]


async def _deliveries(connection: AsyncConnection, ids: Sequence[str]) -> list[Sent]:
    rows = await connection.execute(
        text("""
            SELECT id, subscription_id, message_id, state, attempts, created_at FROM pipeline.delivery
            WHERE message_id = ANY(CAST(:ids AS text[])) ORDER BY id
        """),
        {"ids": list(ids)},
    )
    found = rows.all()
    answered = await _answers(connection, [row.id for row in found])
    return [
        Sent(row.subscription_id, row.message_id, row.state, row.attempts, row.created_at, answered.get(row.id, []))
        for row in found
    ]


async def _answers(connection: AsyncConnection, deliveries: Sequence[int]) -> dict[int, list[Json]]:
    rows = await connection.execute(
        text("""
            SELECT delivery_id, at, status, error, response, sealed_response FROM pipeline.delivery_attempt
            WHERE delivery_id = ANY(CAST(:ids AS bigint[])) ORDER BY delivery_id, number
        """),
        {"ids": list(deliveries)},
    )
    found = rows.all()
    said = await answers.opened(connection, [(row.response, row.sealed_response) for row in found])
    answered: dict[int, list[Json]] = {}
    for row, response in zip(found, said, strict=True):
        answer: Json = {"at": row.at.isoformat(), "status": row.status, "error": row.error, "response": response}
        answered.setdefault(row.delivery_id, []).append(answer)
    return answered
