"""A lead through time: what happens to it becomes a new state, and what is worth telling becomes messages."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from msgspec import structs

from services.scorer.domain.assessment import (
    Assessment,
    Told,
    assess,
    assess_tally,
    changes_by_itself,
    told_by,
)
from services.scorer.domain.counting.folding import compact
from services.scorer.domain.counting.matching import state_of
from services.scorer.domain.counting.tally import (
    HistoryNeeded,
    Tally,
    curve_from,
    retaken,
    settled_until,
    tally_of,
    values_from,
)
from services.scorer.domain.events.event import as_event
from services.scorer.domain.models.model import Model
from services.scorer.domain.scores.forecast import next_change
from services.scorer.domain.states.state import LeadState, combine, combine_all
from services.scorer.domain.steps import Steps, at_once
from services.scorer.domain.telling import Parting, Teller
from shared.events.accepting import AcceptedEvent
from shared.events.curve import microseconds, moment, published
from shared.events.envelope import LeadReference, Message
from shared.events.scores import Cause


@dataclass(frozen=True, slots=True)
class ActiveModel:
    """The version that counts in a workspace, compiled."""

    version: int
    model: Model


# The model of a workspace that has published none: events and attributes are kept, nothing is scored.
NO_MODEL = ActiveModel(
    version=0,
    model=Model(
        name="",
        description="",
        scores={},
        bands={},
        grade=None,
        thresholds={},
        levels={},
        rules_by_type={},
        matchers={},
    ),
)


class Reading(NamedTuple):
    """What a model makes of a state. Whoever has the very same two at hand need not read the state again."""

    model: Model
    state: LeadState
    tally: Tally


@dataclass(frozen=True, slots=True)
class Lead:
    """A lead as the scorer knows it.

    `version` is the model version of `state`, None before there is any; `due_at` is when its standing next
    changes if it stays silent, None for never. `reading` is no part of the lead: it saves work where the lead is
    kept in memory, and None is always right.
    """

    reference: LeadReference
    workspace: str
    version: int | None
    state: LeadState
    told: Told | None
    sequence: int
    due_at: datetime | None
    reading: Reading | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Happening:
    """What happened to a lead since it was last looked at.

    `events` count for it from now on; `retractions` are events, of any lead, that void some of its own.
    """

    events: tuple[AcceptedEvent, ...] = ()
    retractions: tuple[AcceptedEvent, ...] = ()
    absorbed: tuple[Lead, ...] = ()

    def with_retraction(self, retraction: AcceptedEvent) -> "Happening":
        """The same, and `retraction` besides."""
        return replace(self, retractions=(*self.retractions, retraction))

    def cause(self) -> Cause:
        """What a change is put down to: events before a merge before the model."""
        if self.events or self.retractions:
            return "events"
        return "merge" if self.absorbed else "model"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The lead afterwards, and what is to be told."""

    lead: Lead
    messages: tuple[Message, ...]


def is_outdated(active: ActiveModel, lead: Lead) -> bool:
    """Whether the state is of another model version, which only the stored events can translate."""
    return lead.version is not None and lead.version != active.version


def rebuilt(active: ActiveModel, lead: Lead, history: Sequence[AcceptedEvent]) -> Lead:
    """`lead` with the state that all the events that count for it amount to."""
    state = combine_all(state_of(active.model, as_event(event)) for event in history)
    return replace(lead, version=active.version, state=state)


def added_by(model: Model, happening: Happening) -> LeadState:
    """What `happening` adds to the states that were: of a retraction, which may be another lead's, that alone."""
    events = combine_all(state_of(model, as_event(event)) for event in happening.events)
    if not happening.retractions:
        return events
    retractions = combine_all(state_of(model, as_event(event)) for event in happening.retractions)
    return structs.replace(events, voided=events.voided | retractions.voided)


def happen(
    active: ActiveModel, lead: Lead, happening: Happening, now: datetime, *, is_rebuilt: bool = False
) -> Outcome:
    """What becomes of `lead`. Raises HistoryNeeded when its folded state, or that of one it absorbs, cannot answer.

    Then, or if it is outdated, call again with the `rebuilt` lead, whose state holds all that happened already.
    """
    return at_once(happen_stepwise(active, lead, happening, now, is_rebuilt=is_rebuilt))


def happen_stepwise(
    active: ActiveModel, lead: Lead, happening: Happening, now: datetime, *, is_rebuilt: bool = False
) -> Steps[Outcome]:
    """The same, to be done side by side with other leads."""
    if not is_rebuilt and any(is_outdated(active, absorbed) for absorbed in happening.absorbed):
        raise HistoryNeeded("an absorbed lead is of another model version")
    teller = Teller(lead.reference, lead.workspace, lead.sequence)
    before = {} if is_rebuilt else _tally_of(active.model, lead)
    told = lead.told
    if told is not None and _is_due(lead, now) and not is_rebuilt and not happening.absorbed:
        last = _tell_what_time_did(active, lead.state, before, teller, told=told, until=now)
        told = told_by(last) if last else told
    added = added_by(active.model, happening)
    state = _state_after(lead, happening, added, is_rebuilt=is_rebuilt)
    yield
    if is_rebuilt or happening.absorbed:
        tally = tally_of(active.model, state)
    else:
        tally = retaken(active.model, state, before, changed_by=added)
    yield
    assessment = assess_tally(active.model, state, tally, _moment(now, told, happening.events))
    yield
    for absorbed in happening.absorbed:
        teller.merged(absorbed.reference.id, assessment.at)
    if happening.events:
        teller.events_recorded(happening.events, dict(assessment.attributes), assessment.at)
    news = told_by(assessment)
    if _is_worth_telling(told, news, assessment, lead.state, before, is_rebuilt=is_rebuilt):
        _tell(
            active,
            teller,
            assessment,
            told=told,
            cause=happening.cause(),
            events=(*happening.events, *happening.retractions),
        )
        told = news
    kept = compact(active.model, state)
    after = Lead(
        reference=lead.reference,
        workspace=lead.workspace,
        version=active.version,
        state=kept,
        told=told,
        sequence=teller.sequence,
        due_at=assessment.changes_at,
        reading=Reading(active.model, state, tally) if kept is state else None,
    )
    return Outcome(after, tuple(teller.messages))


def part(active: ActiveModel, lead: Lead, parting: Parting, now: datetime) -> Outcome:
    """What is told of a `rebuilt` lead that is another one's no more: always, because its names are others too."""
    teller = Teller(lead.reference, lead.workspace, lead.sequence)
    assessment = assess(active.model, lead.state, _moment(now, lead.told, ()))
    teller.unmerged(parting, assessment.at)
    if active.model.scores:
        _tell(active, teller, assessment, told=lead.told, cause="unmerge")
    after = replace(
        lead,
        version=active.version,
        state=compact(active.model, lead.state),
        told=told_by(assessment) if active.model.scores else lead.told,
        sequence=teller.sequence,
        due_at=assessment.changes_at,
    )
    return Outcome(after, tuple(teller.messages))


def pass_time(active: ActiveModel, lead: Lead, now: datetime) -> Outcome:
    """What time alone did to `lead` up to `now`. Raises HistoryNeeded as `happen` does."""
    if lead.told is None or is_outdated(active, lead):
        return Outcome(replace(lead, due_at=None), ())
    teller = Teller(lead.reference, lead.workspace, lead.sequence)
    tally = _tally_of(active.model, lead)
    last = _tell_what_time_did(active, lead.state, tally, teller, told=lead.told, until=now)
    after = replace(
        lead,
        told=told_by(last) if last else lead.told,
        sequence=teller.sequence,
        due_at=last.changes_at if last else _due_from(active.model, tally, lead.told.at),
        reading=Reading(active.model, lead.state, tally),
    )
    return Outcome(after, tuple(teller.messages))


def _due_from(model: Model, tally: Tally, at: datetime) -> datetime | None:
    due_us = next_change(model, curve_from(model, tally, microseconds(at)))
    return None if due_us is None else moment(due_us)


def _tally_of(model: Model, lead: Lead) -> Tally:
    """The tally of the lead's state, as it was read before or read now. Raises HistoryNeeded as `tally_of` does."""
    read = lead.reading
    if read is not None and read.model is model and read.state is lead.state:
        return read.tally
    return tally_of(model, lead.state)


def _is_due(lead: Lead, now: datetime) -> bool:
    return lead.due_at is not None and lead.due_at <= now


def _tell_what_time_did(
    active: ActiveModel, state: LeadState, tally: Tally, teller: Teller, *, told: Told, until: datetime
) -> Assessment | None:
    """Tell what changed by itself up to `until`; returns the last of it."""
    last: Assessment | None = None
    for assessment in changes_by_itself(active.model, state, tally, told=told, until=until):
        _tell(active, teller, assessment, told=told, cause="time")
        told, last = told_by(assessment), assessment
    return last


def _tell(
    active: ActiveModel,
    teller: Teller,
    assessment: Assessment,
    *,
    told: Told | None,
    cause: Cause,
    events: Sequence[AcceptedEvent] = (),
) -> None:
    teller.score_changed(
        assessment,
        told.standing if told else None,
        cause=cause,
        events=events,
        model=active.model.name,
        model_version=active.version,
    )


def _state_after(lead: Lead, happening: Happening, added: LeadState, *, is_rebuilt: bool) -> LeadState:
    # A history holds that of the absorbed leads; their folded states would count it a second time.
    absorbed = () if is_rebuilt else happening.absorbed
    return combine(combine_all([lead.state, *[each.state for each in absorbed]]), added)


def _moment(now: datetime, told: Told | None, events: Sequence[AcceptedEvent]) -> datetime:
    """`now`, unless clocks disagree: never before what was told, nor before an event that counts."""
    newest = max([event.occurred_at for event in events], default=now)
    return max(now, newest, told.at if told else now)


def _is_worth_telling(
    told: Told | None, news: Told, assessment: Assessment, before: LeadState, tally_before: Tally, *, is_rebuilt: bool
) -> bool:
    """Points that merely decayed since the last message are no news; a band that changed always is."""
    if not assessment.model.scores:
        return False
    if told is None or told.positions != news.positions:
        return True
    if told.standing == news.standing:
        return False
    if is_rebuilt or (told.standing.bands, told.standing.grade) != (news.standing.bands, news.standing.grade):
        return True
    return _is_better_or_worse(assessment, before, tally_before)


def _is_better_or_worse(assessment: Assessment, before: LeadState, tally_before: Tally) -> bool:
    """Whether a score is another one than it would be at that moment if nothing had happened."""
    at_us = assessment.curve.from_us
    if at_us < settled_until(before):
        raise HistoryNeeded("the moment lies in folded history")
    known = {name: assessment.values[name] for name, lines in assessment.tally.items() if tally_before[name] is lines}
    if len(known) == len(assessment.tally):
        return False
    values = values_from(assessment.model, tally_before, at_us, known=known)
    return {name: published(value) for name, value in values.items()} != assessment.standing.scores
