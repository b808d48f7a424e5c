"""What came to pass, told: facts become messages with their sequence, lines of the timeline, and stays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import assert_never

from msgspec import to_builtins

from services.pipeline.documents.versions import ActivePipeline
from services.pipeline.domain.facts import (
    Absorbed,
    Crossed,
    Fact,
    Happened,
    Judged,
    Kind,
    Moved,
    MoveRefused,
    Scored,
    Separated,
    Stalled,
)
from services.pipeline.domain.lead import Lead
from services.pipeline.domain.said import OWN_SOURCE
from shared.db.outbox import Outgoing
from shared.events.engagement import (
    SCORE_RESET,
    EngagementAccepted,
    EngagementEvent,
    Identities,
    identity_digest,
)
from shared.events.envelope import Message, message_id
from shared.events.json import Json
from shared.events.scores import ScoreChange
from shared.events.stages import (
    LeadDisqualified,
    LeadQualificationReopened,
    LeadQualified,
    LeadStageChanged,
    LeadStalled,
    Qualification,
    StageChange,
    Stall,
)
from shared.events.thresholds import LeadThresholdEntered, LeadThresholdLeft, ThresholdCrossing
from shared.events.topics import ENGAGEMENT_EVENTS, LEAD_STAGES, LEAD_THRESHOLDS, TopicSpec

SOURCE = "/leadflow/pipeline"


@dataclass(slots=True)
class Sequences:
    """The last number given out per topic; the one thing here that counts on."""

    thresholds: int
    stages: int

    def next(self, topic: TopicSpec) -> int:
        if topic is LEAD_THRESHOLDS:
            self.thresholds += 1
            return self.thresholds
        self.stages += 1
        return self.stages


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a lead's timeline."""

    at: datetime
    kind: Kind
    data: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class StayLine:
    """A line of a lead's stage history: it came to a stage."""

    at: datetime
    data: Mapping[str, Json]


@dataclass(slots=True)
class Told:
    """Everything to write for some facts of one lead."""

    outgoing: list[Outgoing] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    stays: list[StayLine] = field(default_factory=list)


def tell(
    lead: Lead, facts: Sequence[Fact], active: ActivePipeline | None, sequences: Sequences, *, now: datetime
) -> Told:
    """Messages, lines and stays for `facts`, which came to pass for `lead` in this order.

    Scores that begin anew are asked for at once, by events that the scorer counts like any others.
    """
    told = Told()
    for fact in facts:
        told.lines.append(_line(fact))
        if isinstance(fact, Moved):
            told.stays.append(StayLine(fact.at, _stay(fact, active)))
        outgoing = _message(lead, fact, active, sequences)
        if outgoing is not None:
            told.outgoing.append(outgoing)
        if isinstance(fact, Moved):
            told.outgoing += _resets(lead, fact, sequences.stages, now)
    return told


def _resets(lead: Lead, fact: Moved, number: int, now: datetime) -> list[Outgoing]:
    """`score_reset` per score, addressed by the lead's strongest name; a lead that has none cannot be reset.

    The ids follow from the move, so that one move resets once, however often it is told.
    """
    identities = Identities(
        email=lead.emails[0] if lead.emails else None,
        external_ids={} if lead.emails else _first_external_id(lead),
        anonymous_id=None,
    )
    if not fact.resets or not identities.keys():
        return []
    key = identity_digest(lead.workspace, identities)
    return [
        Outgoing(ENGAGEMENT_EVENTS, key, _reset(lead, fact, score, number=number, lead_names=identities, now=now))
        for score in fact.resets
    ]


def _reset(
    lead: Lead, fact: Moved, score: str, *, number: int, lead_names: Identities, now: datetime
) -> EngagementAccepted:
    event = EngagementEvent(
        id=f"{lead.id}/{number}/{score}",
        source=OWN_SOURCE,
        type=SCORE_RESET,
        native_type=None,
        occurred_at=fact.at,
        received_at=max(now, fact.at),
        lead=lead_names,
        properties={"score": score, "actor": "pipeline", "reason": f"entered the stage {fact.to.id}"},
        attributes={},
    )
    return EngagementAccepted(
        id=event.id,
        source=OWN_SOURCE,
        subject=identity_digest(lead.workspace, lead_names),
        time=fact.at,
        workspace=lead.workspace,
        data=event,
    )


def _first_external_id(lead: Lead) -> dict[str, str]:
    return next(({system: ids[0]} for system, ids in sorted(lead.external_ids.items()) if ids), {})


def _message(lead: Lead, fact: Fact, active: ActivePipeline | None, sequences: Sequences) -> Outgoing | None:
    match fact:
        case Crossed():
            return None if fact.crossing.suppressed else _crossing(lead, fact, sequences)
        case Judged():
            assert active is not None
            return _qualification(lead, fact, active, sequences)
        case Moved():
            assert active is not None
            return _stage_change(lead, fact, active, sequences)
        case Stalled():
            assert active is not None
            return _stall(lead, fact, active, sequences)
        case Happened() | Scored() | MoveRefused() | Absorbed() | Separated():
            return None
        case _:
            assert_never(fact)


def _crossing(lead: Lead, fact: Crossed, sequences: Sequences) -> Outgoing:
    entered = fact.crossing.direction == "entered"
    position = fact.position
    sequence = sequences.next(LEAD_THRESHOLDS)
    data = ThresholdCrossing(
        lead=lead.reference,
        sequence=sequence,
        threshold=fact.threshold,
        at=fact.at,
        score=position.score if position else None,
        level=(position.enter if entered else position.exit) if position else None,
        cause=fact.change.cause,
        events=fact.change.events,
        standing=fact.change.current,
        model=fact.change.model,
        model_version=fact.change.model_version,
    )
    kind = LeadThresholdEntered if entered else LeadThresholdLeft
    return _outgoing(LEAD_THRESHOLDS, lead, kind, data=data, sequence=sequence, at=fact.at)


def _qualification(lead: Lead, fact: Judged, active: ActivePipeline, sequences: Sequences) -> Outgoing:
    sequence = sequences.next(LEAD_STAGES)
    data = Qualification(
        lead=lead.reference,
        sequence=sequence,
        at=fact.at,
        state=fact.verdict.state,
        previous=fact.previous.state,
        reason=_reason(fact),
        framework=active.pipeline.policy.framework,
        evidence=fact.evidence,
        pipeline=active.pipeline.name,
        pipeline_version=active.version,
    )
    return _outgoing(LEAD_STAGES, lead, _VERDICTS[fact.verdict.state], data=data, sequence=sequence, at=fact.at)


_VERDICTS: Mapping[str, type[Message]] = {
    "qualified": LeadQualified,
    "disqualified": LeadDisqualified,
    "open": LeadQualificationReopened,
}


def _reason(fact: Judged) -> str | None:
    if fact.verdict.state == "open" and fact.lapsed:
        return f"evidence expired: {', '.join(fact.lapsed)}"
    return fact.verdict.reason


def _stage_change(lead: Lead, fact: Moved, active: ActivePipeline, sequences: Sequences) -> Outgoing:
    sequence = sequences.next(LEAD_STAGES)
    data = StageChange(
        lead=lead.reference,
        sequence=sequence,
        at=fact.at,
        from_stage=fact.from_stage,
        to_stage=fact.to.id,
        terminal=fact.to.terminal,
        by=fact.by,
        actor=fact.actor,
        why=fact.why,
        override=fact.override,
        seconds_in_stage=_seconds_in_stage(fact),
        due_at=fact.due_at,
        pipeline=active.pipeline.name,
        pipeline_version=active.version,
    )
    return _outgoing(LEAD_STAGES, lead, LeadStageChanged, data=data, sequence=sequence, at=fact.at)


def _stall(lead: Lead, fact: Stalled, active: ActivePipeline, sequences: Sequences) -> Outgoing:
    sequence = sequences.next(LEAD_STAGES)
    data = Stall(
        lead=lead.reference,
        sequence=sequence,
        stage=fact.stage,
        since=fact.since,
        due_at=fact.at,
        pipeline=active.pipeline.name,
        pipeline_version=active.version,
    )
    return _outgoing(LEAD_STAGES, lead, LeadStalled, data=data, sequence=sequence, at=fact.at)


def _outgoing(
    topic: TopicSpec, lead: Lead, kind: type[Message], *, data: object, sequence: int, at: datetime
) -> Outgoing:
    fields = {
        "id": message_id(topic, lead.id, sequence),
        "source": SOURCE,
        "subject": lead.id,
        "time": at,
        "workspace": lead.workspace,
        "data": data,
    }
    return Outgoing(topic, lead.id, kind.model_validate(fields))


def _seconds_in_stage(fact: Moved) -> float | None:
    return None if fact.entered_at is None else (fact.at - fact.entered_at).total_seconds()


def _line(fact: Fact) -> Line:
    match fact:
        case Happened(at, event):
            return Line(at, "event", to_builtins(event))
        case Scored(at, change, absorbed):
            return Line(at, "score", _score_data(change, absorbed))
        case Crossed():
            return Line(fact.at, "threshold", _crossing_data(fact))
        case Judged():
            return Line(fact.at, "qualification", _judgement_data(fact))
        case Moved():
            return Line(fact.at, "stage", _move_data(fact))
        case MoveRefused():
            return Line(fact.at, "refusal", _refusal_data(fact))
        case Stalled(at, stage, since):
            return Line(at, "stall", {"stage": stage, "since": since.isoformat(), "due_at": at.isoformat()})
        case Absorbed(at, absorbed):
            return Line(at, "merge", {"absorbed": absorbed})
        case Separated():
            told: dict[str, Json] = {"other": fact.other, "restored": fact.restored}
            return Line(fact.at, "unmerge", {**told, "actor": fact.actor, "reason": fact.reason})
        case _:
            assert_never(fact)


_SCORE_FIELDS = ("model", "model_version", "current", "previous", "cause", "events")


def _score_data(change: ScoreChange, absorbed: str | None) -> dict[str, Json]:
    data: dict[str, Json] = to_builtins({name: getattr(change, name) for name in _SCORE_FIELDS})
    return data if absorbed is None else {**data, "absorbed": absorbed}


def _judgement_data(fact: Judged) -> dict[str, Json]:
    return {
        "state": fact.verdict.state,
        "previous": fact.previous.state,
        "reason": _reason(fact),
        "evidence": to_builtins(fact.evidence),
    }


def _crossing_data(fact: Crossed) -> dict[str, Json]:
    return {
        "threshold": fact.threshold,
        "direction": fact.crossing.direction,
        "suppressed": fact.crossing.suppressed,
        "score": fact.position.score if fact.position else None,
        "cause": fact.change.cause,
    }


def _move_data(fact: Moved) -> dict[str, Json]:
    return {
        "from_stage": fact.from_stage,
        "to_stage": fact.to.id,
        "terminal": fact.to.terminal,
        "by": fact.by,
        "actor": fact.actor,
        "why": fact.why,
        "override": fact.override,
        "seconds_in_stage": _seconds_in_stage(fact),
        "due_at": fact.due_at.isoformat() if fact.due_at else None,
        "merged": fact.merged,
    }


def _refusal_data(fact: MoveRefused) -> dict[str, Json]:
    return {
        "from_stage": fact.from_stage,
        "to_stage": fact.to,
        "by": fact.by,
        "actor": fact.actor,
        "code": fact.code,
        "message": fact.message,
    }


def _stay(fact: Moved, active: ActivePipeline | None) -> dict[str, Json]:
    assert active is not None
    return {**_move_data(fact), "pipeline": active.pipeline.name, "pipeline_version": active.version}
