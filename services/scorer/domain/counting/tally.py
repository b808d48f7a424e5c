"""Reading a state: retractions, limits and resets are decided here, and what remains is terms of time.

A tally is everything that gives a lead points, line by line; the curve, the ledger and folding are views of it.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from math import exp2, fsum
from typing import Final, Literal, NamedTuple, TypeAlias, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from services.scorer.domain.models.model import (
    AttributeRule,
    AttributeScore,
    Bounds,
    CombinedScore,
    EventRule,
    EventScore,
    Model,
    Score,
)
from services.scorer.domain.states.forgotten import NOTHING, may_be_forgotten
from services.scorer.domain.states.limits import Limit, Split, period_of, split
from services.scorer.domain.states.state import (
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
from shared.events.curve import Curve, GroupCurve, ScoreCurve, clamp, merged, microseconds
from shared.events.json import Json

Entry = TypeVar("Entry", bound=Origin)

# Before all events: where a rule starts to hold that is true of a lead without attributes.
BEGINNING_US: Final = -(2**62)

_UNBOUNDED: Final = Bounds(None, None)

# Portion(*fields) at half the cost: what a named tuple does behind a function of its own.
_new_portion: Final = partial(tuple.__new__, Portion)


class HistoryNeeded(LeadflowError):
    """The folded state cannot answer this exactly: recompute the lead from its stored events."""


class Line(Struct, frozen=True, gc=False):
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

# The occurrences of one rule, under each limit that counts them apart.
_Limited: TypeAlias = Mapping[LimitKey, tuple[Occurrence, ...]]


def tally_of(model: Model, state: LeadState) -> Tally:
    """Every line of every score that is not combined. Raises HistoryNeeded where the state cannot tell."""
    if needs_history(model, state):
        raise HistoryNeeded("events reach back into folded history")
    return tally_of_live(model, without_voided(state))


def tally_of_live(model: Model, live: LeadState) -> Tally:
    """The tally of a state from which retracted events are gone already, and that needs no history."""
    occurrences = _by_rule(live.occurrences)
    return {
        name: (*_lines(score, live, occurrences.get(name, {})), *_adjustment_lines(name, live))
        for name, score in model.scores.items()
        if not isinstance(score, CombinedScore)
    }


def retaken(model: Model, state: LeadState, tally: Tally, *, changed_by: LeadState) -> Tally:
    """The tally of `state`, from that of the same state with `changed_by`, or without it.

    An event is about a line or two of the many that a lead has: the others are kept as they are. Raises
    HistoryNeeded where the state cannot tell.
    """
    if changed_by.resets or changed_by.voided or changed_by.settled:
        return tally_of(model, state)
    # What was read before asked for no history: only what has come can.
    come = replace(state, occurrences=_found(state, changed_by)) if state.settled else state
    for settled in state.settled:
        if _is_beyond(model, come, settled):
            raise HistoryNeeded("events reach back into folded history")
    live = without_voided(state)
    adjusted = {given.score for given in changed_by.adjustments}
    by_score = _by_rule(_found(live, changed_by))
    anew = dict(tally)
    for name, score in model.scores.items():
        if isinstance(score, EventScore) and (name in by_score or name in adjusted):
            anew[name] = _with_rules_retaken(score, live, tally[name], by_score.get(name, {}))
        elif isinstance(score, AttributeScore) and (changed_by.facts or name in adjusted):
            anew[name] = (*_attribute_lines(score, live), *_adjustment_lines(name, live))
    return anew


def _found(state: LeadState, changed_by: LeadState) -> dict[LimitKey, tuple[Occurrence, ...]]:
    """What `state` has under the limits that `changed_by` has something under."""
    return {key: state.occurrences.get(key, ()) for key in changed_by.occurrences}


def curve_of(model: Model, state: LeadState, at: datetime) -> Curve:
    """Every score from `at` (aware) on, if nothing more happens. Raises HistoryNeeded as `tally_of` does."""
    at_us = microseconds(at)
    if at_us < settled_until(state):
        raise HistoryNeeded("the moment lies in folded history")
    return curve_from(model, tally_of(model, state), at_us)


def curve_from(model: Model, tally: Tally, at_us: int) -> Curve:
    """The curve of a tally that has been taken already."""
    return Curve(at_us, {name: _score_curve(score, tally, at_us) for name, score in model.scores.items()})


def values_from(
    model: Model, tally: Tally, at_us: int, *, known: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Every score of a tally at one moment, clamped but unrounded: what its curve says there, without the curve.

    Scores that are `known` are not looked at again.
    """
    values = dict(known or {})
    for name, score in model.scores.items():
        if name in values:
            continue
        if isinstance(score, CombinedScore):
            parts = [weight * values[part] for part, weight in score.weights.items()]
        else:
            parts = _group_values(score, tally[name], at_us)
        values[name] = clamp(fsum(parts), score.bounds.min, score.bounds.max)
    return values


def _group_values(score: EventScore | AttributeScore, lines: tuple[Line, ...], at_us: int) -> list[float]:
    worths: dict[str | None, list[float]] = {}
    for line in lines:
        # As worth_at says, which costs as much again to call.
        worths.setdefault(line.group, []).extend(
            [
                worth if half_life_us is None else worth * exp2((from_us - at_us) / half_life_us)
                for worth, from_us, half_life_us, ends_us, _ in line.counted
                if from_us <= at_us and (ends_us is None or at_us < ends_us)
            ]
        )
    free = worths.get(None, [])
    groups = score.groups.items()
    return [fsum(free), *[clamp(fsum(worths.get(name, ())), bounds.min, bounds.max) for name, bounds in groups]]


def attributes_at(state: LeadState, at: datetime) -> dict[str, Json]:
    """Every attribute as it stands at `at`: of its writings up to then, the last one not retracted."""
    at_us = microseconds(at)
    facts = without_voided(state).facts
    return {name: fact.value for name in sorted(facts) if (fact := _last(facts[name], at_us)) is not None}


def needs_history(model: Model, state: LeadState) -> bool:
    """Whether only the lead's stored events can give its scores: rare, and never wrong to obey."""
    if not state.settled:
        return False
    if len(state.settled) > 1:
        return True
    settled = state.settled[0]
    return _retracts_folded(state, settled) or _resets_folded(state, settled) or _is_beyond(model, state, settled)


def _is_beyond(model: Model, state: LeadState, settled: Settled) -> bool:
    """Whether occurrences came too late for what is kept of limits."""
    return _disturbs_a_limit(model, state, settled) or _is_under_a_forgotten_limit(model, state, settled)


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


def _by_rule(
    occurrences: Mapping[LimitKey, tuple[Occurrence, ...]],
) -> dict[str, dict[str, dict[LimitKey, tuple[Occurrence, ...]]]]:
    """Per score and rule, the occurrences under each of its limits."""
    found: dict[str, dict[str, dict[LimitKey, tuple[Occurrence, ...]]]] = {}
    for key, under_limit in occurrences.items():
        found.setdefault(key.score, {}).setdefault(key.rule, {})[key] = under_limit
    return found


def _lines(
    score: EventScore | AttributeScore, live: LeadState, occurrences: Mapping[str, _Limited]
) -> Iterable[Line]:
    if isinstance(score, AttributeScore):
        return _attribute_lines(score, live)
    settled = live.settled[0] if live.settled else None
    resets = reset_times(score.name, live)
    lines = [
        _rule_line(score.name, rule, occurrences.get(id_, {}), settled=settled, resets=resets)
        for id_, rule in score.rules.items()
        if id_ in occurrences or settled
    ]
    return [line for line in lines if line is not None]


def _with_rules_retaken(
    score: EventScore, live: LeadState, lines: tuple[Line, ...], touched: Mapping[str, _Limited]
) -> tuple[Line, ...]:
    settled = live.settled[0] if live.settled else None
    resets = reset_times(score.name, live)
    found = {line.name: line for line in lines if line.kind == "rule"}
    known = len(found)
    for id_, occurrences in touched.items():
        rule = score.rules[id_]
        under_all = occurrences if rule.limit is None or rule.limit.by is None else _of_rule(score.name, id_, live)
        line = _rule_line(score.name, rule, under_all, settled=settled, resets=resets)
        if line is not None:
            found[id_] = line
        else:
            found.pop(id_, None)
    in_order = found.values() if len(found) <= known else [found[id_] for id_ in score.rules if id_ in found]
    return (*in_order, *_adjustment_lines(score.name, live))


def _of_rule(score: str, rule: str, live: LeadState) -> _Limited:
    return {key: found for key, found in live.occurrences.items() if key.rule == rule and key.score == score}


def _rule_line(
    score: str, rule: EventRule, occurrences: _Limited, *, settled: Settled | None, resets: Sequence[int]
) -> Line | None:
    """What a rule gives; None where it neither matched nor has a sum."""
    past = _past(RuleKey(score, rule.id), settled, resets) if settled else None
    found = [split_of(rule, key, each, settled=settled) for key, each in occurrences.items() if each]
    if past is None and not found:
        return None
    counted = [part.counted for part in found if part.counted]
    withheld = [part.withheld for part in found if part.withheld]
    return Line(
        kind="rule",
        name=rule.id,
        group=rule.group,
        points=rule.points,
        half_life_us=rule.half_life_us,
        limit=rule.limit,
        counted=_portions(rule, past.counted if past else (), counted, resets),
        withheld=_portions(rule, past.withheld if past else (), withheld, resets),
        latest=_newest(past.latest if past else None, [part[-1] for part in counted]),
        note=rule.title,
        is_folded=bool(past and past.counted),
    )


def split_of(
    rule: EventRule, key: LimitKey, occurrences: tuple[Occurrence, ...], *, settled: Settled | None
) -> Split:
    """Occurrences of one limit, sorted, as the rule's limit splits them."""
    if rule.limit is None:
        return Split(occurrences, ())
    return split(occurrences, rule.limit, key=key, already=settled.limits if settled else {})


def _portions(
    rule: EventRule, past: tuple[Portion, ...], recent: Sequence[tuple[Occurrence, ...]], resets: Sequence[int]
) -> tuple[Portion, ...]:
    if not recent:
        return past
    if resets or rule.expires_after_days is not None:
        return (*past, *(portion_of(rule, each, resets) for part in recent for each in part))
    points, half_life_us = rule.points, rule.half_life_us
    found = [_new_portion((points, each.at_us, half_life_us, None, 1)) for part in recent for each in part]
    return (*past, *found)


def portion_of(rule: EventRule, occurrence: Occurrence, resets: Sequence[int]) -> Portion:
    """What one occurrence that counts is worth over time."""
    ends = _ends(occurrence.at_us, rule.expires_after_days, resets)
    return Portion(rule.points, occurrence.at_us, rule.half_life_us, ends, 1)


def _ends(at_us: int, expires_after_days: int | None, resets: Sequence[int]) -> int | None:
    expiry = None if expires_after_days is None else expiry_us(at_us, expires_after_days)
    return _earlier(expiry, _first_reset(resets, at_us))


def _past(key: RuleKey, settled: Settled, resets: Sequence[int]) -> RuleSum | None:
    past = settled.sums.get(key)
    if past is None or not resets:
        return past
    wiped = _first_reset(resets, settled.until_us + 1)
    return RuleSum(_ending(past.counted, wiped), _ending(past.withheld, wiped), past.latest)


def _ending(portions: tuple[Portion, ...], ends_us: int | None) -> tuple[Portion, ...]:
    if ends_us is None:
        return portions
    return tuple(portion._replace(ends_us=_earlier(portion.ends_us, ends_us)) for portion in portions)


def _earlier(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else min(one, other)


def reset_times(score: str, state: LeadState) -> list[int]:
    """When the slate of `score` was wiped, ascending."""
    if not state.resets and not state.settled:
        return []
    applied = (reset for settled in state.settled for reset in settled.resets)
    return sorted({reset.at_us for reset in (*state.resets, *applied) if reset.score == score})


def _first_reset(resets: Sequence[int], from_us: int) -> int | None:
    index = bisect_left(resets, from_us)
    return resets[index] if index < len(resets) else None


def _newest(past: Occurrence | None, recent: list[Occurrence]) -> Occurrence | None:
    if past is None and len(recent) < 2:
        return recent[0] if recent else None
    return max(recent if past is None else [*recent, past], key=lambda found: found.order)


def _adjustment_lines(score: str, state: LeadState) -> Sequence[Line]:
    if not state.adjustments and not state.settled:
        return ()
    resets = reset_times(score, state)
    return [
        *[
            _adjusted_line(past, settled, resets)
            for settled in state.settled
            for past in settled.adjusted
            if past.score == score
        ],
        *[_adjustment_line(given, resets) for given in state.adjustments if given.score == score],
    ]


def _adjusted_line(past: AdjustedSum, settled: Settled, resets: Sequence[int]) -> Line:
    number = past.portion.occurrences
    return Line(
        kind="adjustment",
        name=None,
        group=None,
        points=past.points / number,
        half_life_us=past.portion.half_life_us,
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
        counted=(Portion(given.points, given.at_us, given.half_life_us, ends, 1),),
        withheld=(),
        latest=given,
        note=f"{given.reason or 'no reason given'} ({given.actor or 'unknown'})",
    )


class _Moment(NamedTuple):
    """The attributes from `at_us` on, as conditions see them, and the writing that made them so."""

    at_us: int
    facts: Mapping[str, Json]
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
    moments = [_Moment(BEGINNING_US, {"attributes": {}}, None)]
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
        moments.append(_Moment(fact.at_us, {"attributes": dict(attributes)}, fact))
    return moments


def _spans(rule: AttributeRule, moments: Sequence[_Moment]) -> list[tuple[_Moment, int | None]]:
    """When the rule holds: from a moment, until another or for ever."""
    spans: list[tuple[_Moment, int | None]] = []
    since: _Moment | None = None
    for at in moments:
        holds = rule.condition(at.facts)
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
        counted=tuple(Portion(rule.points, since.at_us, None, ends, 1) for since, ends in spans),
        withheld=(),
        latest=spans[-1][0].cause,
        note=rule.title,
    )


def _last(facts: Sequence[Fact], at_us: int) -> Fact | None:
    for fact in reversed(facts):
        if fact.at_us <= at_us:
            return fact
    return None


def _score_curve(score: Score, tally: Tally, at_us: int) -> ScoreCurve:
    if isinstance(score, CombinedScore):
        return ScoreCurve(score.bounds.min, score.bounds.max, (), dict(score.weights))
    by_group: dict[str | None, list[Portion]] = {}
    for line in tally[score.name]:
        by_group.setdefault(line.group, []).extend(line.counted)
    groups: list[GroupCurve] = []
    for name in (None, *score.groups):
        bounds = _UNBOUNDED if name is None else score.groups[name]
        terms = merged(by_group[name], at_us=at_us) if name in by_group else ()
        if terms or bounds.min is not None:
            groups.append(GroupCurve(bounds.min, bounds.max, terms))
    return ScoreCurve(score.bounds.min, score.bounds.max, tuple(groups), {})


def portions_of(lines: Iterable[Line], group: str | None) -> Iterable[Portion]:
    """What counts of a group's lines; of those of no group for None."""
    return (portion for line in lines if line.group == group for portion in line.counted)
