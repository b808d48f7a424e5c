"""Folding: history that can no longer be disturbed without anybody noticing becomes a few sums.

A folded state gives the same scores from its horizon on. What it forgets, single events, is what a late event
under a limit, a retraction or a reset in the past would need; `tally.needs_history` tells when that is so.

A folded state is bounded whatever the number of events, save for what cannot be summed up without guessing:
retractions, which may come before their event (some fifty bytes each), names of attributes, adjustments that
expire, and, for rules that expire, one sum for each day on which something is still to expire. Counts of limits by
a field are bounded: beyond `KEPT_COUNTS` the oldest are forgotten, and who may meet a forgotten one is recomputed.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import fsum
from typing import Final

from msgspec.structs import replace

from services.scorer.domain.counting.tally import (
    BEGINNING_US,
    HistoryNeeded,
    Tally,
    forgotten_name,
    needs_history,
    reset_times,
    settled_until,
    tally_of_live,
    without_voided,
)
from services.scorer.domain.models.model import Model
from services.scorer.domain.states.forgotten import NOTHING, forget
from services.scorer.domain.states.limits import period_of
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
    Reset,
    RuleKey,
    RuleSum,
    Settled,
)
from shared.documents.durations import DAY_US, expiry_us
from shared.events.curve import worth_at

KEPT_ENTRIES: Final = 64
MOST_ENTRIES: Final = 512
GRACE_US: Final = DAY_US

# What a fold leaves one by one: adjustments that the ledger still names, and counts of open limits.
KEPT_ADJUSTMENTS: Final = 16
KEPT_COUNTS: Final = 256


def fold(model: Model, state: LeadState, until_us: int) -> LeadState:
    """A small state that equals `state` from `until_us` on. Raises HistoryNeeded where `state` cannot tell.

    A horizon some hours or days back keeps the usual late event exact at no cost.
    """
    if until_us < settled_until(state):
        return state
    if needs_history(model, state):
        raise HistoryNeeded("events reach back into folded history")
    live = without_voided(state)
    return LeadState(
        occurrences=_after(live.occurrences, until_us),
        adjustments=_not_summed(live, until_us),
        facts={name: _still_standing(facts, until_us) for name, facts in live.facts.items()},
        resets=tuple(reset for reset in live.resets if reset.at_us > until_us),
        voided=state.voided,
        settled=(_settle(model, live, until_us),),
    )


def compact(model: Model, state: LeadState) -> LeadState:
    """`state`, folded when it has grown beyond `KEPT_ENTRIES`. Raises HistoryNeeded as `fold` does.

    The horizon follows from the entries alone: the usual late event, by less than `GRACE_US`, stays exact, unless
    more than `MOST_ENTRIES` come within that time.
    """
    if _number_passing(state) <= KEPT_ENTRIES:
        return state
    moments = sorted([entry.at_us for entry in _passing(state)])
    horizon = max(moments[-1] - GRACE_US, settled_until(state))
    if len(moments) > MOST_ENTRIES:
        horizon = max(horizon, moments[-MOST_ENTRIES // 2])
    # Folding reads the whole state: it waits until there is something to gain.
    gain = bisect_right(moments, horizon)
    return fold(model, state, horizon) if 2 * gain >= KEPT_ENTRIES else state


def _number_passing(state: LeadState) -> int:
    """How many `_passing` gives, without a look at any."""
    occurrences = sum(map(len, state.occurrences.values()))
    writings = sum(map(len, state.facts.values())) - len(state.facts)
    return occurrences + writings + len(state.adjustments[:-KEPT_ADJUSTMENTS]) + len(state.resets)


def _passing(state: LeadState) -> Iterator[Origin]:
    """The entries that folding can take away: not the last writing of an attribute, nor the newest adjustments."""
    for occurrences in state.occurrences.values():
        yield from occurrences
    for facts in state.facts.values():
        yield from facts[:-1]
    yield from state.adjustments[:-KEPT_ADJUSTMENTS]
    yield from state.resets


def _settle(model: Model, live: LeadState, until_us: int) -> Settled:
    folded = replace(
        live,
        occurrences=_upto(live.occurrences, until_us),
        # A reset still to come ends the sums as a whole, when they are read.
        resets=tuple(reset for reset in live.resets if reset.at_us <= until_us),
    )
    counts = dict(_open_limits(model, folded, until_us))
    kept = _newest_counts(counts, live, until_us)
    return Settled(
        until_us=until_us,
        sums=dict(_sums(tally_of_live(model, folded), until_us)),
        limits=kept,
        forgotten=forget(_forgotten(live), map(forgotten_name, counts.keys() - kept.keys())),
        adjusted=tuple(_adjusted(live, until_us)),
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


def _not_summed(live: LeadState, until_us: int) -> tuple[Adjustment, ...]:
    """The adjustments that are still worth something, or will be, and are not in a sum."""
    summed = set(_to_sum(live, until_us))
    return tuple(given for given in live.adjustments if given not in summed and not _is_over(live, given, until_us))


def _to_sum(live: LeadState, until_us: int) -> tuple[Adjustment, ...]:
    past = [
        given
        for given in live.adjustments
        if given.at_us <= until_us and given.expires_after_days is None and not _is_over(live, given, until_us)
    ]
    return tuple(past[:-KEPT_ADJUSTMENTS])


def _is_over(live: LeadState, given: Adjustment, until_us: int) -> bool:
    if given.at_us > until_us:
        return False
    days = given.expires_after_days
    is_expired = days is not None and expiry_us(given.at_us, days) <= until_us
    return is_expired or any(given.at_us <= reset <= until_us for reset in reset_times(given.score, live))


def _adjusted(live: LeadState, until_us: int) -> Iterator[AdjustedSum]:
    parts = (*_carried(live, until_us), *map(_as_sum, _to_sum(live, until_us)))
    alike: dict[tuple[str, int], list[AdjustedSum]] = {}
    for part in parts:
        alike.setdefault((part.score, part.portion.half_life_us or 0), []).append(part)
    for key in sorted(alike):
        found = alike[key]
        yield AdjustedSum(
            score=found[0].score,
            points=fsum(part.points for part in found),
            portion=_sum([part.portion for part in found], until_us),
            latest=max((part.latest for part in found), key=lambda latest: latest.order),
        )


def _carried(live: LeadState, until_us: int) -> Iterator[AdjustedSum]:
    """The sums that were there already and that no reset has wiped since."""
    for settled in live.settled:
        for past in settled.adjusted:
            if not any(settled.until_us < reset <= until_us for reset in reset_times(past.score, live)):
                yield past


def _as_sum(given: Adjustment) -> AdjustedSum:
    portion = Portion(given.points, given.at_us, given.half_life_us, None, 1)
    latest = Occurrence(given.at_us, given.event_id, given.source, given.event_type)
    return AdjustedSum(given.score, given.points, portion, latest)


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
        if portion.ends_us is None or portion.ends_us > until_us:
            alike.setdefault((portion.ends_us, portion.half_life_us), []).append(portion)
    return tuple(_sum(alike[key], until_us) for key in sorted(alike, key=_never_last))


def _never_last(key: tuple[int | None, int | None]) -> tuple[bool, int, int]:
    ends_us, half_life_us = key
    return ends_us is None, ends_us or 0, half_life_us or 0


def _sum(portions: Sequence[Portion], until_us: int) -> Portion:
    first = portions[0]
    return Portion(
        worth=fsum(worth_at(portion, until_us) for portion in portions),
        from_us=until_us,
        half_life_us=first.half_life_us,
        ends_us=first.ends_us,
        occurrences=sum(portion.occurrences for portion in portions),
    )


def _open_limits(model: Model, folded: LeadState, until_us: int) -> Iterator[tuple[PeriodKey, int]]:
    """What limits have counted in the periods that go on after `until_us`."""
    already = folded.settled[0].limits if folded.settled else {}
    for key in folded.occurrences.keys() | {period.limit for period in already}:
        limit = model.limit_of(key.score, key.rule)
        if limit is not None:
            period = PeriodKey(key, period_of(limit.per, until_us))
            found = folded.occurrences.get(key, ())
            recent = sum(period_of(limit.per, each.at_us) == period.period for each in found)
            number = min(limit.count, already.get(period, 0) + recent)
            if number:
                yield period, number


def _newest_counts(counts: Mapping[PeriodKey, int], live: LeadState, until_us: int) -> dict[PeriodKey, int]:
    """The counts that are kept: those under which unfolded occurrences are counted, and then the newest."""
    newest = {key: found[-1].at_us for key, found in live.occurrences.items()}
    needed = {period for period in counts if newest.get(period.limit, until_us) > until_us}
    others = sorted(counts.keys() - needed, key=lambda period: (-newest.get(period.limit, BEGINNING_US), period))
    return {period: counts[period] for period in (*needed, *others[:KEPT_COUNTS])}


def _forgotten(live: LeadState) -> bytes:
    return live.settled[0].forgotten if live.settled else NOTHING


def _last_resets(folded: LeadState) -> tuple[Reset, ...]:
    applied = (reset for settled in folded.settled for reset in settled.resets)
    last: dict[str, Reset] = {}
    for reset in sorted((*applied, *folded.resets), key=lambda reset: reset.order):
        last[reset.score] = reset
    return tuple(last[score] for score in sorted(last))
