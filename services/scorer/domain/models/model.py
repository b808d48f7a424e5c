"""A model, compiled: what a published document means to the core. Immutable, and built only by `document`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from services.scorer.domain.states.limits import Limit
from services.scorer.domain.states.state import LimitKey
from shared.documents.conditions import Clause
from shared.events.json import Json

# From an event's source and properties to the rules that it matches, each with what its limit counts apart.
Matcher: TypeAlias = Callable[[str, Mapping[str, Json]], list[LimitKey]]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of a score or a group; None is no limit."""

    min: float | None
    max: float | None


@dataclass(frozen=True, slots=True)
class EventRule:
    """Points for each event of some types, where `condition` holds for the event alone; people know it by `title`."""

    id: str
    event_types: tuple[str, ...]
    condition: Clause | None
    points: float
    description: str
    title: str
    group: str | None
    half_life_us: int | None
    expires_after_days: int | None
    limit: Limit | None


@dataclass(frozen=True, slots=True)
class AttributeRule:
    """Points while `condition` holds for the lead's attributes; people know it by `title`."""

    id: str
    condition: Clause
    points: float
    description: str
    title: str
    group: str | None


@dataclass(frozen=True, slots=True)
class EventScore:
    """A score built from event rules."""

    name: str
    bounds: Bounds
    groups: Mapping[str, Bounds]
    rules: Mapping[str, EventRule]


@dataclass(frozen=True, slots=True)
class AttributeScore:
    """A score built from attribute rules."""

    name: str
    bounds: Bounds
    groups: Mapping[str, Bounds]
    rules: Mapping[str, AttributeRule]


@dataclass(frozen=True, slots=True)
class CombinedScore:
    """A weighted sum of other scores."""

    name: str
    bounds: Bounds
    weights: Mapping[str, float]


Score: TypeAlias = EventScore | AttributeScore | CombinedScore


@dataclass(frozen=True, slots=True)
class Band:
    """A named range of a score: from `at_least` up to the next band."""

    name: str
    at_least: float


@dataclass(frozen=True, slots=True)
class ScoreThreshold:
    """Entered when `score` reaches `enter`, left when it falls below `exit`."""

    name: str
    score: str
    enter: float
    exit: float
    cooldown_us: int | None


@dataclass(frozen=True, slots=True)
class GradeThreshold:
    """Entered when the grade is among `grades`, left when it is not."""

    name: str
    grades: frozenset[str]
    cooldown_us: int | None


Threshold: TypeAlias = ScoreThreshold | GradeThreshold


@dataclass(frozen=True, slots=True)
class Model:
    """One version of a model. `scores` come in an order in which each follows what it combines.

    `bands` are by score, greatest lower bound first; `grade` names two banded scores.
    `levels` are, per score and ascending, the values at which its rounded value reaches a band, or enters or leaves
    a threshold: where a lead stands to all of them decides its bands, its grade and its positions.
    `rules_by_type` lists the rules that look at events of a type; `matchers` asks them all, in that order.
    """

    name: str
    description: str
    scores: Mapping[str, Score]
    bands: Mapping[str, tuple[Band, ...]]
    grade: tuple[str, str] | None
    thresholds: Mapping[str, Threshold]
    levels: Mapping[str, tuple[float, ...]]
    rules_by_type: Mapping[str, tuple[tuple[str, EventRule], ...]]
    matchers: Mapping[str, Matcher]

    def limit_of(self, score: str, rule: str) -> Limit | None:
        """The limit of a rule, if it is one of an event-built score and has one."""
        found = self.scores[score]
        return found.rules[rule].limit if isinstance(found, EventScore) else None
