"""The ledger: why a score is what it is. The entries of a score add up to it, before rounding."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from math import fsum
from typing import Literal

from services.scorer.domain.limits import Limit
from services.scorer.domain.model import Bounds, CombinedScore, Model
from services.scorer.domain.state import LeadState, Origin, Portion
from services.scorer.domain.tally import HistoryNeeded, Line, Tally, settled_until, tally_of
from shared.events.curve import clamp, microseconds, moment, worth_at
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
        if isinstance(score, CombinedScore):
            reasons = [_component(part, weight, values[part]) for part, weight in score.weights.items()]
        else:
            reasons = _reasons(tally[name], score.groups, at_us)
        total = fsum([entry.worth for entry in reasons])
        values[name] = clamp(total, score.bounds.min, score.bounds.max)
        ledger[name] = (*sorted(reasons, key=_weight), *_score_clamp(name, values[name] - total, score.bounds))
    return ledger


def _weight(entry: LedgerEntry) -> tuple[bool, float]:
    return entry.kind == "group_clamp", -abs(entry.worth)


def _reasons(lines: Iterable[Line], groups: Mapping[str, Bounds], at_us: int) -> list[LedgerEntry]:
    reasons: list[LedgerEntry] = []
    by_group: dict[str | None, list[float]] = {}
    for line in lines:
        live = _live(line.counted, at_us)
        if live:
            worths = [worth_at(portion, at_us) for portion in live]
            by_group.setdefault(line.group, []).append(fsum(worths))
            reasons.append(_reason(line, live, by_group[line.group][-1], at_us))
    return [*reasons, *_group_clamps(groups, by_group)]


def _reason(line: Line, live: Sequence[Portion], worth: float, at_us: int) -> LedgerEntry:
    withheld = _live(line.withheld, at_us) if line.withheld else ()
    counted = sum([portion.occurrences for portion in live])
    extra = sum([portion.occurrences for portion in withheld])
    return LedgerEntry(
        kind=line.kind,
        name=line.name,
        worth=worth,
        points=line.points,
        counted=counted,
        undecayed=line.points * counted,
        half_life_seconds=None if line.half_life_us is None else line.half_life_us / _SECOND_US,
        expires_at=_expires_at(line, live),
        latest=_reference(line.latest, at_us),
        reason=_words(line, counted, extra),
        withheld=extra,
        withheld_worth=fsum([worth_at(portion, at_us) for portion in withheld]),
        earliest_at=_earliest(line, live),
    )


def _expires_at(line: Line, live: Sequence[Portion]) -> datetime | None:
    ends = [portion.ends_us for portion in live if portion.ends_us is not None]
    return moment(min(ends)) if ends and line.kind != "attribute" else None


def _earliest(line: Line, live: Sequence[Portion]) -> datetime | None:
    if line.kind == "attribute" or line.is_folded:
        return None
    return moment(min([portion.from_us for portion in live]))


def _live(portions: Iterable[Portion], at_us: int) -> list[Portion]:
    return [
        portion
        for portion in portions
        if portion.from_us <= at_us and (portion.ends_us is None or at_us < portion.ends_us)
    ]


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
    return line.note + _times(counted) + _withheld(line.limit, withheld)


def _times(number: int) -> str:
    if number == 1:
        return ""
    return ", twice" if number == 2 else f", {number} times"


def _withheld(limit: Limit | None, number: int) -> str:
    if limit is None or not number:
        return ""
    period = "in all" if limit.per == "ever" else f"per {limit.per}"
    return f"; {number} more did not count (limit: {limit.count} {period})"


def _group_clamps(groups: Mapping[str, Bounds], worths: Mapping[str | None, list[float]]) -> Iterator[LedgerEntry]:
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
