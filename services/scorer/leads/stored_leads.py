"""Leads of the domain in and out of the tables: states, what was told, names, histories."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.scorer.domain.codec import decode_state, decode_told, encode_state, encode_told
from services.scorer.domain.lead import Lead, Outcome
from services.scorer.domain.states.state import EMPTY, LeadState
from services.scorer.leads import repository
from services.scorer.leads.remembered_leads import RememberedLeads
from services.scorer.leads.repository import LeadRow, Mark
from shared.errors import InvalidInput, TransientError
from shared.events.accepting import AcceptedEvent, decode_event
from shared.events.envelope import LeadReference

# No model has this version: a state in a form of an earlier release counts as outdated, and is recomputed.
_UNREADABLE_VERSION = -1


class Contended(TransientError):
    """Another transaction was faster with the same leads or events; the same work succeeds when repeated."""


@dataclass(frozen=True, slots=True)
class Locked:
    """Leads that stay as they are until the transaction ends, and how often names were taken from each."""

    leads: Mapping[UUID, Lead]
    partings: Mapping[UUID, int]


async def lock(connection: AsyncConnection, ids: Iterable[UUID]) -> Mapping[UUID, Lead]:
    """These leads, locked until the transaction ends, in the order of their ids; without those that were erased.

    Raises Contended if one has been merged meanwhile.
    """
    return (await take(connection, ids, RememberedLeads())).leads


async def take(connection: AsyncConnection, ids: Iterable[UUID], remembered: RememberedLeads) -> Locked:
    """The same; those that are `remembered` and still the same are not read.

    Only for leads that the transaction has not touched yet: to names that it moves itself the mark is blind.
    """
    wanted = set(ids)
    if not wanted:
        return Locked({}, {})
    rows = await repository.lock_leads(connection, wanted)
    if any(row.merged_into is not None for row in rows):
        raise Contended("a lead was merged into another one meanwhile")
    known = {row.id: remembered.find(row.id, row.mark) for row in rows}
    others = [id_ for id_, lead in known.items() if lead is None]
    found = await read(connection, others) if others else {}
    leads = {id_: lead for id_, each in known.items() if (lead := each or found.get(id_)) is not None}
    return Locked(leads, {row.id: row.partings for row in rows})


async def read(connection: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, Lead]:
    """These leads as they are now, for looking alone: nothing keeps them from changing."""
    names = await repository.names_of(connection, ids)
    return {
        id_: _lead(row, names.get(id_, ())) for id_, row in (await repository.read_leads(connection, ids)).items()
    }


async def histories(connection: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, list[AcceptedEvent]]:
    """Every event that counts for each of these leads."""
    found = await repository.history(connection, ids)
    return {id_: [decode_event(body) for body in bodies] for id_, bodies in found.items()}


async def save(
    connection: AsyncConnection, before: Mapping[UUID, Lead], outcomes: Mapping[UUID, Outcome]
) -> tuple[Mark, dict[UUID, int]]:
    """Write what became of leads, which were `before` as they are locked, and when they change by themselves.

    Returns the mark that this leaves on their rows, and the bytes of each encoded state.
    """
    rows = [_row(id_, outcome.lead) for id_, outcome in sorted(outcomes.items())]
    moved = {row.id for row in rows if row.due_at != before[row.id].due_at}
    mark = await repository.save_leads(connection, rows, moved)
    return mark, {row.id: len(row.state or b"") for row in rows}


def _lead(row: LeadRow, names: Sequence[tuple[str, str]]) -> Lead:
    version, state = _state(row)
    return Lead(
        reference=_reference(row.id, names),
        workspace=row.workspace,
        version=version,
        state=state,
        told=None if row.published is None else decode_told(row.published),
        sequence=row.sequence,
        due_at=row.due_at,
    )


def _state(row: LeadRow) -> tuple[int | None, LeadState]:
    if row.state is None:
        return row.model_version, EMPTY
    try:
        return row.model_version, decode_state(row.state)
    except InvalidInput:
        return _UNREADABLE_VERSION, EMPTY


def _reference(lead_id: UUID, names: Sequence[tuple[str, str]]) -> LeadReference:
    external: dict[str, tuple[str, ...]] = {}
    for kind, value in names:
        if kind.startswith("external:"):
            system = kind.removeprefix("external:")
            external[system] = (*external.get(system, ()), value)
    emails = tuple(value for kind, value in names if kind == "email")
    return LeadReference(id=str(lead_id), emails=emails, external_ids=external)


def _row(lead_id: UUID, lead: Lead) -> LeadRow:
    return LeadRow(
        id=lead_id,
        workspace=lead.workspace,
        merged_into=None,
        model_version=lead.version,
        state=encode_state(lead.state),
        published=None if lead.told is None else encode_told(lead.told),
        sequence=lead.sequence,
        due_at=lead.due_at,
    )
