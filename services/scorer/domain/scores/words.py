"""The ledger as sentences that somebody in sales or marketing can read aloud.

They tell points of one moment, so they are made when they are asked for and travel in no message.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from services.scorer.domain.models.model import EventScore, Model
from services.scorer.domain.states.limits import Limit
from shared.events.curve import published
from shared.events.scores import LedgerEntry

_UNITS: Final[Sequence[tuple[str, float]]] = (
    ("year", 365.25 * 86_400),
    ("month", 30.4375 * 86_400),
    ("week", 7 * 86_400.0),
    ("day", 86_400.0),
    ("hour", 3_600.0),
    ("minute", 60.0),
    ("second", 1.0),
)
# Below this a unit is told in the next smaller one: 45 days rather than a month.
_AT_LEAST: Final = {"year": 2, "month": 2, "week": 3, "day": 2, "hour": 2, "minute": 2, "second": 0}


def sentences(model: Model, ledger: Mapping[str, Sequence[LedgerEntry]], at: datetime) -> dict[str, tuple[str, ...]]:
    """Per score, each of its entries at `at` as a sentence, in the order of the ledger."""
    return {score: tuple(sentence(model, score, entry, at=at) for entry in found) for score, found in ledger.items()}


def sentence(model: Model, score: str, entry: LedgerEntry, *, at: datetime) -> str:
    """One entry of `score`: what happened, how often and when, its points, and how they will age."""
    match entry.kind:
        case "rule":
            return _rule(model, score, entry, at)
        case "adjustment":
            when = _ago(entry, at)
            return f"{entry.reason}{f', {when}' if when else ''}: {points(entry.worth)}{_ageing(entry)}"
        case "attribute":
            return f"{entry.reason}: {points(entry.worth)}, as long as that is so"
        case "component":
            value = f" ({published(entry.worth / entry.points):g})" if entry.points else ""
            return f"{entry.reason}{value}: {points(entry.worth)}"
        case _:
            return f"{entry.reason}: {points(entry.worth)}"


def points(worth: float) -> str:
    """`+18.4`, `-3`; what rounds to nothing says so."""
    rounded = published(worth)
    if not rounded:
        return "next to nothing by now" if worth else "nothing"
    return f"{rounded:+.2f}".rstrip("0").rstrip(".")


def length(seconds: float) -> str:
    """About how long, as people say it: `7 days`, `36 hours`."""
    unit, size = next((unit, size) for unit, size in _UNITS if seconds >= size * _AT_LEAST[unit])
    return _number_of(unit, round(seconds / size))


def exact_length(seconds: float) -> str:
    """Exactly how long, in the largest unit that comes out even: half-lives are no matter of taste."""
    for unit, size in _UNITS:
        if unit not in {"year", "month"} and seconds >= size * _AT_LEAST[unit] and seconds % size == 0:
            return _number_of(unit, int(seconds // size))
    return f"{seconds:g} seconds"


def _number_of(unit: str, number: int) -> str:
    return f"{number} {unit}" + ("" if number == 1 else "s")


def limit_words(limit: Limit) -> str:
    """`at most 3 per day`."""
    each = f" for each {limit.by[-1].replace('_', ' ')}" if limit.by else ""
    return f"at most {limit.count} {'ever' if limit.per == 'ever' else f'per {limit.per}'}{each}"


def _rule(model: Model, score: str, entry: LedgerEntry, at: datetime) -> str:
    found = model.scores.get(score)
    rule = found.rules.get(entry.name or "") if isinstance(found, EventScore) else None
    name = rule.title if rule else (entry.name or "")
    counted = entry.counted or 0
    told = f"{name}{_times(counted)}{_when(entry, at, counted)}: {points(entry.worth)}{_ageing(entry)}"
    if not entry.withheld or rule is None or rule.limit is None:
        return told
    return f"{told}; {entry.withheld} more did not count ({limit_words(rule.limit)})"


def _times(number: int) -> str:
    return {1: "", 2: " twice"}.get(number, f" {number} times")


def _when(entry: LedgerEntry, at: datetime, counted: int) -> str:
    if counted > 1 and entry.earliest_at is not None:
        return f" in the last {length(max(1.0, (at - entry.earliest_at).total_seconds()))}"
    ago = _ago(entry, at)
    return f"{' ' if counted == 1 else ', the last '}{ago}" if ago else ""


def _ago(entry: LedgerEntry, at: datetime) -> str:
    latest = entry.latest.occurred_at if entry.latest else None
    if latest is None or latest > at:
        return ""
    age = at - latest
    return "just now" if age < timedelta(minutes=1) else f"{length(age.total_seconds())} ago"


def _ageing(entry: LedgerEntry) -> str:
    return "".join(f", {part}" for part in _ageing_parts(entry))


def _ageing_parts(entry: LedgerEntry) -> Iterator[str]:
    if entry.half_life_seconds is not None:
        yield f"halves every {exact_length(entry.half_life_seconds)}"
    if entry.expires_at is not None:
        what = "ends" if (entry.counted or 0) < 2 else "the first part ends"
        yield f"{what} on {entry.expires_at.day} {entry.expires_at:%B %Y}"
    if entry.half_life_seconds is None and entry.expires_at is None:
        yield "stays"
