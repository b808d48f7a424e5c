"""From a lead's events to its observations: its scores as they stood at a moment, and what came of it after.

Nothing leaks: a score at a moment is made of the events that had happened *and were known* by then, combined one
after the other as they became known. Whatever came later has not been combined yet.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from services.scorer.domain.counting.matching import state_of
from services.scorer.domain.counting.tally import curve_of
from services.scorer.domain.events.event import Event
from services.scorer.domain.models.model import CombinedScore, Model
from services.scorer.domain.states.state import EMPTY, LeadState, combine, combine_all
from services.scorer.domain.what_if.backtest.observations import Observations
from shared.documents.durations import DAY_US
from shared.errors import InvalidInput
from shared.events.curve import microseconds, moment, published, scores_at

# Days are counted from a Monday, so that weeks begin on one.
_MONDAY_US: Final = 4 * DAY_US


@dataclass(frozen=True, slots=True)
class EventMatch:
    """Which events are meant: those of a type, and with `value` in a property if one is named."""

    type: str
    property: str | None = None
    value: str | None = None

    def matches(self, event: Event) -> bool:
        """Whether `event` is meant."""
        if event.type != self.type:
            return False
        return self.property is None or event.properties.get(self.property) == self.value

    def __str__(self) -> str:
        return self.type if self.property is None else f"{self.type}:{self.property}={self.value}"


def read_match(text: str) -> EventMatch:
    """An event type, or `TYPE:PROPERTY=VALUE`. Raises InvalidInput."""
    event_type, colon, rest = text.partition(":")
    name, equals, value = rest.partition("=")
    if not event_type or (colon and not (name and equals and value)):
        raise InvalidInput(f"{text}: must be an event type, or TYPE:PROPERTY=VALUE")
    return EventMatch(event_type, name, value) if colon else EventMatch(event_type)


WON: Final = (EventMatch("deal_won"), EventMatch("stage_changed", "stage", "won"))
LOST: Final = (EventMatch("deal_lost"), EventMatch("stage_changed", "stage", "lost"))
# Somebody in sales has the lead now, whatever its score: a model that chose who is handed over could not be compared.
HANDOVER: Final = (
    EventMatch("demo_requested"),
    EventMatch("meeting_booked"),
    EventMatch("stage_changed"),
    EventMatch("deal_updated"),
)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the past.

    With `every_us`, each open lead is observed at regular moments, otherwise once, at its first `handover` event.
    With `within_us` it is asked whether the lead wins in that time, otherwise whether it wins rather than loses.
    Moments lie in [`from_us`, `until_us`); `until_us` is also the end of what is known of outcomes. Events of the
    `imported` sources were known when they happened, all others when they were received.
    """

    until_us: int
    from_us: int | None = None
    won: tuple[EventMatch, ...] = WON
    lost: tuple[EventMatch, ...] = LOST
    handover: tuple[EventMatch, ...] = HANDOVER
    every_us: int | None = None
    within_us: int | None = None
    imported: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Open leads have no outcome to wait for, so a time must be set."""
        if self.every_us is not None and self.within_us is None:
            raise ValueError("leads observed at regular moments need a time to win in")

    def known_us(self, event: Event) -> int:
        """When `event` was known."""
        if event.received_at is None or event.source in self.imported:
            return event.at_us
        return max(event.at_us, microseconds(event.received_at))


class LeftOut(StrEnum):
    """Why a lead is not observed."""

    NEVER_HANDED_OVER = "never handed over"
    DECIDED_BEFORE = "won or lost before or with the handover"
    UNDECIDED = "neither won nor lost yet"
    TOO_RECENT = "too recent to know"
    OUTSIDE_PERIOD = "outside the period"
    NEVER_OPEN = "not open at any of the moments"


@dataclass(frozen=True, slots=True)
class Scorer:
    """One of the scores of a model."""

    model: Model
    score: str


@dataclass(slots=True)
class Observed:
    """Observations as they are collected, and what was left out; leads are numbered from 0."""

    scorers: int
    leads: list[int] = field(default_factory=list)
    at_us: list[int] = field(default_factory=list)
    won: list[bool] = field(default_factory=list)
    scores: list[list[float]] = field(default_factory=list)
    left_out: Counter[LeftOut] = field(default_factory=Counter)
    unknown_events: Counter[str] = field(default_factory=Counter)
    events: int = 0
    seen: int = 0

    def __post_init__(self) -> None:
        self.scores = [[] for _ in range(self.scorers)]

    def extend(self, other: "Observed") -> None:
        """Add what was collected of other leads."""
        self.leads += [lead + self.seen for lead in other.leads]
        self.at_us += other.at_us
        self.won += other.won
        for column, others in zip(self.scores, other.scores, strict=True):
            column.extend(others)
        self.left_out.update(other.left_out)
        self.unknown_events.update(other.unknown_events)
        self.events += other.events
        self.seen += other.seen

    def observations(self) -> Observations:
        """The columns, as the statistics take them."""
        return Observations(self.leads, self.at_us, self.won, tuple(self.scores))


def default_score(model: Model) -> str:
    """The score meant when none is named: the only one, or the only combined one. Raises InvalidInput."""
    combined = [score.name for score in model.scores.values() if isinstance(score, CombinedScore)]
    for names in (list(model.scores), combined):
        if len(names) == 1:
            return names[0]
    raise InvalidInput(f"{model.name} has several scores, say which: {', '.join(model.scores)}")


def observe(question: Question, scorers: Sequence[Scorer], histories: Iterable[Sequence[Event]]) -> Observed:
    """Observe leads, each given as all its events in any order."""
    observed = Observed(len(scorers))
    for events in histories:
        _observe(question, scorers, events, observed)
        observed.seen += 1
    return observed


def _observe(question: Question, scorers: Sequence[Scorer], events: Sequence[Event], observed: Observed) -> None:
    in_order = sorted(events, key=lambda event: (event.at_us, event.id, event.source))
    moments = _moments(question, in_order)
    if isinstance(moments, LeftOut):
        observed.left_out[moments] += 1
        _count_unknown(question, in_order, question.until_us, observed)
        return
    times = [at_us for at_us, _ in moments]
    for at_us, won in moments:
        observed.leads.append(observed.seen)
        observed.at_us.append(at_us)
        observed.won.append(won)
    for scorer, column in zip(scorers, observed.scores, strict=True):
        column.extend(_scores(question, scorer, in_order, times))
    _count_unknown(question, in_order, times[-1], observed)


def _count_unknown(question: Question, events: Iterable[Event], last_us: int, observed: Observed) -> None:
    """Note how many events had happened by the last moment and were not known then, by source."""
    for event in events:
        if event.at_us <= last_us:
            observed.events += 1
            if question.known_us(event) > last_us:
                observed.unknown_events[event.source] += 1


def _moments(question: Question, events: Sequence[Event]) -> list[tuple[int, bool]] | LeftOut:
    """(moment, whether it was won) for each observation of a lead."""
    outcome = _outcome(question, events)
    if question.every_us is not None:
        return _regular(question, events, outcome) or LeftOut.NEVER_OPEN
    return _once(question, events, outcome)


@dataclass(frozen=True, slots=True)
class _Outcome:
    at_us: int
    won: bool


def _outcome(question: Question, events: Iterable[Event]) -> _Outcome | None:
    """The first outcome. Where a moment has both, it is a win: the loss closed something else."""
    found = [_Outcome(event.at_us, won=won) for event in events if (won := _verdict(question, event)) is not None]
    known = [outcome for outcome in found if outcome.at_us < question.until_us]
    return min(known, key=lambda outcome: (outcome.at_us, not outcome.won), default=None)


def _verdict(question: Question, event: Event) -> bool | None:
    if any(match.matches(event) for match in question.won):
        return True
    return False if any(match.matches(event) for match in question.lost) else None


def _once(question: Question, events: Iterable[Event], outcome: _Outcome | None) -> list[tuple[int, bool]] | LeftOut:
    handed_over = (event.at_us for event in events if any(match.matches(event) for match in question.handover))
    at_us = next(handed_over, None)
    if at_us is None:
        return LeftOut.NEVER_HANDED_OVER
    if not (question.from_us is None or question.from_us <= at_us) or at_us >= question.until_us:
        return LeftOut.OUTSIDE_PERIOD
    if outcome is not None and outcome.at_us <= at_us:
        return LeftOut.DECIDED_BEFORE
    if question.within_us is not None:
        ends_us = at_us + question.within_us
        return [(at_us, _won_by(outcome, ends_us))] if ends_us < question.until_us else LeftOut.TOO_RECENT
    return LeftOut.UNDECIDED if outcome is None else [(at_us, outcome.won)]


def _won_by(outcome: _Outcome | None, ends_us: int) -> bool:
    return outcome is not None and outcome.won and outcome.at_us <= ends_us


def _regular(question: Question, events: Iterable[Event], outcome: _Outcome | None) -> list[tuple[int, bool]]:
    """Every moment at which the lead was known and open, up to the last of which the sequel is known."""
    assert question.every_us is not None
    assert question.within_us is not None
    known_us = min((question.known_us(event) for event in events), default=question.until_us)
    begin_us = max(known_us, question.from_us or known_us)
    end_us = question.until_us - question.within_us
    if outcome is not None:
        end_us = min(end_us, outcome.at_us)
    first = -((_MONDAY_US - begin_us) // question.every_us) * question.every_us + _MONDAY_US
    return [(at, _won_by(outcome, at + question.within_us)) for at in range(first, end_us, question.every_us)]


def _scores(question: Question, scorer: Scorer, events: Sequence[Event], moments: Sequence[int]) -> Iterator[float]:
    """The published score at each of `moments`, ascending, from what was known by then."""
    waiting = sorted(((question.known_us(event), event) for event in events), key=lambda pair: pair[0], reverse=True)
    state, curve = EMPTY, None
    for at_us in moments:
        news: list[LeadState] = []
        while waiting and waiting[-1][0] <= at_us:
            news.append(state_of(scorer.model, waiting.pop()[1]))
        at = moment(at_us)
        if news or curve is None:
            state = combine(state, combine_all(news))
            curve = curve_of(scorer.model, state, at)
        yield published(scores_at(curve, at)[scorer.score])
