"""Erasing a lead, in the transaction of the caller, and knowing its events should they come again."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.scorer.domain.telling import Teller
from services.scorer.erasure import repository
from services.scorer.erasure.repository import Mark
from services.scorer.leads import records, sealed_names
from services.scorer.leads import repository as lead_repository
from services.scorer.leads.stored_leads import Contended
from services.scorer.merges import repository as merge_repository
from shared.db.outbox import owner_of
from shared.errors import InvalidInput
from shared.events.accepting import Accepted
from shared.events.engagement import name_digest
from shared.events.envelope import LeadReference, Message
from shared.sealing import erasures
from shared.sealing.data_keys import delete_keys, mark, name_mark, sealing_of
from shared.sealing.erasures import Erasure

_EVENT = "event"


@dataclass(frozen=True, slots=True)
class Asked:
    """Who wants a lead erased, and when; `id` names the erasure."""

    id: UUID
    at: datetime
    by: str


async def erase(
    connection: AsyncConnection, workspace: str, lead_id: UUID, asked: Asked
) -> tuple[Erasure, Sequence[Message]]:
    """Erase the lead with all that became part of it; returns what other services have to do, and the news.

    Its data keys go too, so that copies elsewhere cannot be read. Raises InvalidInput (`not_found`).
    """
    survivor = await records.stored_survivor_of(connection, workspace, lead_id)
    if survivor is None:
        raise InvalidInput("there is no such lead", code="not_found", field="lead_id")
    family = await merge_repository.lock_family(connection, workspace, survivor)
    if family.get(survivor, survivor) is not None:
        raise Contended("the lead was merged into another one, or erased, meanwhile")
    sequence = await repository.sequence_of(connection, survivor)
    names = [name for found in (await lead_repository.names_of(connection, family)).values() for name in found]
    await _remember(connection, workspace, family, asked.at)
    await repository.delete_leads(connection, workspace, family)
    await delete_keys(connection, workspace, [*family, *(_digest(workspace, name) for name in names)])
    erasure = Erasure(asked.id, workspace, survivor, tuple(family), tuple(names), asked.at, asked.by)
    await erasures.begin(connection, erasure)
    teller = Teller(LeadReference(id=str(survivor), emails=(), external_ids={}), workspace, sequence)
    teller.erased([str(lead) for lead in family if lead != survivor], asked.at)
    return erasure, teller.messages


def _digest(workspace: str, name: tuple[str, str]) -> UUID:
    """The key of what waits under this name in an outbox, by the digest of it."""
    return owner_of(name_digest(workspace, *name))


async def without_forgotten(connection: AsyncConnection, fresh: Sequence[Accepted]) -> list[Accepted]:
    """Those events that are no erased lead's: neither known from it, nor received for it before it was erased."""
    forgetful = await repository.forgetful(connection, {message.workspace for message in fresh})
    if not forgetful:
        return list(fresh)
    sealing = sealing_of(connection)
    keys = {workspace: await sealing.names_key(connection, workspace) for workspace in forgetful}
    marks = [
        Mark(number, message.workspace, digest, message.data.received_at)
        for number, message in enumerate(fresh)
        if message.workspace in keys
        for digest in _marks_of(keys[message.workspace], message)
    ]
    gone = await repository.forgotten(connection, marks)
    return [message for number, message in enumerate(fresh) if number not in gone]


def _marks_of(key: bytes, message: Accepted) -> list[bytes]:
    event = message.data
    names = [name_mark(key, kind, value) for kind, value in event.lead.keys()]  # noqa: SIM118
    return [mark(key, _EVENT, event.source, event.id), *names]


async def _remember(
    connection: AsyncConnection,
    workspace: str,
    leads: Collection[UUID],
    until: datetime,
) -> None:
    key = await sealing_of(connection).names_key(connection, workspace)
    events = await repository.event_keys(connection, list(leads))
    await repository.remember(
        connection,
        workspace,
        events=[mark(key, _EVENT, source, event_id) for source, event_id in events],
        names=await sealed_names.marks(connection, list(leads), key),
        until=until,
    )
