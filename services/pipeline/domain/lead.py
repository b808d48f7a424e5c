"""One lead in the pipeline: its state as a value, and what each message makes of it.

Every function takes a lead and returns the lead after it with the facts that came to pass, in order.
Nothing here knows of rows, clocks or logs.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec import Struct, field
from msgspec.structs import replace

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
from services.pipeline.domain.past import NO_PAST, Past, united
from services.pipeline.domain.qualification import OPEN, Basis, Verdict, Word
from services.pipeline.domain.said import (
    OWN_SOURCE,
    DealFact,
    asked_move,
    deal_facts,
    later_facts,
    sets_off_rules,
    word_on,
)
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
from services.pipeline.domain.touches import Touch, first_of, first_touch
from services.pipeline.domain.triggers import Fresh, Situation
from shared.events.envelope import LeadReference
from shared.events.json import Json
from shared.events.legible import AnyJson
from shared.events.scores import EventsRecorded, Merge, RecordedEvent, ScoreChange, ThresholdPosition, Unmerge


class Stay(Struct, frozen=True, gc=False):
    """A lead stands in a stage. `stalled_at` is set once it has been told that it is overdue."""

    stage: str
    since: datetime
    due_at: datetime | None
    stalled_at: datetime | None = None


class Lead(Struct, frozen=True, gc=False):
    """What the pipeline knows of a lead.

    `recent_events` are the types of its newest events, robots' aside. `judged_at` is the moment that `verdict`
    is of, `lapses_at` the next at which evidence for it expires. `moved_at` is when it last came to its stage as
    far as anybody was told, `word_at` when a person or a CRM last said where it stands.
    `restored_at` is when it came back from being another one's part: no merge before that is true of it any more.
    """

    workspace: str
    id: str
    emails: tuple[str, ...] = ()
    external_ids: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    attributes: Mapping[str, AnyJson] = field(default_factory=dict)
    deal: Mapping[str, DealFact] = field(default_factory=dict)
    words: Mapping[str, Word] = field(default_factory=dict)
    basis: Mapping[str, Basis] = field(default_factory=dict)
    verdict: Verdict = OPEN
    judged_at: datetime | None = None
    lapses_at: datetime | None = None
    thresholds: Mapping[str, ThresholdState] = field(default_factory=dict)
    stay: Stay | None = None
    moved_at: datetime | None = None
    word_at: datetime | None = None
    first_touch: Touch | None = None
    past: Past = NO_PAST
    recent_events: frozenset[str] = frozenset()
    absorbed_by: str | None = None
    restored_at: datetime | None = None

    @property
    def reference(self) -> LeadReference:
        """The lead by every name it is known by."""
        return LeadReference(id=self.id, emails=self.emails, external_ids=dict(self.external_ids))

    @property
    def next_moment(self) -> datetime | None:
        """When something next comes to pass with the lead by itself: it stalls, or evidence expires."""
        if self.absorbed_by is not None:
            return None
        return min((moment for moment in (self._stalls_at, self.lapses_at) if moment is not None), default=None)

    @property
    def _stalls_at(self) -> datetime | None:
        return self.stay.due_at if self.stay is not None and self.stay.stalled_at is None else None

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
    lead, facts = begun(lead, pipeline, change.at)
    told += facts
    lead, crossed = _crossings(lead, change)
    events = lead.recent_events & {event.type for event in change.events}
    fresh = Fresh(
        entered=frozenset(fact.threshold for fact in crossed if fact.crossing.direction == "entered"),
        left=frozenset(fact.threshold for fact in crossed if fact.crossing.direction == "left"),
        events=events,
    )
    lead, followed = judged_and_settled(lead, pipeline, fresh, change.at)
    return lead, (*told, *crossed, *followed)


def after_absorbed_score(lead: Lead, change: ScoreChange) -> Outcome:
    """Scores of a lead that `lead` has absorbed are history: told, and nothing else."""
    return lead, (Scored(change.at, change, absorbed=change.lead.id),)


def after_merge(lead: Lead, absorbed: Lead, merge: Merge, pipeline: Pipeline | None, at: datetime) -> Outcome:
    """Two leads are one. The survivor keeps the further stage, the latest words and the latest deal.

    That is no move but a choice between two stages, each of which was come to by moves; whatever `moves` says,
    nobody who was won is lost by it. The thresholds' new positions come with the score that follows; until then
    inside is whoever was.
    """
    lead = replace(
        _known_as(lead, merge.lead, {**absorbed.attributes, **lead.attributes}),
        deal=later_facts(lead.deal, absorbed.deal),
        words=qualification.with_words(lead.words, absorbed.words.values()),
        thresholds=combined(lead.thresholds, absorbed.thresholds),
        word_at=max((at for at in (lead.word_at, absorbed.word_at) if at), default=None),
        first_touch=first_of(lead.first_touch, absorbed.first_touch),
        past=united(lead.past, absorbed.past),
    )
    told: list[Fact] = [Absorbed(at, absorbed.id)]
    lead, facts = _united_stay(lead, absorbed, pipeline, at)
    lead, followed = judged_and_settled(lead, pipeline, Fresh(), at)
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


def after_moments(lead: Lead, pipeline: Pipeline | None, now: datetime) -> Outcome:
    """Whatever has come to pass by itself up to `now`, each at its own moment: evidence expired, a stay is overdue.

    A verdict that changes may set off rules, as always.
    """
    told: list[Fact] = []
    while (moment := lead.next_moment) is not None and moment <= now:
        lead, facts = _at_moment(lead, pipeline, moment)
        told += facts
    return lead, tuple(told)


def _at_moment(lead: Lead, pipeline: Pipeline | None, moment: datetime) -> Outcome:
    if lead.lapses_at == moment:
        return judged_and_settled(replace(lead, lapses_at=None), pipeline, Fresh(), moment)
    stay = lead.stay
    assert stay is not None
    return replace(lead, stay=replace(stay, stalled_at=moment)), (Stalled(moment, stay.stage, stay.since),)


def _with_events(lead: Lead, events: tuple[RecordedEvent, ...], pipeline: Pipeline | None) -> Outcome:
    told: list[Fact] = []
    lead = replace(
        lead,
        recent_events=frozenset(event.type for event in events if sets_off_rules(event)),
        first_touch=first_touch(lead.first_touch, [event for event in events if event.source != OWN_SOURCE]),
    )
    for event in events:
        told.append(Happened(event.occurred_at, event))
        lead, facts = _with_event(lead, event, pipeline)
        told += facts
    return lead, tuple(told)


def _with_event(lead: Lead, event: RecordedEvent, pipeline: Pipeline | None) -> Outcome:
    lead, facts = begun(lead, pipeline, event.occurred_at)
    lead, acted = _acted(lead, event, pipeline)
    fresh = Fresh(events=frozenset({event.type})) if sets_off_rules(event) else Fresh()
    lead, followed = judged_and_settled(lead, pipeline, fresh, event.occurred_at)
    return lead, (*facts, *acted, *followed)


def _acted(lead: Lead, event: RecordedEvent, pipeline: Pipeline | None) -> Outcome:
    """What people and CRMs say by events."""
    if said := deal_facts(event):
        lead = replace(lead, deal=later_facts(lead.deal, said))
    word = word_on(event)
    if word is not None:
        lead = replace(lead, words=qualification.with_word(lead.words, word))
    move = asked_move(event, pipeline.stages) if pipeline is not None else None
    if move is None or pipeline is None:
        return lead, ()
    if lead.word_at is not None and event.occurred_at < lead.word_at:
        later = Refusal("outdated", "a later word has moved the lead since")
        return lead, (_refused(lead, move, later, _not_before(lead, event.occurred_at)),)
    lead, fact = after_request(lead, move, pipeline, _not_before(lead, event.occurred_at))
    if isinstance(fact, Moved):
        lead = replace(lead, word_at=event.occurred_at)
    return lead, () if _is_echo(fact) else (fact,)


def _is_echo(fact: Fact) -> bool:
    """A CRM that reports the stage a lead stands in has only heard it from us."""
    return isinstance(fact, MoveRefused) and fact.code == "same_stage"


def begun(lead: Lead, pipeline: Pipeline | None, at: datetime) -> Outcome:
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


def judged_and_settled(lead: Lead, pipeline: Pipeline | None, fresh: Fresh, at: datetime) -> Outcome:
    """The lead with the verdict of `at`, and moved by whatever rules follow from what is `fresh`."""
    if pipeline is None:
        return lead, ()
    lead, judged = _judged(lead, pipeline, at)
    fresh = replace(fresh, judged=fresh.judged or bool(judged))
    lead, moved = _settled(lead, pipeline, fresh, _not_before(lead, at))
    return lead, (*judged, *moved)


def _judged(lead: Lead, pipeline: Pipeline, at: datetime) -> Outcome:
    """No verdict is older than the one before it: what is heard of late is judged as of then."""
    at = max(at, lead.judged_at or at)
    fields, policy = lead.fields(), pipeline.policy
    basis = qualification.rebased(policy, fields, lead.basis, at)
    found = qualification.evidence(policy, basis, lead.words, at)
    verdict = qualification.verdict(policy, fields, found)
    lapses_at = min((item.expires_at for item in found if item.expires_at is not None), default=None)
    judged = replace(lead, basis=basis, verdict=verdict, judged_at=at, lapses_at=lapses_at)
    if verdict == lead.verdict:
        return judged, ()
    lapsed = qualification.lapsed(policy, lead.basis, lead.words, since=lead.judged_at, until=at)
    return judged, (Judged(at, verdict, found, previous=lead.verdict, lapsed=lapsed),)


def _settled(lead: Lead, pipeline: Pipeline, fresh: Fresh, at: datetime) -> Outcome:
    """Rules move the lead until none asks any more; no stage is entered twice, so it ends.

    In each round the first stage that asks and is not refused takes the lead; refusals are told once.
    """
    if not pipeline.stages.heed(fresh):
        return lead, ()
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
        resets=stage.resets,
    )
    return replace(lead, stay=Stay(stage.id, at, due), moved_at=at), told


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
    told = replace(fact, due_at=absorbed.stay.due_at, resets=(), merged=absorbed.id)
    return replace(lead, stay=absorbed.stay), (told,)


def _known_as(lead: Lead, reference: LeadReference, attributes: Mapping[str, Json]) -> Lead:
    return replace(
        lead,
        emails=reference.emails,
        external_ids=dict(reference.external_ids),
        attributes=dict(attributes),
    )


def _not_before(lead: Lead, at: datetime) -> datetime:
    """A late event moves the lead when it is heard of: no stay ends before it began, nor before that was told.

    A stay that came with a merge began before the lead was told to be there.
    """
    return max(at, lead.stay.since if lead.stay else at, lead.moved_at or at)
