"""One lead in the pipeline: its state as a value, and what each message makes of it.

Every function takes a lead and returns the lead after it with the facts that came to pass, in order.
Nothing here knows of rows, clocks or logs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from services.pipeline.domain import qualification
from services.pipeline.domain.criteria import fields_of
from services.pipeline.domain.document import Pipeline
from services.pipeline.domain.due import due_at
from services.pipeline.domain.facts import (
    Absorbed,
    Crossed,
    Fact,
    Happened,
    Judged,
    Moved,
    MoveRefused,
    Scored,
    Separated,
    Stalled,
)
from services.pipeline.domain.qualification import OPEN, Basis, Verdict, Word
from services.pipeline.domain.stages import (
    Candidate,
    Move,
    Refusal,
    after_move,
    candidates,
    further,
    refusal,
)
from services.pipeline.domain.thresholds import OUTSIDE, ThresholdState, combined, cross
from services.pipeline.domain.triggers import Fresh, Situation
from shared.events.envelope import LeadReference
from shared.events.json import Json
from shared.events.scores import EventsRecorded, Merge, RecordedEvent, ScoreChange, ThresholdPosition, Unmerge

STAGE_CHANGED = "stage_changed"
DEAL_UPDATED = "deal_updated"
CRITERION_CONFIRMED = "criterion_confirmed"
CRITERION_REFUTED = "criterion_refuted"
DEAL_FIELDS = ("owner", "amount", "currency", "close_date", "probability", "name")


@dataclass(frozen=True, slots=True)
class DealFact:
    """One field of the deal; the latest word stands."""

    value: Json
    at: datetime


@dataclass(frozen=True, slots=True)
class Touch:
    """The first event heard of: where the lead came from."""

    source: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Stay:
    """A lead stands in a stage. `stalled_at` is set once it has been told that it is overdue."""

    stage: str
    since: datetime
    due_at: datetime | None
    stalled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Lead:
    """What the pipeline knows of a lead. `recent_events` are the types of its newest events, robots' aside.

    `restored_at` is when it came back from being another one's part: no merge before that is true of it any more.
    """

    workspace: str
    id: str
    emails: tuple[str, ...] = ()
    external_ids: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    attributes: Mapping[str, Json] = field(default_factory=dict)
    deal: Mapping[str, DealFact] = field(default_factory=dict)
    words: Mapping[str, Word] = field(default_factory=dict)
    basis: Mapping[str, Basis] = field(default_factory=dict)
    verdict: Verdict = OPEN
    thresholds: Mapping[str, ThresholdState] = field(default_factory=dict)
    stay: Stay | None = None
    first_touch: Touch | None = None
    recent_events: frozenset[str] = frozenset()
    absorbed_by: str | None = None
    restored_at: datetime | None = None

    @property
    def reference(self) -> LeadReference:
        """The lead by every name it is known by."""
        return LeadReference(id=self.id, emails=self.emails, external_ids=dict(self.external_ids))

    def fields(self) -> Mapping[str, Json]:
        """What conditions see: the attributes, and over them what the deal says."""
        deal = {name: fact.value for name, fact in self.deal.items()}
        return fields_of({**self.attributes, **deal})


Outcome = tuple[Lead, tuple[Fact, ...]]


def after_events(lead: Lead, recorded: EventsRecorded, pipeline: Pipeline | None) -> Outcome:
    """Events now count for the lead: they may move it, judge it, change its deal."""
    lead = _known_as(lead, recorded.lead, recorded.attributes)
    return _with_events(lead, recorded.events, pipeline)


def after_absorbed_events(lead: Lead, recorded: EventsRecorded, pipeline: Pipeline | None) -> Outcome:
    """The same for events of a lead that `lead` has absorbed: its attributes are out of date by now."""
    return _with_events(lead, recorded.events, pipeline)


def after_score(lead: Lead, change: ScoreChange, pipeline: Pipeline | None) -> Outcome:
    """The scores are others: thresholds are crossed, in the order of their names, and rules follow."""
    lead = _known_as(lead, change.lead, change.attributes)
    told: list[Fact] = [Scored(change.at, change)]
    lead, facts = _entered_pipeline(lead, pipeline, change.at)
    told += facts
    lead, crossed = _crossings(lead, change)
    events = lead.recent_events & {event.type for event in change.events}
    fresh = Fresh(
        entered=frozenset(fact.threshold for fact in crossed if fact.crossing.direction == "entered"),
        left=frozenset(fact.threshold for fact in crossed if fact.crossing.direction == "left"),
        events=events,
    )
    lead, followed = _judged_and_settled(lead, pipeline, fresh, change.at)
    return lead, (*told, *crossed, *followed)


def after_absorbed_score(lead: Lead, change: ScoreChange) -> Outcome:
    """Scores of a lead that `lead` has absorbed are history: told, and nothing else."""
    return lead, (Scored(change.at, change, absorbed=change.lead.id),)


def after_merge(lead: Lead, absorbed: Lead, merge: Merge, pipeline: Pipeline | None, at: datetime) -> Outcome:
    """Two leads are one. The survivor keeps the further stage, the latest words and the latest deal.

    The thresholds' new positions come with the score that follows; until then inside is whoever was.
    """
    lead = replace(
        _known_as(lead, merge.lead, {**absorbed.attributes, **lead.attributes}),
        deal=_later_facts(lead.deal, absorbed.deal),
        words=qualification.with_words(lead.words, absorbed.words.values()),
        thresholds=combined(lead.thresholds, absorbed.thresholds),
        first_touch=_first(lead.first_touch, absorbed.first_touch),
    )
    told: list[Fact] = [Absorbed(at, absorbed.id)]
    lead, facts = _united_stay(lead, absorbed, pipeline, at)
    lead, followed = _judged_and_settled(lead, pipeline, Fresh(), at)
    return lead, (*told, *facts, *followed)


def gone(absorbed: Lead, survivor: str) -> Lead:
    """The lead that is no more: where it stood is kept, in case that it comes back."""
    return replace(absorbed, absorbed_by=survivor)


def after_unmerge(lead: Lead, unmerge: Unmerge, at: datetime) -> Outcome:
    """The lead and another one are two again. A restored one stands where it stood when it was absorbed.

    What the survivor came to while both were one stays its own; its attributes come with the score that follows.
    """
    restored = unmerge.role == "restored"
    lead = _known_as(lead, unmerge.lead, lead.attributes)
    told = Separated(at, unmerge.other, restored, unmerge.actor, unmerge.reason)
    return replace(lead, absorbed_by=None, restored_at=at) if restored else lead, (told,)


def after_request(lead: Lead, move: Move, pipeline: Pipeline, at: datetime) -> tuple[Lead, Fact]:
    """A person or a CRM asks for a move: the lead after it with Moved, or the same lead with MoveRefused.

    What people decide does not set off rules: who moves a lead back is not overruled at once.
    """
    current = lead.stay.stage if lead.stay else None
    refused = refusal(pipeline.stages, move, current=current, fields=lead.fields())
    if refused is not None:
        return lead, _refused(lead, move, refused, at)
    return _moved(lead, move, pipeline, at)


def after_due(lead: Lead, now: datetime) -> Outcome:
    """The lead stalls if it stands past its due time and nobody has been told yet."""
    stay = None if lead.absorbed_by else lead.stay
    if stay is None or stay.due_at is None or stay.stalled_at is not None or now < stay.due_at:
        return lead, ()
    told = Stalled(stay.due_at, stay.stage, stay.since)
    return replace(lead, stay=replace(stay, stalled_at=stay.due_at)), (told,)


def _with_events(lead: Lead, events: tuple[RecordedEvent, ...], pipeline: Pipeline | None) -> Outcome:
    told: list[Fact] = []
    lead = replace(lead, recent_events=frozenset(event.type for event in events if not _by_robot(event)))
    for event in events:
        told.append(Happened(event.occurred_at, event))
        lead = replace(lead, first_touch=_first(lead.first_touch, Touch(event.source, event.occurred_at)))
        lead, facts = _with_event(lead, event, pipeline)
        told += facts
    return lead, tuple(told)


def _with_event(lead: Lead, event: RecordedEvent, pipeline: Pipeline | None) -> Outcome:
    lead, facts = _entered_pipeline(lead, pipeline, event.occurred_at)
    lead, acted = _acted(lead, event, pipeline)
    fresh = Fresh() if _by_robot(event) else Fresh(events=frozenset({event.type}))
    lead, followed = _judged_and_settled(lead, pipeline, fresh, event.occurred_at)
    return lead, (*facts, *acted, *followed)


def _acted(lead: Lead, event: RecordedEvent, pipeline: Pipeline | None) -> Outcome:
    """What people and CRMs say by events."""
    if event.type == DEAL_UPDATED:
        return _with_deal(lead, event), ()
    if event.type in {CRITERION_CONFIRMED, CRITERION_REFUTED}:
        word = _word(event)
        return (replace(lead, words=qualification.with_word(lead.words, word)) if word else lead), ()
    if event.type == STAGE_CHANGED and pipeline is not None:
        lead = _with_deal(lead, event)
        lead, fact = after_request(lead, _move(event), pipeline, _not_before(lead, event.occurred_at))
        return lead, () if _is_echo(fact) else (fact,)
    return lead, ()


def _with_deal(lead: Lead, event: RecordedEvent) -> Lead:
    stated = {name: event.properties[name] for name in DEAL_FIELDS if name in event.properties}
    facts = {name: DealFact(value, event.occurred_at) for name, value in stated.items()}
    return replace(lead, deal=_later_facts(lead.deal, facts))


def _word(event: RecordedEvent) -> Word | None:
    criterion = _text(event, "criterion")
    if criterion is None:
        return None
    return Word(
        criterion=criterion,
        confirmed=event.type == CRITERION_CONFIRMED,
        source=_speaker(event),
        actor=_text(event, "actor"),
        note=_text(event, "note"),
        at=event.occurred_at,
    )


def _move(event: RecordedEvent) -> Move:
    return Move(
        to=_text(event, "stage") or "",
        by="crm",
        actor=_text(event, "actor") or event.source,
        reason=_text(event, "reason"),
        override=event.properties.get("override") is True,
    )


def _speaker(event: RecordedEvent) -> Literal["person", "crm"]:
    """Events of leadflow's own API are people's unless they say otherwise; those of a source are a CRM's."""
    stated = event.properties.get("by", "person" if event.source == "api" else "crm")
    return "person" if stated == "person" else "crm"


def _text(event: RecordedEvent, name: str) -> str | None:
    value = event.properties.get(name)
    return value if isinstance(value, str) and value.strip() else None


def _is_echo(fact: Fact) -> bool:
    """A CRM that reports the stage a lead stands in has only heard it from us."""
    return isinstance(fact, MoveRefused) and fact.code == "same_stage"


def _by_robot(event: RecordedEvent) -> bool:
    return event.properties.get("machine") is True


def _entered_pipeline(lead: Lead, pipeline: Pipeline | None, at: datetime) -> Outcome:
    """A lead heard of for the first time begins in the initial stage; without a pipeline it waits."""
    if pipeline is None or lead.stay is not None:
        return lead, ()
    move = Move(pipeline.stages.initial.id, "rule", reason="first heard of")
    lead, fact = _moved(lead, move, pipeline, at)
    return lead, (fact,)


def _crossings(lead: Lead, change: ScoreChange) -> tuple[Lead, list[Crossed]]:
    states: dict[str, ThresholdState] = {}
    told: list[Crossed] = []
    for name in sorted({*lead.thresholds, *change.thresholds}):
        position = change.thresholds.get(name)
        state, crossing = cross(
            lead.thresholds.get(name, OUTSIDE),
            position.position if position else "below",
            at=change.at,
            cooldown=_cooldown(position),
        )
        if crossing is not None:
            told.append(Crossed(change.at, name, crossing, position, change))
        if position is not None:
            states[name] = state
    return replace(lead, thresholds=states), told


def _cooldown(position: ThresholdPosition | None) -> timedelta | None:
    if position is None or position.cooldown_seconds is None:
        return None
    return timedelta(seconds=position.cooldown_seconds)


def _judged_and_settled(lead: Lead, pipeline: Pipeline | None, fresh: Fresh, at: datetime) -> Outcome:
    if pipeline is None:
        return lead, ()
    lead, judged = _judged(lead, pipeline, at)
    fresh = replace(fresh, judged=bool(judged))
    lead, moved = _settled(lead, pipeline, fresh, _not_before(lead, at))
    return lead, (*judged, *moved)


def _judged(lead: Lead, pipeline: Pipeline, at: datetime) -> Outcome:
    fields = lead.fields()
    basis = qualification.rebased(pipeline.policy, fields, lead.basis, at)
    found = qualification.evidence(pipeline.policy, basis, lead.words, at)
    verdict = qualification.verdict(pipeline.policy, fields, found)
    told = () if verdict == lead.verdict else (Judged(at, verdict, found),)
    return replace(lead, basis=basis, verdict=verdict), told


def _settled(lead: Lead, pipeline: Pipeline, fresh: Fresh, at: datetime) -> Outcome:
    """Rules move the lead until none asks any more; no stage is entered twice, so it ends.

    In each round the first stage that asks and is not refused takes the lead; refusals are told once.
    """
    told: list[Fact] = []
    refused: set[str] = set()
    seen = frozenset({lead.stay.stage}) if lead.stay else frozenset[str]()
    while lead.stay is not None:
        situation = _situation(lead, lead.stay, fresh)
        for candidate in candidates(pipeline.stages, situation, seen | refused):
            lead, fact = after_request(lead, _rule_move(candidate), pipeline, at)
            told.append(fact)
            if isinstance(fact, Moved):
                seen |= {candidate.stage.id}
                break
            refused.add(candidate.stage.id)
        else:
            break
        fresh = after_move(fresh)
    return lead, tuple(told)


def _situation(lead: Lead, stay: Stay, fresh: Fresh) -> Situation:
    inside = frozenset(name for name, state in lead.thresholds.items() if state.inside)
    return Situation(stay.stage, inside, lead.verdict.state, fresh)


def _rule_move(candidate: Candidate) -> Move:
    return Move(candidate.stage.id, "rule", reason=candidate.match.words, named=candidate.match.named)


def _moved(lead: Lead, move: Move, pipeline: Pipeline, at: datetime) -> tuple[Lead, Moved]:
    stage = pipeline.stages.find(move.to)
    assert stage is not None
    due = due_at(at, stage.due, pipeline.hours) if stage.due else None
    told = Moved(
        at=at,
        from_stage=lead.stay.stage if lead.stay else None,
        to=stage,
        by=move.by,
        actor=move.actor,
        why=move.reason or f"asked for by {move.actor or move.by}",
        override=move.override,
        entered_at=lead.stay.since if lead.stay else None,
        due_at=due,
    )
    return replace(lead, stay=Stay(stage.id, at, due)), told


def _refused(lead: Lead, move: Move, refused: Refusal, at: datetime) -> MoveRefused:
    return MoveRefused(
        at=at,
        from_stage=lead.stay.stage if lead.stay else None,
        to=move.to,
        by=move.by,
        actor=move.actor,
        code=refused.code,
        message=refused.message,
    )


def _united_stay(lead: Lead, absorbed: Lead, pipeline: Pipeline | None, at: datetime) -> Outcome:
    if pipeline is None or absorbed.stay is None:
        return lead, ()
    standing = lead.stay.stage if lead.stay else absorbed.stay.stage
    target = further(pipeline.stages, standing, absorbed.stay.stage)
    if lead.stay is not None and target == lead.stay.stage:
        return lead, ()
    if pipeline.stages.find(target) is None:
        return lead, ()
    move = Move(target, "rule", reason=f"merged with {absorbed.id}, which had come further")
    lead, fact = _moved(lead, move, pipeline, _not_before(lead, at))
    return replace(lead, stay=absorbed.stay), (replace(fact, due_at=absorbed.stay.due_at),)


def _known_as(lead: Lead, reference: LeadReference, attributes: Mapping[str, Json]) -> Lead:
    return replace(
        lead,
        emails=reference.emails,
        external_ids=dict(reference.external_ids),
        attributes=dict(attributes),
    )


def _not_before(lead: Lead, at: datetime) -> datetime:
    """A late event moves the lead when it is heard of: no stay ends before it began."""
    return at if lead.stay is None else max(at, lead.stay.since)


def _later_facts(one: Mapping[str, DealFact], other: Mapping[str, DealFact]) -> dict[str, DealFact]:
    found = dict(one)
    for name, fact in other.items():
        if name not in found or found[name].at <= fact.at:
            found[name] = fact
    return found


def _first(one: Touch | None, other: Touch | None) -> Touch | None:
    return min((touch for touch in (one, other) if touch), key=lambda touch: touch.at, default=None)
