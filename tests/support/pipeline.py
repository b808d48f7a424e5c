"""What the scorer says, and the pipeline it is said to, with everything filled in that a test does not care for."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

from services.pipeline.domain.document import Pipeline, parse_pipeline
from shared.events.curve import Curve, GroupCurve, ScoreCurve, Term, microseconds
from shared.events.envelope import LeadReference, Message, message_id
from shared.events.json import Json
from shared.events.scores import (
    EventReference,
    EventsRecorded,
    Forecast,
    LeadEventsRecorded,
    LeadMerged,
    LeadScoreChanged,
    LeadUnmerged,
    LedgerEntry,
    Merge,
    RecordedEvent,
    ScoreChange,
    Standing,
    ThresholdPosition,
    Unmerge,
)
from shared.events.topics import LEAD_SCORES

LEAD = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
NOON = datetime.fromisoformat("2026-03-02T12:00:00Z")
M = TypeVar("M", bound=Message)
Position = Literal["reached", "between", "below"]

B2B: dict[str, Json] = {
    "pipeline": "b2b-sales",
    "qualification": {
        "framework": "BANT",
        "criteria": {
            "budget": {"if": {"attributes.budget": {"gte": 10000}}},
            "authority": {"if": {"attributes.job_title": {"matches": "(?i)\\b(chief|vp|head|director)\\b"}}},
            "need": {"if": {"attributes.use_case": {"exists": True}}},
            "timeline": {"if": {"attributes.timeline_months": {"lte": 6}}, "expires_after": "90d"},
        },
        "qualified": {"at_least": 3},
        "disqualified": [{"if": {"attributes.email_domain": {"in": ["competitor.example"]}}, "reason": "competitor"}],
    },
    "stages": [
        {"id": "new", "initial": True, "due": "1d"},
        {"id": "engaged", "enter_when": {"threshold": "warm"}},
        {"id": "mql", "enter_when": {"any": [{"threshold": "mql"}, {"event": "demo_requested"}]}, "due": "4h"},
        {"id": "sql", "enter_when": {"qualified": True, "stage_in": ["mql"]}, "due": "2d"},
        {
            "id": "proposal",
            "probability": 0.5,
            "due": "10d",
            "requires": ["attributes.amount", "attributes.close_date"],
        },
        {"id": "negotiation", "probability": 0.75, "due": "14d"},
        {"id": "won", "terminal": "won"},
        {"id": "lost", "terminal": "lost", "requires": ["reason"]},
        {"id": "nurture", "enter_when": {"left_threshold": "mql", "stage_in": ["mql", "engaged"]}},
        {"id": "disqualified", "terminal": "lost", "enter_when": {"disqualified": True}},
    ],
    "moves": {"back": "allowed", "skip": "allowed", "from_terminal": "refused"},
    "business_hours": {
        "timezone": "Europe/Stockholm",
        "days": "mon-fri",
        "from": "09:00",
        "to": "17:00",
        "holidays": [],
    },
}
QUALIFYING: dict[str, Json] = {"budget": 20_000, "job_title": "VP Sales", "use_case": "scoring"}


def a_document(**sections: Json) -> dict[str, Json]:
    """The contract's pipeline with some sections replaced; None takes one away."""
    return {key: value for key, value in {**B2B, **sections}.items() if value is not None}


def a_pipeline(**sections: Json) -> Pipeline:
    """The same, parsed."""
    return parse_pipeline(a_document(**sections))


def a_reference(lead: str = LEAD, email: str = "ada@example.com") -> LeadReference:
    return LeadReference(id=lead, emails=(email,), external_ids={"hubspot": ("42",)})


def a_position(position: Position, *, cooldown: timedelta | None = None) -> ThresholdPosition:
    """A position to a threshold that is entered at 60 and left below 45."""
    score = {"reached": 72.5, "between": 50.0, "below": 12.0}[position]
    seconds = cooldown.total_seconds() if cooldown else None
    return ThresholdPosition(position=position, score=score, enter=60.0, exit=45.0, cooldown_seconds=seconds)


def a_curve(at: datetime, engagement: float, *, half_life: timedelta | None = None, fit: float = 0.0) -> Curve:
    """`engagement` that decays, `fit` that does not, and `total`, the sum of both, at most 100."""
    half_life_us = half_life // timedelta(microseconds=1) if half_life else None
    term = Term(engagement, microseconds(at), half_life_us, None)
    constant = Term(fit, microseconds(at), None, None)
    return Curve(
        microseconds(at),
        {
            "engagement": ScoreCurve(0.0, None, (GroupCurve(None, None, (term,)),), {}),
            "fit": ScoreCurve(0.0, None, (GroupCurve(None, None, (constant,)),), {}),
            "total": ScoreCurve(0.0, 100.0, (), {"engagement": 1.0, "fit": 1.0}),
        },
    )


def an_entry(name: str = "demo", worth: float = 30.0, **rest: Any) -> LedgerEntry:
    fields: dict[str, Any] = {
        "kind": "rule",
        "name": name,
        "worth": worth,
        "points": worth,
        "counted": 1,
        "undecayed": worth,
        "half_life_seconds": None,
        "expires_at": None,
        "latest": None,
        "reason": f"{name} counts {worth:g} points",
    }
    return LedgerEntry(**{**fields, **rest})


def a_score_change(
    sequence: int,
    at: datetime = NOON,
    *,
    lead: str = LEAD,
    thresholds: Mapping[str, ThresholdPosition] | None = None,
    attributes: Mapping[str, Json] | None = None,
    curve: Curve | None = None,
    event_types: Sequence[str] = (),
    cause: Literal["events", "time", "merge", "unmerge", "model"] = "events",
    workspace: str = "default",
    email: str = "ada@example.com",
    ledger: Mapping[str, tuple[LedgerEntry, ...]] | None = None,
) -> LeadScoreChanged:
    """The scorer says where the lead stands at `at`."""
    standing = Standing(scores={"total": 72.5}, bands={"total": "hot"}, grade="A1")
    data = ScoreChange(
        lead=a_reference(lead, email),
        sequence=sequence,
        model="b2b-default",
        model_version=1,
        at=at,
        current=standing,
        previous=None,
        cause=cause,
        events=tuple(an_event_reference(kind, at) for kind in event_types),
        ledger=dict(ledger or {"engagement": (an_entry(),)}),
        thresholds=dict(thresholds or {}),
        forecast=Forecast(curve=curve or a_curve(at, 72.5), changes_at=None, becomes=None),
        attributes=dict(attributes or {}),
    )
    return _message(LeadScoreChanged, lead, sequence, data=data, at=at, workspace=workspace)


def an_event_reference(kind: str, at: datetime = NOON) -> EventReference:
    return EventReference(source="api", id=f"{kind}/{at:%d%H%M}", type=kind, occurred_at=at)


def a_recorded_event(kind: str, at: datetime = NOON, *, source: str = "api", **properties: Json) -> RecordedEvent:
    return RecordedEvent(
        source=source, id=f"{kind}/{at.isoformat()}", type=kind, occurred_at=at, received_at=at, properties=properties
    )


def recorded(
    sequence: int,
    *events: RecordedEvent,
    lead: str = LEAD,
    attributes: Mapping[str, Json] | None = None,
    workspace: str = "default",
) -> LeadEventsRecorded:
    """The scorer says which events count for the lead now."""
    data = EventsRecorded(lead=a_reference(lead), sequence=sequence, events=events, attributes=dict(attributes or {}))
    at = events[-1].occurred_at if events else NOON
    return _message(LeadEventsRecorded, lead, sequence, data=data, at=at, workspace=workspace)


def merged(sequence: int, *, survivor: str = LEAD, absorbed: str = OTHER, at: datetime = NOON) -> LeadMerged:
    """The scorer says that two leads are one."""
    data = Merge(lead=a_reference(survivor), sequence=sequence, absorbed=absorbed)
    return _message(LeadMerged, survivor, sequence, data=data, at=at, workspace="default")


def unmerged(
    sequence: int, *, lead: str = OTHER, other: str = LEAD, survivor: bool = False, at: datetime = NOON
) -> LeadUnmerged:
    """The scorer says to `lead` that it and `other` are two again."""
    data = Unmerge(
        lead=a_reference(lead),
        sequence=sequence,
        other=other,
        role="survivor" if survivor else "restored",
        actor="anna",
        reason="two people",
    )
    return _message(LeadUnmerged, lead, sequence, data=data, at=at, workspace="default")


def _message(kind: type[M], lead: str, sequence: int, *, data: object, at: datetime, workspace: str) -> M:
    return kind.model_validate(
        {
            "id": message_id(LEAD_SCORES, lead, sequence),
            "source": "/leadflow/scorer",
            "subject": lead,
            "time": at,
            "workspace": workspace,
            "data": data,
        }
    )
