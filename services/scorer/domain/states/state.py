"""A lead's scoring state: a commutative monoid. `combine` is a union, `EMPTY` its identity.

A state belongs to one model version. Entries keep the identity of their event, so that limits, retractions
and resets are decided when the state is read, and the order in which events came can never matter.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol, TypeVar

from msgspec import Struct

from shared.events.json import Json


class EventKey(NamedTuple):
    """Identity of an event."""

    source: str
    id: str


class RuleKey(NamedTuple):
    """A rule of an event-built score."""

    score: str
    rule: str


class LimitKey(NamedTuple):
    """What a limit counts apart: a rule and, with `by`, one value of that field in canonical form."""

    score: str
    rule: str
    by: str


class PeriodKey(NamedTuple):
    """A limit in one of its calendar periods."""

    limit: LimitKey
    period: int


class Origin(Protocol):
    """The event that an entry comes from."""

    @property
    def at_us(self) -> int:
        """When it happened."""

    @property
    def event_id(self) -> str:
        """Its id within its source."""

    @property
    def source(self) -> str:
        """Where it comes from."""

    @property
    def event_type(self) -> str:
        """What happened."""

    @property
    def event(self) -> EventKey:
        """Identity of the event."""

    @property
    def order(self) -> tuple[int, str, str]:
        """Entries are ordered as limits and attributes need it: by time, then event id."""


class Occurrence(NamedTuple):
    """An event that matched a rule. There are many: a named tuple is the cheapest value to make and to read."""

    at_us: int
    event_id: str
    source: str
    event_type: str

    @property
    def event(self) -> EventKey:
        """Identity of the event."""
        return EventKey(self.source, self.event_id)

    @property
    def order(self) -> tuple[int, str, str]:
        """By time, then event id."""
        return self[:3]


class _Entry(Struct, frozen=True, gc=False):
    at_us: int
    event_id: str
    source: str
    event_type: str

    @property
    def event(self) -> EventKey:
        """Identity of the event."""
        return EventKey(self.source, self.event_id)

    @property
    def order(self) -> tuple[int, str, str]:
        """By time, then event id."""
        return self.at_us, self.event_id, self.source


class Adjustment(_Entry, frozen=True, gc=False):
    """Points given by a person to a score, outside all rules."""

    score: str
    points: float
    half_life_us: int | None
    expires_after_days: int | None
    actor: str
    reason: str


class Reset(_Entry, frozen=True, gc=False):
    """What happened in `score` up to and including `at_us` is worth nothing from `at_us` on."""

    score: str


class Fact(_Entry, frozen=True, gc=False):
    """One writing of an attribute."""

    value: Json


class Portion(NamedTuple):
    """`occurrences` of one rule that age alike: a term, with the number of those that it stands for."""

    worth: float
    from_us: int
    half_life_us: int | None
    ends_us: int | None
    occurrences: int


class RuleSum(Struct, frozen=True, gc=False):
    """What the folded occurrences of a rule amount to; `latest` is the newest of those that count."""

    counted: tuple[Portion, ...]
    withheld: tuple[Portion, ...]
    latest: Occurrence | None


class AdjustedSum(Struct, frozen=True, gc=False):
    """Older adjustments of one score that age alike; `points` is what they gave, undecayed."""

    score: str
    points: float
    portion: Portion
    latest: Occurrence


class Settled(Struct, frozen=True, gc=False):
    """History up to and including `until_us`, folded: it answers for `until_us` and later.

    `limits` counts occurrences in the periods still open at `until_us`, save those in the filter `forgotten`;
    `resets` and `voided` are those already applied.
    """

    until_us: int
    sums: Mapping[RuleKey, RuleSum]
    limits: Mapping[PeriodKey, int]
    forgotten: bytes
    adjusted: tuple[AdjustedSum, ...]
    resets: tuple[Reset, ...]
    voided: frozenset[EventKey]


class LeadState(Struct, frozen=True, gc=False):
    """Everything the core knows of a lead. Tuples of entries are in order and without repetition.

    More than one `settled` part means that two folded histories met: only recomputing can join them.
    """

    occurrences: Mapping[LimitKey, tuple[Occurrence, ...]]
    adjustments: tuple[Adjustment, ...]
    facts: Mapping[str, tuple[Fact, ...]]
    resets: tuple[Reset, ...]
    voided: frozenset[EventKey]
    settled: tuple[Settled, ...]


EMPTY = LeadState(occurrences={}, adjustments=(), facts={}, resets=(), voided=frozenset(), settled=())

Key = TypeVar("Key")
Value = TypeVar("Value")
Entry = TypeVar("Entry", bound=Origin)


def combine(one: LeadState, other: LeadState) -> LeadState:
    """The state of the events of both: associative, commutative, and repeating an event changes nothing."""
    return LeadState(
        occurrences=_joined(one.occurrences, other.occurrences, in_order),
        adjustments=in_order(one.adjustments, other.adjustments),
        facts=_joined(one.facts, other.facts, in_order),
        resets=in_order(one.resets, other.resets),
        voided=one.voided | other.voided,
        settled=_settled(one.settled, other.settled),
    )


def combine_all(states: Iterable[LeadState]) -> LeadState:
    """The state of the events of all; halves are combined first, so that long histories stay cheap."""
    parts = list(states) or [EMPTY]
    while len(parts) > 1:
        odd = parts[len(parts) & ~1 :]
        parts = [combine(one, other) for one, other in zip(parts[::2], parts[1::2], strict=False)] + odd
    return parts[0]


def in_order(one: tuple[Entry, ...], other: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """The entries of both, in order, each event once."""
    if not one or not other:
        return one or other
    # What comes last has most often happened last.
    if one[-1].order < other[0].order:
        return one + other
    found = {entry.order: entry for entry in (*one, *other)}
    return tuple(found[order] for order in sorted(found))


def entries(state: LeadState) -> Iterator[Origin]:
    """Every entry that is not folded."""
    for occurrences in state.occurrences.values():
        yield from occurrences
    for facts in state.facts.values():
        yield from facts
    yield from state.adjustments
    yield from state.resets


def _joined(
    one: Mapping[Key, Value], other: Mapping[Key, Value], join: Callable[[Value, Value], Value]
) -> Mapping[Key, Value]:
    if not one or not other:
        return one or other
    joined = dict(one)
    for key, value in other.items():
        joined[key] = join(joined[key], value) if key in joined else value
    return joined


def _settled(one: tuple[Settled, ...], other: tuple[Settled, ...]) -> tuple[Settled, ...]:
    if not one or not other:
        return one or other
    new = [part for part in other if part not in one]
    return tuple(sorted((*one, *new), key=lambda part: (part.until_us, repr(part)))) if new else one
