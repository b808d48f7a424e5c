"""The ledger: why a score is what it is. The entries of a score add up to it, before rounding."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from math import exp2, fsum
from typing import Final, Literal

from msgspec import Struct

from services.scorer.domain.counting.tally import HistoryNeeded, Line, Tally, settled_until, tally_of
from services.scorer.domain.models.model import Bounds, CombinedScore, Model
from services.scorer.domain.states.limits import Limit
from services.scorer.domain.states.state import LeadState, Origin, Portion
from shared.events.curve import clamp, microseconds, moment
from shared.events.scores import EventReference, LedgerEntry

_SECOND_US = 1_000_000


def ledger_of(model: Model, state: LeadState, at: datetime) -> dict[str, tuple[LedgerEntry, ...]]:
    """Per score, its reasons at `at` (aware). Raises HistoryNeeded where the state cannot tell."""
    if microseconds(at) < settled_until(state):
        raise HistoryNeeded("the moment lies in folded history")
    return ledger_from(model, tally_of(model, state), microseconds(at))


def ledger_from(model: Model, tally: Tally, at_us: int) -> dict[str, tuple[LedgerEntry, ...]]:
    """The ledger of a tally that has been taken already: the weightiest reasons first, clamps last."""
    ledger: dict[str, tuple[LedgerEntry, ...]] = {}
    values: dict[str, float] = {}
    for name, score in model.scores.items():
        clamps: list[LedgerEntry] = []
        if isinstance(score, CombinedScore):
            reasons = [_component(part, weight, values[part]) for part, weight in score.weights.items()]
        else:
            reasons, worths = _reasons(tally[name], at_us)
            clamps.extend(_group_clamps(score.groups, worths))
        total = fsum([entry.worth for entry in (*reasons, *clamps)])
        values[name] = clamp(total, score.bounds.min, score.bounds.max)
        reasons.sort(key=_weight)
        clamps.sort(key=_weight)
        ledger[name] = (*reasons, *clamps, *_score_clamp(name, values[name] - total, score.bounds))
    return ledger


def _weight(entry: LedgerEntry) -> float:
    return -abs(entry.worth)


def _reasons(lines: Iterable[Line], at_us: int) -> tuple[list[LedgerEntry], dict[str, list[float]]]:
    """What the lines say, and what they are worth by group."""
    reasons: list[LedgerEntry] = []
    worths: dict[str, list[float]] = {}
    for line in lines:
        live = _live(line.counted, at_us)
        if live is not None:
            reasons.append(_reason(line, live, at_us))
            if line.group is not None:
                worths.setdefault(line.group, []).append(live.worth)
    return reasons, worths


class _Live(Struct, frozen=True, gc=False):
    """What of some portions is worth something at a moment: the first of it began, and the next ends, then."""

    occurrences: int
    worth: float
    from_us: int
    ends_us: int | None


_NOTHING: Final = _Live(0, 0.0, 0, None)


def _live(portions: Sequence[Portion], at_us: int) -> _Live | None:
    worths: list[float] = []
    occurrences, first_us, next_us = 0, at_us, None
    for worth, from_us, half_life_us, ends_us, number in portions:
        if from_us > at_us or (ends_us is not None and ends_us <= at_us):
            continue
        # As worth_at says, which costs as much again to call.
        worths.append(worth if half_life_us is None else worth * exp2((from_us - at_us) / half_life_us))
        occurrences += number
        if from_us < first_us:  # noqa: PLR1730 - min() costs as much as all the rest, for each portion
            first_us = from_us
        if ends_us is not None and (next_us is None or ends_us < next_us):
            next_us = ends_us
    return _Live(occurrences, fsum(worths), first_us, next_us) if worths else None


def _reason(line: Line, live: _Live, at_us: int) -> LedgerEntry:
    withheld = (_live(line.withheld, at_us) if line.withheld else None) or _NOTHING
    is_attribute = line.kind == "attribute"
    return LedgerEntry(
        kind=line.kind,
        name=line.name,
        worth=live.worth,
        points=line.points,
        counted=live.occurrences,
        undecayed=line.points * live.occurrences,
        half_life_seconds=None if line.half_life_us is None else line.half_life_us / _SECOND_US,
        expires_at=None if live.ends_us is None or is_attribute else moment(live.ends_us),
        latest=_reference(line.latest, at_us),
        reason=_words(line, live.occurrences, withheld.occurrences),
        withheld=withheld.occurrences,
        withheld_worth=withheld.worth,
        earliest_at=None if is_attribute or line.is_folded else moment(live.from_us),
    )


def _reference(origin: Origin | None, at_us: int) -> EventReference | None:
    """The newest event, unless a past moment is asked for that did not know it yet."""
    if origin is None or origin.at_us > at_us:
        return None
    return EventReference(origin.source, origin.event_id, origin.event_type, moment(origin.at_us))


def _words(line: Line, counted: int, withheld: int) -> str:
    if line.kind == "adjustment":
        return f"Adjusted by hand: {line.note}"
    if line.kind == "attribute":
        return line.note
    times = "" if counted == 1 else ", twice" if counted == 2 else f", {counted} times"
    return line.note + times + (_withheld(line.limit, withheld) if withheld else "")


def _withheld(limit: Limit | None, number: int) -> str:
    if limit is None:
        return ""
    period = "in all" if limit.per == "ever" else f"per {limit.per}"
    return f"; {number} more did not count (limit: {limit.count} {period})"


def _group_clamps(groups: Mapping[str, Bounds], worths: Mapping[str, list[float]]) -> Iterator[LedgerEntry]:
    for name, bounds in groups.items():
        total = fsum(worths.get(name, ()))
        withheld = clamp(total, bounds.min, bounds.max) - total
        if withheld:
            yield _bare("group_clamp", name, withheld, reason=_clamped(f"Group {name}", withheld, bounds))


def _score_clamp(name: str, withheld: float, bounds: Bounds) -> tuple[LedgerEntry, ...]:
    if not withheld:
        return ()
    return (_bare("score_clamp", None, withheld, reason=_clamped(f"Score {name}", withheld, bounds)),)


def _clamped(what: str, withheld: float, bounds: Bounds) -> str:
    if withheld < 0:
        return f"{what} is capped at {bounds.max:g}"
    return f"{what} is never below {bounds.min:g}"


def _component(part: str, weight: float, value: float) -> LedgerEntry:
    reason = f"{weight * 100:g} % of {part}"
    return _bare("component", part, weight * value, reason=reason, points=weight)


def _bare(
    kind: Literal["group_clamp", "score_clamp", "component"],
    name: str | None,
    worth: float,
    *,
    reason: str,
    points: float | None = None,
) -> LedgerEntry:
    return LedgerEntry(
        kind=kind,
        name=name,
        worth=worth,
        points=points,
        counted=None,
        undecayed=None,
        half_life_seconds=None,
        expires_at=None,
        latest=None,
        reason=reason,
    )
