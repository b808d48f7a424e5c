"""Taking a merge back: the names, the events and the merge itself, in the transaction of the caller."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.scorer.domain.identities.separation import divide, leaving
from services.scorer.domain.lead import Lead
from services.scorer.domain.telling import Parting
from services.scorer.leads import records, sealed_names, stored_leads
from services.scorer.leads import repository as lead_repository
from services.scorer.leads.stored_leads import Contended
from services.scorer.merges import repository
from services.scorer.merges.repository import Decision
from shared.errors import InvalidInput, Refused


@dataclass(frozen=True, slots=True)
class Parted:
    """Two leads that are two again; their states are still to be computed from their events."""

    survivor: UUID
    restored: UUID
    decision: Decision

    def parting(self, lead: UUID) -> Parting:
        """What one of the two is told."""
        is_survivor = lead == self.survivor
        return Parting(
            other=str(self.restored if is_survivor else self.survivor),
            role="survivor" if is_survivor else "restored",
            actor=self.decision.actor,
            reason=self.decision.reason,
        )


async def part(
    connection: AsyncConnection, workspace: str, lead_id: UUID, absorbed: UUID, decision: Decision
) -> Parted:
    """Give back to `absorbed`, which is part of the lead, what is its own. Both stay locked.

    Raises InvalidInput (`not_found`) for leads there are not, Refused (`not_merged`) where there is nothing to undo.
    """
    survivor = await records.survivor_of(connection, workspace, lead_id)
    if survivor is None:
        raise InvalidInput("there is no such lead", code="not_found", field="lead_id")
    if await records.survivor_of(connection, workspace, absorbed) is None:
        raise InvalidInput("there is no such lead", code="not_found", field="absorbed")
    family = await repository.lock_family(connection, workspace, survivor)
    if family.get(survivor, survivor) is not None:
        raise Contended("the lead was merged into another one meanwhile")
    if absorbed not in family or absorbed == survivor:
        raise Refused("that lead is no part of this one", code="not_merged")
    gone = leaving(await repository.merges_among(connection, family), absorbed)
    parts = family.keys() - gone - {survivor}
    await _divide(connection, workspace, survivor, absorbed, gone=gone, parts=parts)
    await repository.restore(connection, workspace, survivor, absorbed, with_it=gone)
    await repository.record(connection, workspace, survivor, absorbed, decision)
    return Parted(survivor, absorbed, decision)


async def join(
    connection: AsyncConnection, workspace: str, lead_id: UUID, absorbed: UUID, decision: Decision
) -> tuple[UUID, Lead]:
    """Make `absorbed` part of the lead because a person says so, though they were set apart; both stay locked.

    Returns the survivor, and the lead that is no more as it was. Raises InvalidInput (`not_found`), Refused
    (`same_lead`).
    """
    survivor = await records.survivor_of(connection, workspace, lead_id)
    if survivor is None:
        raise InvalidInput("there is no such lead", code="not_found", field="lead_id")
    other = await records.survivor_of(connection, workspace, absorbed)
    if other is None:
        raise InvalidInput("there is no such lead", code="not_found", field="absorbed")
    if survivor == other:
        raise Refused("the two are one lead already", code="same_lead")
    leads = await stored_leads.lock(connection, (survivor, other))
    if len(leads) < 2:
        raise Contended("one of the leads was erased meanwhile")
    families = [[lead, *await records.absorbed_by(connection, lead)] for lead in (survivor, other)]
    await lead_repository.merge_leads(connection, workspace, survivor, [other], decision.at)
    await repository.forget_separations(connection, *families)
    await repository.note_decision(connection, survivor, other, decision)
    return survivor, leads[other]


async def _divide(
    connection: AsyncConnection,
    workspace: str,
    survivor: UUID,
    restored: UUID,
    *,
    gone: frozenset[UUID],
    parts: set[UUID],
) -> None:
    """Names and events go with the restored lead; what is recorded for other `parts` of the survivor stays."""
    own = await repository.mentions(connection, workspace, gone)
    others = await repository.mentions(connection, workspace, parts)
    shared = await repository.mentions(connection, workspace, {survivor})
    noted = await repository.survivor_names(connection, workspace, restored)
    theirs = None if noted is None else [*noted, *(name for _, names in others for name in names)]
    division = divide((names for _, names in own), theirs, [names for _, names in shared])
    moved = set(division.mentions)
    carrying = [text for text, names in shared if names in moved]
    await repository.move_events(connection, workspace, survivor, carrying, to=restored)
    await sealed_names.move(connection, division.names, restored)
    await sealed_names.seal_again(connection, workspace, [survivor, restored])
