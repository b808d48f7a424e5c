"""Who is who: events that share a name belong to one lead, and a name shared by two leads makes them one.

The result is the transitive closure of "shares a name with", so it cannot depend on the order of events. The one
exception are leads that a person has set apart: an event that names several of them is of the one that has its
strongest name.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final, NamedTuple
from uuid import UUID

from msgspec import Struct

_NOBODY: Final[frozenset[UUID]] = frozenset()


class IdentityKey(NamedTuple):
    """One name of a lead: `kind` is `email`, `external:<system>` or `anonymous`."""

    workspace: str
    kind: str
    value: str


class KnownLead(Struct, frozen=True, order=True, gc=False):
    """A lead that exists; the oldest of several survives a merge, the smaller id on a tie.

    `partings` is how often names were taken from it: names looked up before that are to be looked up again.
    """

    created_at: datetime
    id: UUID
    partings: int = 0


class Person(Struct, frozen=True, gc=False):
    """Everything that turned out to be one lead.

    `mentions` are indexes into the mentions that were resolved, ascending; `leads` what was known before,
    survivor first, empty for somebody new; `unknown` the names not stored yet.
    """

    mentions: tuple[int, ...]
    names: frozenset[IdentityKey]
    leads: tuple[KnownLead, ...]
    unknown: frozenset[IdentityKey]

    @property
    def is_settled(self) -> bool:
        """Whether nothing is to be created, learnt or merged."""
        return len(self.leads) == 1 and not self.unknown


def resolve(
    mentions: Sequence[Sequence[IdentityKey]],
    known: Mapping[IdentityKey, KnownLead],
    apart: Mapping[UUID, Collection[UUID]] = MappingProxyType({}),
) -> tuple[Person, ...]:
    """The persons behind `mentions`, each a non-empty list of names; ordered by their first mention.

    Names come strongest first. `apart` are, per lead, those that it is never to become one with.
    """
    groups = _Groups(apart)
    for names in mentions:
        for name in names:
            if name in known:
                groups.put(name, known[name].id)
    for names in mentions:
        groups.join(names)
    members: dict[object, list[int]] = {}
    for index, names in enumerate(mentions):
        members.setdefault(groups.root(names[0]), []).append(index)
    return tuple(_person(mentions, indexes, known, groups) for indexes in members.values())


def _person(
    mentions: Sequence[Sequence[IdentityKey]],
    indexes: Sequence[int],
    known: Mapping[IdentityKey, KnownLead],
    groups: "_Groups",
) -> Person:
    root = groups.root(mentions[indexes[0]][0])
    names = frozenset(name for index in indexes for name in mentions[index] if groups.root(name) == root)
    leads = {lead.id: lead for name in names if (lead := known.get(name)) is not None}
    return Person(
        mentions=tuple(indexes),
        names=names,
        leads=tuple(sorted(leads.values())),
        unknown=frozenset(name for name in names if name not in known),
    )


class _Groups:
    """Union-find over names and lead ids, in which no group holds two leads that are apart."""

    def __init__(self, apart: Mapping[UUID, Collection[UUID]]) -> None:
        self._parent: dict[object, object] = {}
        self._apart = apart
        self._leads: dict[object, frozenset[UUID]] = {}

    def root(self, item: object) -> object:
        parent = self._parent.setdefault(item, item)
        while parent != self._parent[parent]:
            parent = self._parent[parent]
        self._parent[item] = parent
        return parent

    def put(self, name: IdentityKey, lead: UUID) -> None:
        """`name` is `lead`'s."""
        root = self.root(lead)
        self._parent[self.root(name)] = root
        self._leads[root] = frozenset({lead})

    def join(self, items: Sequence[object]) -> None:
        """The items are one, as far as they may be: the first decides."""
        for other in items[1:]:
            first, second = self.root(items[0]), self.root(other)
            if first != second and not self._are_apart(first, second):
                self._parent[second] = first
                self._leads[first] = self._leads.get(first, _NOBODY) | self._leads.get(second, _NOBODY)

    def _are_apart(self, first: object, second: object) -> bool:
        if not self._apart:
            return False
        others = self._leads.get(second, _NOBODY)
        return any(other in self._apart.get(lead, ()) for lead in self._leads.get(first, _NOBODY) for other in others)
