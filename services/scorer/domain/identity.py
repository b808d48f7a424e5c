"""Who is who: events that share a name belong to one lead, and a name shared by two leads makes them one.

The result is the transitive closure of "shares a name with", so it cannot depend on the order of events.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID


class IdentityKey(NamedTuple):
    """One name of a lead: `kind` is `email`, `external:<system>` or `anonymous`."""

    workspace: str
    kind: str
    value: str


@dataclass(frozen=True, slots=True, order=True)
class KnownLead:
    """A lead that exists; the oldest of several survives a merge, the smaller id on a tie."""

    created_at: datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class Person:
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


def resolve(mentions: Sequence[Sequence[IdentityKey]], known: Mapping[IdentityKey, KnownLead]) -> tuple[Person, ...]:
    """The persons behind `mentions`, each a non-empty list of names; ordered by their first mention."""
    groups = _Groups()
    for names in mentions:
        groups.join([*names, *(known[name].id for name in names if name in known)])
    members: dict[object, list[int]] = {}
    for index, names in enumerate(mentions):
        members.setdefault(groups.root(names[0]), []).append(index)
    return tuple(_person(mentions, indexes, known) for indexes in members.values())


def _person(
    mentions: Sequence[Sequence[IdentityKey]], indexes: Sequence[int], known: Mapping[IdentityKey, KnownLead]
) -> Person:
    names = frozenset(name for index in indexes for name in mentions[index])
    return Person(
        mentions=tuple(indexes),
        names=names,
        leads=tuple(sorted({known[name] for name in names if name in known})),
        unknown=frozenset(name for name in names if name not in known),
    )


class _Groups:
    """Union-find over names and lead ids."""

    def __init__(self) -> None:
        self._parent: dict[object, object] = {}

    def root(self, item: object) -> object:
        parent = self._parent.setdefault(item, item)
        while parent != self._parent[parent]:
            parent = self._parent[parent]
        self._parent[item] = parent
        return parent

    def join(self, items: Iterable[object]) -> None:
        first, *others = (self.root(item) for item in items)
        for other in others:
            self._parent[self.root(other)] = self.root(first)
