"""What if: two models over the same histories, and what the second would make otherwise than the first.

Leads are compared one by one into counts that add up in any order, so that many processes can share them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Annotated, Final, Literal, NamedTuple, TypeAlias
from uuid import UUID

from pydantic import Field

from services.scorer.domain.counting.matching import state_of
from services.scorer.domain.counting.tally import Tally, attributes_at, curve_from, tally_of
from services.scorer.domain.events.event import Event
from services.scorer.domain.models.model import Model
from services.scorer.domain.scores.ledger import ledger_from
from services.scorer.domain.scores.standing import standing_at
from services.scorer.domain.scores.thresholds import Entering, Passage, passage
from services.scorer.domain.states.state import LeadState, combine_all
from services.scorer.domain.what_if.lift import default_score
from shared.documents.durations import DAY_US
from shared.errors import InvalidInput
from shared.events.curve import microseconds, moment
from shared.events.scores import LedgerEntry, Standing

MOST_LISTED: Final = 10_000
MOST_MOVERS: Final = 100
_MOST_REASONS: Final = 5
_MOST_OWNERS: Final = 200
_WEEK_US: Final = 7 * DAY_US
# 1970 began on a Thursday: its first Monday came four days later.
_MONDAY_US: Final = 4 * DAY_US

Side: TypeAlias = Literal[0, 1]
_SIDES: Final[tuple[Side, Side]] = (0, 1)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: `before` against `after` as of `at`, over whole weeks from `since_us` (a Monday) up to it.

    `score` is what movers move in; `listed` and `movers` say how many leads are named at most.
    """

    before: Model
    after: Model
    at: datetime
    since_us: int
    score: str
    listed: int
    movers: int


@dataclass(frozen=True, slots=True)
class Moved:
    """A pair that differs: by the model before and by the one after; null for none."""

    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class LeadChange:
    """A lead whose band or grade is another."""

    lead_id: UUID
    bands: Annotated[dict[str, Moved], Field(description="Per score whose band is another.")]
    grade: Annotated[Moved | None, Field(description="If the grade is another.")]


@dataclass(frozen=True, slots=True)
class Reason:
    """What a rule, a cap ... is worth in the score, by each model."""

    score: Annotated[str, Field(description="The score that it is part of.")]
    kind: Annotated[str, Field(description="As in the ledger: rule, attribute, adjustment, a clamp.")]
    name: str | None
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Mover:
    """A lead whose score is another, and why: `reasons` and `others` add up to the difference, before rounding."""

    lead_id: UUID
    before: float
    after: float
    reasons: tuple[Reason, ...]
    others: Annotated[float, Field(description="What all other rules differ by.")]


@dataclass(frozen=True, slots=True)
class Transition:
    """How many leads are in the one band or grade before, and in the other after."""

    before: str | None
    after: str | None
    leads: int


@dataclass(frozen=True, slots=True)
class Pair:
    """A number of leads, or of enterings, by each model."""

    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Week:
    """Enterings of a threshold in a week from Monday (UTC); `suppressed` ones came within the cooldown."""

    monday: date
    entered: Pair
    suppressed: Pair


@dataclass(frozen=True, slots=True)
class ThresholdLoad:
    """A threshold: how many leads are inside now, and how many entered it week by week."""

    threshold: str
    inside: Pair
    weeks: tuple[Week, ...]


@dataclass(frozen=True, slots=True)
class OwnerLoad:
    """An owner: leads in all, those now inside each threshold, and those that entered in the weeks asked for."""

    owner: Annotated[str | None, Field(description="null: leads without owner.")]
    leads: int
    inside: dict[str, Pair]
    entered: dict[str, Pair]


@dataclass(frozen=True, slots=True)
class Simulation:
    """What another model would change. Scores, bands and thresholds of one of the models alone are named apart."""

    at: Annotated[datetime, Field(description="The moment at which leads are compared.")]
    since: Annotated[datetime, Field(description="The Monday with which the first week begins.")]
    leads: int
    changed: Annotated[int, Field(description="Leads whose band or grade is another.")]
    changes: Annotated[tuple[LeadChange, ...], Field(description="Those leads, by id, up to the number asked for.")]
    bands: Annotated[dict[str, tuple[Transition, ...]], Field(description="Per score that both models band.")]
    grades: Annotated[tuple[Transition, ...], Field(description="Empty unless both models have grades.")]
    thresholds: tuple[ThresholdLoad, ...]
    score: Annotated[str, Field(description="The score in which movers move.")]
    movers: Annotated[tuple[Mover, ...], Field(description="The leads whose score differs most, first.")]
    owners: Annotated[
        tuple[OwnerLoad, ...], Field(description="Those with the most leads inside a threshold, first.")
    ]
    more_owners: Annotated[int, Field(description="Owners that are not listed.")]
    only_before: Annotated[tuple[str, ...], Field(description="What the model after has no more: `scores.total`.")]
    only_after: Annotated[tuple[str, ...], Field(description="What it has in addition.")]


@dataclass(slots=True)
class Counts:
    """What a simulation has seen so far."""

    leads: int = 0
    changed: int = 0
    bands: Counter[tuple[str, str | None, str | None]] = field(default_factory=Counter)
    grades: Counter[tuple[str | None, str | None]] = field(default_factory=Counter)
    entered: Counter[tuple[str, int, bool, Side]] = field(default_factory=Counter)
    owned: Counter[str | None] = field(default_factory=Counter)
    inside: Counter[tuple[str | None, str, Side]] = field(default_factory=Counter)
    entered_by_owner: Counter[tuple[str | None, str, Side]] = field(default_factory=Counter)
    changes: list[LeadChange] = field(default_factory=list)
    movers: list[Mover] = field(default_factory=list)

    def add(self, question: Question, other: "Counts") -> None:
        """Count what `other` has seen too."""
        self.leads += other.leads
        self.changed += other.changed
        self.bands += other.bands
        self.grades += other.grades
        self.entered += other.entered
        self.owned += other.owned
        self.inside += other.inside
        self.entered_by_owner += other.entered_by_owner
        self.changes = _first([*self.changes, *other.changes], question)
        self.movers = sorted([*self.movers, *other.movers], key=_by_distance)[: question.movers]


def common_score(before: Model, after: Model, wanted: str | None) -> str:
    """The score in which movers move: the one wanted, else the one that matters most. Raises InvalidInput."""
    both = [name for name in after.scores if name in before.scores]
    score = wanted or next((name for name in (default_score(after), default_score(before)) if name in both), None)
    if score is None and both:
        return both[-1]
    if score not in both:
        named = f"no score {score}" if score else "no score"
        raise InvalidInput(f"the models have {named} in common, but {', '.join(both) or 'none'}", field="score")
    return score


def weeks_back(at: datetime, weeks: int) -> int:
    """The Monday, in microseconds, with which the week of `at` and `weeks - 1` before it begin."""
    at_us = microseconds(at)
    return at_us - (at_us - _MONDAY_US) % _WEEK_US - (weeks - 1) * _WEEK_US


def compare(question: Question, leads: Iterable[tuple[UUID, Sequence[Event]]]) -> Counts:
    """What the two models make of these leads, each with all its events."""
    counts = Counts()
    for lead_id, events in leads:
        counts.leads += 1
        sides = _View.of(question, question.before, events), _View.of(question, question.after, events)
        _count_standing(counts, question, lead_id, *sides)
        _count_passages(counts, question, _owner(events, sides[1].state, question.at), *sides)
        _note_mover(counts, question, lead_id, *sides)
    counts.changes = _first(counts.changes, question)
    return counts


def simulation(question: Question, counts: Counts) -> Simulation:
    """All of it in the end."""
    thresholds = list(dict.fromkeys([*question.before.thresholds, *question.after.thresholds]))
    busy: Counter[str | None] = Counter()
    for (owner, _, _), number in counts.inside.items():
        busy[owner] += number
    owners = sorted(counts.owned, key=lambda owner: (-busy[owner], -counts.owned[owner], owner or ""))
    return Simulation(
        at=question.at,
        since=moment(question.since_us),
        leads=counts.leads,
        changed=counts.changed,
        changes=tuple(counts.changes),
        bands={score: _transitions(counts, score) for score in sorted(_banded(question))},
        grades=tuple(Transition(*grades, number) for grades, number in sorted(counts.grades.items(), key=_in_order)),
        thresholds=tuple(_threshold_load(question, counts, name) for name in thresholds),
        score=question.score,
        movers=tuple(counts.movers),
        owners=tuple(_owner_load(counts, owner, thresholds) for owner in owners[:_MOST_OWNERS]),
        more_owners=max(0, len(owners) - _MOST_OWNERS),
        only_before=_only(question.before, question.after),
        only_after=_only(question.after, question.before),
    )


class _View(NamedTuple):
    """A lead as one model sees it."""

    model: Model
    state: LeadState
    tally: Tally
    standing: Standing
    passage: Passage

    @classmethod
    def of(cls, question: Question, model: Model, events: Sequence[Event]) -> "_View":
        state = combine_all(state_of(model, event) for event in events)
        tally = tally_of(model, state)
        at_us = microseconds(question.at)
        first_us = min([at_us, *(event.at_us for event in events)])
        return cls(
            model=model,
            state=state,
            tally=tally,
            standing=standing_at(model, curve_from(model, tally, at_us), question.at),
            passage=passage(model, tally, from_us=first_us, until_us=at_us),
        )


def _count_standing(counts: Counts, question: Question, lead_id: UUID, before: _View, after: _View) -> None:
    bands = {name: Moved(before.standing.bands[name], after.standing.bands[name]) for name in _banded(question)}
    counts.bands.update((name, pair.before, pair.after) for name, pair in bands.items())
    grade = Moved(before.standing.grade, after.standing.grade) if _graded(question) else None
    if grade is not None:
        counts.grades[grade.before, grade.after] += 1
    changed = {name: pair for name, pair in bands.items() if pair.before != pair.after}
    regraded = grade if grade is not None and grade.before != grade.after else None
    if changed or regraded:
        counts.changed += 1
        counts.changes.append(LeadChange(lead_id, changed, regraded))


def _count_passages(counts: Counts, question: Question, owner: str | None, before: _View, after: _View) -> None:
    counts.owned[owner] += 1
    for side, view in zip(_SIDES, (before, after), strict=True):
        counts.inside.update((owner, name, side) for name in view.passage.inside)
        for entering in view.passage.enterings:
            if entering.at_us >= question.since_us:
                counts.entered[entering.threshold, _week(question, entering), entering.suppressed, side] += 1
                if not entering.suppressed:
                    counts.entered_by_owner[owner, entering.threshold, side] += 1


def _week(question: Question, entering: Entering) -> int:
    return (entering.at_us - question.since_us) // _WEEK_US


def _note_mover(counts: Counts, question: Question, lead_id: UUID, before: _View, after: _View) -> None:
    scores = before.standing.scores[question.score], after.standing.scores[question.score]
    mover = Mover(lead_id, *scores, (), 0.0)
    full = len(counts.movers) == question.movers
    if (
        not question.movers
        or scores[0] == scores[1]
        or (full and _by_distance(mover) > _by_distance(counts.movers[-1]))
    ):
        return
    reasons = sorted(_reasons(question, before, after), key=lambda reason: -abs(reason.after - reason.before))
    others = sum(reason.after - reason.before for reason in reasons[_MOST_REASONS:])
    counts.movers.append(Mover(lead_id, *scores, tuple(reasons[:_MOST_REASONS]), others))
    counts.movers = sorted(counts.movers, key=_by_distance)[: question.movers]


def _first(changes: Iterable[LeadChange], question: Question) -> list[LeadChange]:
    return sorted(changes, key=lambda change: change.lead_id)[: question.listed]


def _by_distance(mover: Mover) -> tuple[float, UUID]:
    return -abs(mover.after - mover.before), mover.lead_id


def _reasons(question: Question, before: _View, after: _View) -> list[Reason]:
    ours, theirs = (_worths(question, view) for view in (before, after))
    found = [Reason(*key, ours.get(key, 0.0), theirs.get(key, 0.0)) for key in dict.fromkeys([*ours, *theirs])]
    return [reason for reason in found if round(reason.after - reason.before, 9)]


_Key: TypeAlias = tuple[str, str, str | None]


def _worths(question: Question, view: _View) -> dict[_Key, float]:
    ledger = ledger_from(view.model, view.tally, microseconds(question.at))
    worths: dict[_Key, float] = {}
    _add_worths(worths, ledger, question.score, 1.0)
    return worths


def _add_worths(
    worths: dict[_Key, float], ledger: Mapping[str, tuple[LedgerEntry, ...]], score: str, weight: float
) -> None:
    """What every entry of the score is worth in it; what it combines is taken apart in its turn."""
    for entry in ledger[score]:
        if entry.kind == "component" and entry.name is not None and entry.points is not None:
            _add_worths(worths, ledger, entry.name, weight * entry.points)
        else:
            key = (score, entry.kind, entry.name)
            worths[key] = worths.get(key, 0.0) + weight * entry.worth


def _owner(events: Sequence[Event], state: LeadState, at: datetime) -> str | None:
    """Whose lead it is, as its events say: the CRM's last word on the deal, else the attribute `owner`."""
    known = (event for event in events if event.type in _ABOUT_DEALS and event.at_us <= microseconds(at))
    stated = [event for event in known if "owner" in event.properties]
    if stated:
        owner = max(stated, key=lambda event: (event.at_us, event.id)).properties["owner"]
    else:
        owner = attributes_at(state, at).get("owner")
    return owner if isinstance(owner, str) else None


_ABOUT_DEALS: Final = frozenset({"deal_updated", "stage_changed"})


def _banded(question: Question) -> list[str]:
    return [name for name in question.before.bands if name in question.after.bands]


def _graded(question: Question) -> bool:
    return question.before.grade is not None and question.after.grade is not None


def _transitions(counts: Counts, score: str) -> tuple[Transition, ...]:
    found = {(before, after): number for (name, before, after), number in counts.bands.items() if name == score}
    return tuple(Transition(*pair, number) for pair, number in sorted(found.items(), key=_in_order))


def _in_order(item: tuple[tuple[str | None, str | None], int]) -> tuple[str, str]:
    (before, after), _ = item
    return before or "", after or ""


def _threshold_load(question: Question, counts: Counts, name: str) -> ThresholdLoad:
    inside = [sum(counts.inside[owner, name, side] for owner in counts.owned) for side in _SIDES]
    number = (microseconds(question.at) - question.since_us) // _WEEK_US + 1
    weeks = tuple(
        Week(
            monday=moment(question.since_us).date() + timedelta(weeks=week),
            entered=_pair(counts.entered[name, week, False, side] for side in _SIDES),
            suppressed=_pair(counts.entered[name, week, True, side] for side in _SIDES),
        )
        for week in range(number)
    )
    return ThresholdLoad(name, _pair(inside), weeks)


def _owner_load(counts: Counts, owner: str | None, thresholds: Sequence[str]) -> OwnerLoad:
    return OwnerLoad(
        owner=owner,
        leads=counts.owned[owner],
        inside={name: _pair(counts.inside[owner, name, side] for side in _SIDES) for name in thresholds},
        entered={name: _pair(counts.entered_by_owner[owner, name, side] for side in _SIDES) for name in thresholds},
    )


def _pair(numbers: Iterable[int]) -> Pair:
    before, after = numbers
    return Pair(before, after)


def _only(one: Model, other: Model) -> tuple[str, ...]:
    parts = (("scores", one.scores, other.scores), ("bands", one.bands, other.bands))
    found = [f"{what}.{name}" for what, mine, theirs in parts for name in mine if name not in theirs]
    found += [f"thresholds.{name}" for name in one.thresholds if name not in other.thresholds]
    return (*found, *(("grade",) if one.grade is not None and other.grade is None else ()))
