"""Taking a merge back: which names and which events go with the lead that had been absorbed.

What each lead was told of before the merge is its own. What was recorded for both together is divided by names:
an event belongs to the lead that has its strongest name, and a new name to the lead whose event first brought it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from services.scorer.domain.identities.identity import IdentityKey
from shared.events.engagement import Identities

Names = tuple[IdentityKey, ...]


@dataclass(frozen=True, slots=True)
class Merged:
    """One merge that stands: `absorbed` became part of `survivor`."""

    survivor: UUID
    absorbed: UUID


@dataclass(frozen=True, slots=True)
class Division:
    """What goes with the restored lead: `names`, and the events that carry one of the `mentions`."""

    names: frozenset[IdentityKey]
    mentions: tuple[Names, ...]


def leaving(merges: Iterable[Merged], absorbed: UUID) -> frozenset[UUID]:
    """`absorbed` and everything that it had absorbed itself by then, directly or not."""
    parts: dict[UUID, list[UUID]] = {}
    for merge in merges:
        parts.setdefault(merge.survivor, []).append(merge.absorbed)
    found: set[UUID] = set()
    waiting = [absorbed]
    while waiting:
        lead = waiting.pop()
        if lead not in found:
            found.add(lead)
            waiting += parts.get(lead, [])
    return frozenset(found)


def divide(own: Iterable[Names], theirs: Iterable[IdentityKey] | None, shared: Sequence[Names]) -> Division:
    """How two leads part. Names of a mention come strongest first.

    `own` are the mentions in events that were recorded for the restored lead itself, `theirs` the names that the
    other one had before, None if nobody noted them: then those that never came together with an own one. `shared`
    are the mentions in events recorded for the other one, in the order in which they were first received.
    """
    goes: dict[IdentityKey, bool] = {name: True for names in own for name in names}
    if theirs is None:
        theirs = [name for names in shared if not goes.keys() & set(names) for name in names]
    for name in theirs:
        goes.setdefault(name, False)
    moved: list[Names] = []
    for names in shared:
        side = next((goes[name] for name in names if name in goes), False)
        for name in names:
            goes.setdefault(name, side)
        if side:
            moved.append(names)
    return Division(frozenset(name for name, with_it in goes.items() if with_it), tuple(moved))


def names_of(workspace: str, identities: Identities) -> Names:
    """The names in an event, strongest first."""
    return tuple(IdentityKey(workspace, kind, value) for kind, value in identities.keys())  # noqa: SIM118


def partners(pairs: Iterable[tuple[UUID, UUID]]) -> Mapping[UUID, frozenset[UUID]]:
    """Per lead, those it is never to become one with."""
    found: dict[UUID, set[UUID]] = {}
    for one, other in pairs:
        found.setdefault(one, set()).add(other)
        found.setdefault(other, set()).add(one)
    return {lead: frozenset(others) for lead, others in found.items()}
