"""Folding: history that can no longer be disturbed without anybody noticing becomes a few sums.

A folded state gives the same scores from its horizon on. What it forgets, single events, is what a late event
under a limit, a retraction or a reset in the past would need; `tally.needs_history` tells when that is so.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import fsum
from typing import Final

from services.scorer.domain.limits import Limit, period_of
from services.scorer.domain.model import EventScore, Model
from services.scorer.domain.state import (
    Adjustment,
    Fact,
    LeadState,
    LimitKey,
    Occurrence,
    PeriodKey,
    Portion,
    Reset,
    RuleKey,
    RuleSum,
    Settled,
    entries,
    entry_count,
)
from services.scorer.domain.tally import (
    HistoryNeeded,
    Tally,
    needs_history,
    settled_until,
    tally_of_live,
    without_voided,
)
from shared.documents.durations import DAY_US, expiry_us
from shared.events.curve import Term

KEPT_ENTRIES: Final = 64
GRACE_US: Final = DAY_US


def fold(model: Model, state: LeadState, until_us: int) -> LeadState:
    """A small state that equals `state` from `until_us` on. Raises HistoryNeeded where `state` cannot tell.

    A horizon some hours or days back keeps the usual late event exact at no cost.
    """
    if until_us <= settled_until(state):
        return state
    if needs_history(model, state):
        raise HistoryNeeded("events reach back into folded history")
    live = without_voided(state)
    return LeadState(
        occurrences=_after(live.occurrences, until_us),
        adjustments=tuple(given for given in live.adjustments if not _is_over(given, until_us)),
        facts={name: _still_standing(facts, until_us) for name, facts in live.facts.items()},
        resets=tuple(reset for reset in live.resets if reset.at_us > until_us),
        voided=state.voided,
        settled=(_settle(model, live, until_us),),
    )


def compact(model: Model, state: LeadState) -> LeadState:
    """`state`, folded when it has grown beyond `KEPT_ENTRIES`. Raises HistoryNeeded as `fold` does.

    The horizon follows from the entries alone: the usual late event, by less than `GRACE_US`, stays exact.
    """
    if entry_count(state) <= KEPT_ENTRIES:
        return state
    newest = max(entry.at_us for entry in entries(state))
    return fold(model, state, newest - GRACE_US)


def _settle(model: Model, live: LeadState, until_us: int) -> Settled:
    folded = replace(
        live,
        occurrences=_upto(live.occurrences, until_us),
        # A reset still to come ends the sums as a whole, when they are read.
        resets=tuple(reset for reset in live.resets if reset.at_us <= until_us),
    )
    return Settled(
        until_us=until_us,
        sums=dict(_sums(tally_of_live(model, folded), until_us)),
        limits=dict(_open_limits(model, folded, until_us)),
        resets=_last_resets(folded),
        voided=live.voided,
    )


def _after(
    occurrences: Mapping[LimitKey, tuple[Occurrence, ...]], until_us: int
) -> dict[LimitKey, tuple[Occurrence, ...]]:
    kept = {key: tuple(each for each in found if each.at_us > until_us) for key, found in occurrences.items()}
    return {key: found for key, found in kept.items() if found}


def _upto(
    occurrences: Mapping[LimitKey, tuple[Occurrence, ...]], until_us: int
) -> dict[LimitKey, tuple[Occurrence, ...]]:
    kept = {key: tuple(each for each in found if each.at_us <= until_us) for key, found in occurrences.items()}
    return {key: found for key, found in kept.items() if found}


def _is_over(given: Adjustment, until_us: int) -> bool:
    days = given.expires_after_days
    return given.at_us <= until_us and days is not None and expiry_us(given.at_us, days) <= until_us


def _still_standing(facts: tuple[Fact, ...], until_us: int) -> tuple[Fact, ...]:
    """The facts, in order, without those that an earlier-or-equal moment has overwritten for good."""
    past = [fact for fact in facts if fact.at_us <= until_us]
    return (*past[-1:], *facts[len(past) :])


def _sums(tally: Tally, until_us: int) -> Iterator[tuple[RuleKey, RuleSum]]:
    for score, lines in tally.items():
        for line in lines:
            counted, withheld = _added(line.counted, until_us), _added(line.withheld, until_us)
            if line.kind == "rule" and line.name is not None and (counted or withheld):
                latest = line.latest if isinstance(line.latest, Occurrence) else None
                yield RuleKey(score, line.name), RuleSum(counted, withheld, latest)


def _added(portions: Iterable[Portion], until_us: int) -> tuple[Portion, ...]:
    """Portions that end alike as one, worth what they are worth at `until_us`; those that ended are gone."""
    alike: dict[tuple[int | None, int | None], list[Portion]] = {}
    for portion in portions:
        if portion.term.ends_us is None or portion.term.ends_us > until_us:
            alike.setdefault((portion.term.ends_us, portion.term.half_life_us), []).append(portion)
    return tuple(_sum(alike[key], until_us) for key in sorted(alike, key=_never_last))


def _never_last(key: tuple[int | None, int | None]) -> tuple[bool, int, int]:
    ends_us, half_life_us = key
    return ends_us is None, ends_us or 0, half_life_us or 0


def _sum(portions: Sequence[Portion], until_us: int) -> Portion:
    worth = fsum(portion.term.value_at(until_us) for portion in portions)
    first = portions[0].term
    term = Term(worth, until_us, first.half_life_us, first.ends_us)
    return Portion(term, sum(portion.occurrences for portion in portions))


def _open_limits(model: Model, folded: LeadState, until_us: int) -> Iterator[tuple[PeriodKey, int]]:
    """What limits have counted in the periods that go on after `until_us`."""
    already = folded.settled[0].limits if folded.settled else {}
    for key in folded.occurrences.keys() | {period.limit for period in already}:
        limit = _limit_of(model, key)
        if limit is not None:
            period = PeriodKey(key, period_of(limit.per, until_us))
            found = folded.occurrences.get(key, ())
            recent = sum(period_of(limit.per, each.at_us) == period.period for each in found)
            number = min(limit.count, already.get(period, 0) + recent)
            if number:
                yield period, number


def _limit_of(model: Model, key: LimitKey) -> Limit | None:
    score = model.scores[key.score]
    return score.rules[key.rule].limit if isinstance(score, EventScore) else None


def _last_resets(folded: LeadState) -> tuple[Reset, ...]:
    applied = (reset for settled in folded.settled for reset in settled.resets)
    last: dict[str, Reset] = {}
    for reset in sorted((*applied, *folded.resets), key=lambda reset: reset.order):
        last[reset.score] = reset
    return tuple(last[score] for score in sorted(last))
