"""Reading a state: retractions, limits and resets are decided here, and what remains is terms of time.

A tally is everything that gives a lead points, line by line; the curve, the ledger and folding are views of it.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal, TypeAlias, TypeVar

from services.scorer.domain.forgotten import NOTHING, may_be_forgotten
from services.scorer.domain.limits import Limit, Split, period_of, split
from services.scorer.domain.model import (
    AttributeRule,
    AttributeScore,
    Bounds,
    CombinedScore,
    EventRule,
    EventScore,
    Model,
    Score,
)
from services.scorer.domain.state import (
    AdjustedSum,
    Adjustment,
    Fact,
    LeadState,
    LimitKey,
    Occurrence,
    Origin,
    PeriodKey,
    Portion,
    RuleKey,
    RuleSum,
    Settled,
    entries,
)
from shared.documents.durations import expiry_us
from shared.errors import LeadflowError
from shared.events.curve import Curve, GroupCurve, ScoreCurve, Term, merged, microseconds
from shared.events.json import Json

Entry = TypeVar("Entry", bound=Origin)

# Before all events: where a rule starts to hold that is true of a lead without attributes.
BEGINNING_US: Final = -(2**62)

_UNBOUNDED: Final = Bounds(None, None)


class HistoryNeeded(LeadflowError):
    """The folded state cannot answer this exactly: recompute the lead from its stored events."""


@dataclass(frozen=True, slots=True)
class Line:
    """One reason for points: a rule or an adjustment, with the terms that count and those withheld.

    Where `is_folded`, some terms stand for more than one occurrence, and begin later than those happened.
    """

    kind: Literal["rule", "attribute", "adjustment"]
    name: str | None
    group: str | None
    points: float
    half_life_us: int | None
    limit: Limit | None
    counted: tuple[Portion, ...]
    withheld: tuple[Portion, ...]
    latest: Origin | None
    note: str
    is_folded: bool = False


Tally: TypeAlias = Mapping[str, tuple[Line, ...]]


def tally_of(model: Model, state: LeadState) -> Tally:
    """Every line of every score that is not combined. Raises HistoryNeeded where the state cannot tell."""
    if needs_history(model, state):
        raise HistoryNeeded("events reach back into folded history")
    return tally_of_live(model, without_voided(state))


def tally_of_live(model: Model, live: LeadState) -> Tally:
    """The tally of a state from which retracted events are gone already, and that needs no history."""
    occurrences = _by_rule(live)
    return {
        score.name: (*_rule_lines(score, live, occurrences), *_adjustment_lines(score.name, live))
        for score in model.scores.values()
        if not isinstance(score, CombinedScore)
    }


def curve_of(model: Model, state: LeadState, at: datetime) -> Curve:
    """Every score from `at` (aware) on, if nothing more happens. Raises HistoryNeeded as `tally_of` does."""
    at_us = microseconds(at)
    if at_us < settled_until(state):
        raise HistoryNeeded("the moment lies in folded history")
    return curve_from(model, tally_of(model, state), at_us)


def curve_from(model: Model, tally: Tally, at_us: int) -> Curve:
    """The curve of a tally that has been taken already."""
    return Curve(at_us, {name: _score_curve(score, tally, at_us) for name, score in model.scores.items()})


def attributes_at(state: LeadState, at: datetime) -> dict[str, Json]:
    """Every attribute as it stands at `at`: of its writings up to then, the last one not retracted."""
    at_us = microseconds(at)
    found = {name: _last(facts, at_us) for name, facts in without_voided(state).facts.items()}
    return {name: fact.value for name, fact in sorted(found.items()) if fact is not None}


def needs_history(model: Model, state: LeadState) -> bool:
    """Whether only the lead's stored events can give its scores: rare, and never wrong to obey."""
    if not state.settled:
        return False
    if len(state.settled) > 1:
        return True
    settled = state.settled[0]
    return (
        _retracts_folded(state, settled)
        or _resets_folded(state, settled)
        or _disturbs_a_limit(model, state, settled)
        or _is_under_a_forgotten_limit(model, state, settled)
    )


def settled_until(state: LeadState) -> int:
    """The earliest moment, in microseconds, for which the state still answers."""
    return max((settled.until_us for settled in state.settled), default=BEGINNING_US)


def without_voided(state: LeadState) -> LeadState:
    """The state as if the retracted events had never been accepted; the retractions stay."""
    if not state.voided:
        return state
    occurrences = {key: _kept(found, state) for key, found in state.occurrences.items()}
    facts = {name: _kept(found, state) for name, found in state.facts.items()}
    return replace(
        state,
        occurrences={key: kept for key, kept in occurrences.items() if kept},
        adjustments=_kept(state.adjustments, state),
        facts={name: kept for name, kept in facts.items() if kept},
        resets=_kept(state.resets, state),
    )


def _kept(entries: tuple[Entry, ...], state: LeadState) -> tuple[Entry, ...]:
    return tuple(entry for entry in entries if entry.event not in state.voided)


def _retracts_folded(state: LeadState, settled: Settled) -> bool:
    new = state.voided - settled.voided
    if not new:
        return False
    in_sight = {entry.event for entry in entries(state) if entry.at_us > settled.until_us}
    return not new <= in_sight


def _resets_folded(state: LeadState, settled: Settled) -> bool:
    return any(
        reset.at_us <= settled.until_us and reset not in settled.resets and reset.event not in state.voided
        for reset in state.resets
    )


def _disturbs_a_limit(model: Model, state: LeadState, settled: Settled) -> bool:
    return any(
        occurrence.at_us <= settled.until_us and occurrence.event not in state.voided
        for key, occurrences in state.occurrences.items()
        if model.limit_of(key.score, key.rule) is not None
        for occurrence in occurrences
    )


def _is_under_a_forgotten_limit(model: Model, state: LeadState, settled: Settled) -> bool:
    if settled.forgotten == NOTHING:
        return False
    for key, occurrences in state.occurrences.items():
        limit = model.limit_of(key.score, key.rule)
        if limit is None:
            continue
        period = PeriodKey(key, period_of(limit.per, settled.until_us))
        if period not in settled.limits and may_be_forgotten(settled.forgotten, forgotten_name(period)):
            first = min((each.at_us for each in occurrences if each.event not in state.voided), default=None)
            if first is not None and period_of(limit.per, first) <= period.period:
                return True
    return False


def forgotten_name(period: PeriodKey) -> str:
    """By what a count is known once it is forgotten."""
    return "\n".join((*period.limit, str(period.period)))


def _by_rule(state: LeadState) -> Mapping[RuleKey, Mapping[LimitKey, tuple[Occurrence, ...]]]:
    found: dict[RuleKey, dict[LimitKey, tuple[Occurrence, ...]]] = {}
    for key, occurrences in state.occurrences.items():
        found.setdefault(RuleKey(key.score, key.rule), {})[key] = occurrences
    return found


def _rule_lines(
    score: EventScore | AttributeScore,
    state: LeadState,
    occurrences: Mapping[RuleKey, Mapping[LimitKey, tuple[Occurrence, ...]]],
) -> Iterable[Line]:
    if isinstance(score, AttributeScore):
        yield from _attribute_lines(score, state)
        return
    resets = reset_times(score.name, state)
    for rule in score.rules.values():
        key = RuleKey(score.name, rule.id)
        found = occurrences.get(key, {})
        settled = state.settled[0] if state.settled else None
        if found or (settled and key in settled.sums):
            yield _event_line(key, rule, found, settled=settled, resets=resets)


def _event_line(
    key: RuleKey,
    rule: EventRule,
    occurrences: Mapping[LimitKey, tuple[Occurrence, ...]],
    *,
    settled: Settled | None,
    resets: Sequence[int],
) -> Line:
    recent = [split_of(rule, limit, found, settled=settled) for limit, found in occurrences.items()]
    past = _past(key, settled, resets)
    past_latest = [past.latest] if past.latest else []
    return Line(
        kind="rule",
        name=rule.id,
        group=rule.group,
        points=rule.points,
        half_life_us=rule.half_life_us,
        limit=rule.limit,
        counted=(*past.counted, *[portion_of(rule, each, resets) for part in recent for each in part.counted]),
        withheld=(*past.withheld, *[portion_of(rule, each, resets) for part in recent for each in part.withheld]),
        latest=_newest([*(part.counted[-1] for part in recent if part.counted), *past_latest]),
        note=title(rule),
        is_folded=bool(past.counted),
    )


def split_of(
    rule: EventRule, key: LimitKey, occurrences: tuple[Occurrence, ...], *, settled: Settled | None
) -> Split:
    """Occurrences of one limit, sorted, as the rule's limit splits them."""
    if rule.limit is None:
        return Split(occurrences, ())
    return split(occurrences, rule.limit, key=key, already=settled.limits if settled else {})


def portion_of(rule: EventRule, occurrence: Occurrence, resets: Sequence[int]) -> Portion:
    """What one occurrence that counts is worth over time."""
    may_end = resets or rule.expires_after_days is not None
    ends = _ends(occurrence.at_us, rule.expires_after_days, resets) if may_end else None
    return Portion(Term(rule.points, occurrence.at_us, rule.half_life_us, ends), 1)


def _ends(at_us: int, expires_after_days: int | None, resets: Sequence[int]) -> int | None:
    expiry = None if expires_after_days is None else expiry_us(at_us, expires_after_days)
    return _earlier(expiry, _first_reset(resets, at_us))


def _past(key: RuleKey, settled: Settled | None, resets: Sequence[int]) -> RuleSum:
    if settled is None or key not in settled.sums:
        return RuleSum((), (), None)
    wiped = _first_reset(resets, settled.until_us + 1)
    past = settled.sums[key]
    return RuleSum(_ending(past.counted, wiped), _ending(past.withheld, wiped), past.latest)


def _ending(portions: tuple[Portion, ...], ends_us: int | None) -> tuple[Portion, ...]:
    if ends_us is None:
        return portions
    return tuple(
        portion._replace(term=replace(portion.term, ends_us=_earlier(portion.term.ends_us, ends_us)))
        for portion in portions
    )


def _earlier(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else min(one, other)


def reset_times(score: str, state: LeadState) -> list[int]:
    """When the slate of `score` was wiped, ascending."""
    applied = (reset for settled in state.settled for reset in settled.resets)
    return sorted({reset.at_us for reset in (*state.resets, *applied) if reset.score == score})


def _first_reset(resets: Sequence[int], from_us: int) -> int | None:
    index = bisect_left(resets, from_us)
    return resets[index] if index < len(resets) else None


def _newest(origins: Sequence[Origin]) -> Origin | None:
    return max(origins, key=lambda origin: origin.order, default=None)


def _adjustment_lines(score: str, state: LeadState) -> Iterable[Line]:
    resets = reset_times(score, state)
    for settled in state.settled:
        yield from (_adjusted_line(past, settled, resets) for past in settled.adjusted if past.score == score)
    yield from (_adjustment_line(given, resets) for given in state.adjustments if given.score == score)


def _adjusted_line(past: AdjustedSum, settled: Settled, resets: Sequence[int]) -> Line:
    number = past.portion.occurrences
    return Line(
        kind="adjustment",
        name=None,
        group=None,
        points=past.points / number,
        half_life_us=past.portion.term.half_life_us,
        limit=None,
        counted=_ending((past.portion,), _first_reset(resets, settled.until_us + 1)),
        withheld=(),
        latest=past.latest,
        note="an earlier adjustment" if number == 1 else f"{number} earlier adjustments",
        is_folded=True,
    )


def _adjustment_line(given: Adjustment, resets: Sequence[int]) -> Line:
    ends = _ends(given.at_us, given.expires_after_days, resets)
    return Line(
        kind="adjustment",
        name=None,
        group=None,
        points=given.points,
        half_life_us=given.half_life_us,
        limit=None,
        counted=(Portion(Term(given.points, given.at_us, given.half_life_us, ends), 1),),
        withheld=(),
        latest=given,
        note=f"{given.reason or 'no reason given'} ({given.actor or 'unknown'})",
    )


@dataclass(frozen=True, slots=True)
class _Moment:
    """The attributes from `at_us` on, and the writing that made them so."""

    at_us: int
    attributes: Mapping[str, Json]
    cause: Fact | None


def _attribute_lines(score: AttributeScore, state: LeadState) -> Iterable[Line]:
    moments = _moments(state)
    for rule in score.rules.values():
        spans = _spans(rule, moments)
        if spans:
            yield _attribute_line(rule, spans)


def _moments(state: LeadState) -> list[_Moment]:
    """The attributes at each moment at which any became another, the last writing of a moment standing.

    Forms and webhooks repeat the same facts with every event; only what changes one can change a rule's mind.
    """
    attributes: dict[str, Json] = {}
    moments = [_Moment(BEGINNING_US, {}, None)]
    writings = sorted(
        ((fact.order, name, fact) for name, facts in state.facts.items() for fact in facts),
        key=lambda writing: writing[:2],
    )
    for _, name, fact in writings:
        if name in attributes and repr(attributes[name]) == repr(fact.value):
            continue
        attributes[name] = fact.value
        if moments[-1].at_us == fact.at_us:
            moments.pop()
        moments.append(_Moment(fact.at_us, dict(attributes), fact))
    return moments


def _spans(rule: AttributeRule, moments: Sequence[_Moment]) -> list[tuple[_Moment, int | None]]:
    """When the rule holds: from a moment, until another or for ever."""
    spans: list[tuple[_Moment, int | None]] = []
    since: _Moment | None = None
    for at in moments:
        holds = rule.condition({"attributes": dict(at.attributes)})
        if holds and since is None:
            since = at
        elif not holds and since is not None:
            spans.append((since, at.at_us))
            since = None
    return spans if since is None else [*spans, (since, None)]


def _attribute_line(rule: AttributeRule, spans: Sequence[tuple[_Moment, int | None]]) -> Line:
    return Line(
        kind="attribute",
        name=rule.id,
        group=rule.group,
        points=rule.points,
        half_life_us=None,
        limit=None,
        counted=tuple(Portion(Term(rule.points, since.at_us, None, ends), 1) for since, ends in spans),
        withheld=(),
        latest=spans[-1][0].cause,
        note=title(rule),
    )


def title(rule: EventRule | AttributeRule) -> str:
    """What a rule is called: its description, or its id as words."""
    return rule.description or rule.id.replace("_", " ").replace("-", " ").capitalize()


def _last(facts: Sequence[Fact], at_us: int) -> Fact | None:
    return max((fact for fact in facts if fact.at_us <= at_us), key=lambda fact: fact.order, default=None)


def _score_curve(score: Score, tally: Tally, at_us: int) -> ScoreCurve:
    if isinstance(score, CombinedScore):
        return ScoreCurve(score.bounds.min, score.bounds.max, (), dict(score.weights))
    groups: list[GroupCurve] = []
    for name in (None, *score.groups):
        terms = merged(terms_of(tally[score.name], name), at_us=at_us)
        bounds = _UNBOUNDED if name is None else score.groups[name]
        if terms or bounds.min is not None:
            groups.append(GroupCurve(bounds.min, bounds.max, terms))
    return ScoreCurve(score.bounds.min, score.bounds.max, tuple(groups), {})


def terms_of(lines: Iterable[Line], group: str | None) -> Iterable[Term]:
    """Terms of a group's lines that count; those of no group for None."""
    return (portion.term for line in lines if line.group == group for portion in line.counted)
