"""What became of single events: which rules they matched, whether each counts, and what it is worth now."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from services.scorer.domain.counting.tally import (
    HistoryNeeded,
    portion_of,
    reset_times,
    split_of,
    without_voided,
)
from services.scorer.domain.models.model import EventScore, Model
from services.scorer.domain.states.state import EventKey, LeadState, LimitKey, Occurrence, Portion
from shared.events.curve import microseconds, worth_at

Fate: TypeAlias = Literal["counts", "withheld", "over"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One event under one rule. `withheld` by its limit; `over`: it has expired, or a reset wiped it.

    `worth` is what it adds to its group and score before their caps.
    """

    score: str
    rule: str
    fate: Fate
    worth: float


def verdicts(
    model: Model, state: LeadState, at: datetime, *, of: Collection[EventKey]
) -> dict[EventKey, tuple[Verdict, ...]]:
    """Per event of `of`, what became of it by `at`; retracted ones have none. Raises HistoryNeeded if folded."""
    if state.settled:
        raise HistoryNeeded("single events have been folded")
    found: dict[EventKey, list[Verdict]] = {key: [] for key in of}
    live = without_voided(state)
    for key, occurrences in sorted(live.occurrences.items()):
        for occurrence, verdict in _verdicts(model, live, key, occurrences, microseconds(at)):
            if occurrence.event in found:
                found[occurrence.event].append(verdict)
    return {key: tuple(of_event) for key, of_event in found.items()}


def _verdicts(
    model: Model, live: LeadState, key: LimitKey, occurrences: tuple[Occurrence, ...], at_us: int
) -> Iterator[tuple[Occurrence, Verdict]]:
    score = model.scores[key.score]
    assert isinstance(score, EventScore), "only these have occurrences"
    rule = score.rules[key.rule]
    resets = reset_times(key.score, live)
    parts = split_of(rule, key, occurrences, settled=None)
    for occurrence in parts.counted:
        portion = portion_of(rule, occurrence, resets)
        worth = worth_at(portion, at_us)
        yield occurrence, Verdict(key.score, key.rule, "over" if _is_over(portion, at_us) else "counts", worth)
    for occurrence in parts.withheld:
        yield occurrence, Verdict(key.score, key.rule, "withheld", 0.0)


def _is_over(portion: Portion, at_us: int) -> bool:
    return portion.ends_us is not None and portion.ends_us <= at_us
