"""A lead's scoring state: a commutative monoid. `combine` is a union, `EMPTY` its identity.

A state belongs to one model version. Entries keep the identity of their event, so that limits, retractions
and resets are decided when the state is read, and the order in which events came can never matter.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from shared.events.curve import Term
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


@dataclass(frozen=True, slots=True, order=True)
class Occurrence:
    """An event that matched a rule; ordered as limits count: by time, then event id."""

    at_us: int
    event_id: str
    source: str
    event_type: str


@dataclass(frozen=True, slots=True, order=True)
class Adjustment:
    """Points given by a person, outside all rules."""

    at_us: int
    event_id: str
    source: str
    score: str
    points: float
    half_life_us: int | None = field(compare=False)
    expires_after_days: int | None = field(compare=False)
    actor: str
    reason: str


@dataclass(frozen=True, slots=True, order=True)
class Reset:
    """What happened in `score` up to and including `at_us` is worth nothing from `at_us` on."""

    at_us: int
    event_id: str
    source: str
    score: str


@dataclass(frozen=True, slots=True)
class Fact:
    """One writing of an attribute."""

    at_us: int
    event_id: str
    source: str
    value: Json


@dataclass(frozen=True, slots=True)
class RuleSum:
    """What the folded occurrences of a rule amount to."""

    counted: tuple[Term, ...]
    withheld: tuple[Term, ...]
    latest: Occurrence


@dataclass(frozen=True, slots=True)
class Settled:
    """History up to and including `until_us`, folded: it answers for `until_us` and later.

    `limits` counts occurrences in the periods still open at `until_us`; `resets` and `voided` are those
    already applied.
    """

    until_us: int
    sums: Mapping[RuleKey, RuleSum]
    limits: Mapping[PeriodKey, int]
    resets: frozenset[Reset]
    voided: frozenset[EventKey]


@dataclass(frozen=True, slots=True)
class LeadState:
    """Everything the core knows of a lead. Tuples are sorted and without repetition."""

    occurrences: Mapping[LimitKey, tuple[Occurrence, ...]]
    adjustments: tuple[Adjustment, ...]
    facts: Mapping[str, tuple[Fact, ...]]
    resets: tuple[Reset, ...]
    voided: frozenset[EventKey]
    settled: tuple[Settled, ...]


EMPTY = LeadState(occurrences={}, adjustments=(), facts={}, resets=(), voided=frozenset(), settled=())
