"""Facts about a lead as messages, numbered per lead without gaps, with ids that follow from the numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypedDict

from services.scorer.domain.assessment import Assessment
from shared.events.accepting import AcceptedEvent
from shared.events.envelope import LeadReference, Message, message_id
from shared.events.json import Json
from shared.events.scores import (
    Cause,
    Erasure,
    EventReference,
    EventsRecorded,
    LeadErased,
    LeadEventsRecorded,
    LeadMerged,
    LeadScoreChanged,
    LeadUnmerged,
    Merge,
    RecordedEvent,
    ScoreChange,
    Standing,
    Unmerge,
)
from shared.events.topics import LEAD_SCORES

SOURCE = "/leadflow/scorer"


class _Envelope(TypedDict):
    id: str
    source: str
    subject: str
    time: datetime
    workspace: str


@dataclass(frozen=True, slots=True)
class Parting:
    """Two leads are two again: for the one that is told, who the other is, and which of them this is."""

    other: str
    role: Literal["restored", "survivor"]
    actor: str
    reason: str


class Teller:
    """Writes the messages about one lead, in order."""

    def __init__(self, lead: LeadReference, workspace: str, sequence: int) -> None:
        self._lead = lead
        self._workspace = workspace
        self.sequence = sequence
        self.messages: list[Message] = []

    def events_recorded(self, events: Sequence[AcceptedEvent], attributes: dict[str, Json], at: datetime) -> None:
        """These events count for the lead now."""
        recorded = sorted(events, key=lambda event: (event.occurred_at, event.id))
        data = EventsRecorded(
            lead=self._lead,
            sequence=self._next(),
            events=tuple([_recorded(event) for event in recorded]),
            attributes=attributes,
        )
        self._write(LeadEventsRecorded(**self._envelope(at), data=data))

    def merged(self, absorbed: str, at: datetime) -> None:
        """The lead `absorbed` is this one."""
        data = Merge(lead=self._lead, sequence=self._next(), absorbed=absorbed)
        self._write(LeadMerged(**self._envelope(at), data=data))

    def unmerged(self, parting: Parting, at: datetime) -> None:
        """The lead and another one are two again."""
        data = Unmerge(
            lead=self._lead,
            sequence=self._next(),
            other=parting.other,
            role=parting.role,
            actor=parting.actor,
            reason=parting.reason,
        )
        self._write(LeadUnmerged(**self._envelope(at), data=data))

    def erased(self, absorbed: Sequence[str], at: datetime) -> None:
        """The lead is erased, and with it those that had become part of it: the last word about it."""
        data = Erasure(lead=self._lead, sequence=self._next(), absorbed=tuple(absorbed))
        self._write(LeadErased(**self._envelope(at), data=data))

    def score_changed(
        self,
        assessment: Assessment,
        previous: Standing | None,
        *,
        cause: Cause,
        events: Sequence[AcceptedEvent],
        model: str,
        model_version: int,
    ) -> None:
        """The lead stands elsewhere now."""
        data = ScoreChange(
            lead=self._lead,
            sequence=self._next(),
            model=model,
            model_version=model_version,
            at=assessment.at,
            current=assessment.standing,
            previous=previous,
            cause=cause,
            events=tuple([_reference(event) for event in events]),
            ledger=assessment.ledger(),
            thresholds=dict(assessment.thresholds),
            forecast=assessment.forecast(),
            attributes=dict(assessment.attributes),
        )
        self._write(LeadScoreChanged(**self._envelope(assessment.at), data=data))

    def _next(self) -> int:
        self.sequence += 1
        return self.sequence

    def _write(self, message: Message) -> None:
        self.messages.append(message)

    def _envelope(self, at: datetime) -> _Envelope:
        return {
            "id": message_id(LEAD_SCORES, self._lead.id, self.sequence),
            "source": SOURCE,
            "subject": self._lead.id,
            "time": at,
            "workspace": self._workspace,
        }


def _reference(event: AcceptedEvent) -> EventReference:
    return EventReference(source=event.source, id=event.id, type=event.type, occurred_at=event.occurred_at)


def _recorded(event: AcceptedEvent) -> RecordedEvent:
    return RecordedEvent(
        source=event.source,
        id=event.id,
        type=event.type,
        occurred_at=event.occurred_at,
        received_at=event.received_at,
        properties=event.properties,
    )
