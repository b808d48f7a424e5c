"""Answers about leads, as they travel."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec.structs import asdict
from pydantic import BaseModel, ConfigDict, Field

from services.pipeline.domain.lead import Lead
from services.pipeline.erasure.exporting import Holding, Sent
from services.pipeline.leads.views import AgedEntry, HistoryLine, LeadView, ledger_at
from shared.events.json import Json
from shared.events.scores import EventReference, ScoreChange, Standing, ThresholdPosition
from shared.events.stages import Evidence
from shared.http.inputs import PlainText


class StageView(BaseModel):
    """Where a lead stands in the pipeline."""

    stage: str
    since: datetime
    due_at: datetime | None = Field(description="When it counts as stalled; null: never.")
    stalled: bool = Field(description="Whether it has been told that it stalls.")


class HotLead(BaseModel):
    """A lead on the hot list."""

    id: str
    emails: list[str]
    external_ids: dict[str, list[str]]
    value: float = Field(description="The score that the list is ordered by, now.")
    scores: dict[str, float] = Field(description="Every score now.")
    bands: dict[str, str | None]
    grade: str | None
    stage: StageView | None
    owner: str | None
    source: str | None = Field(description="Where its first event came from.")
    reasons: list[str] = Field(description="What contributes most to the score, in words.")


class HotList(BaseModel):
    """A page of the hot list, the hottest first."""

    at: datetime = Field(description="The moment for which the order holds; kept over the pages.")
    score: str = Field(description="The score that the list is ordered by.")
    leads: list[HotLead]
    next_cursor: str | None = Field(description="Hand it back as `cursor` for the next page; null: the end.")


class LedgerEntryView(BaseModel):
    """An entry of the ledger."""

    kind: Literal["rule", "attribute", "adjustment", "group_clamp", "score_clamp", "component"]
    name: str | None
    reason: str = Field(description="In words.")
    worth: float = Field(description="Points when the score was last told (`as_of`).")
    worth_now: float | None = Field(description="Points now, after decay; null for limits, whose sum is `withheld`.")
    counted: int | None = Field(description="Occurrences that count.")
    expires_at: datetime | None
    latest: EventReference | None = Field(description="The newest event that contributed.")


class LedgerView(BaseModel):
    """Why a score is what it is: `entries` and `withheld` add up to `value`."""

    value: float
    as_of: datetime = Field(description="When the scorer last told of it.")
    entries: list[LedgerEntryView]
    withheld: float = Field(description="What limits withhold or lift now, and what has expired since.")


class ForecastView(BaseModel):
    """What happens if the lead stays silent."""

    changes_at: datetime | None = Field(
        description="When a band, the grade or a threshold changes by itself; null: never."
    )
    becomes: Standing | None


class ThresholdView(ThresholdPosition, frozen=True, gc=False):
    """A threshold of the model, and where the lead stands to it."""

    inside: Annotated[bool, Field(description="Whether the lead is inside, hysteresis considered.")]
    entered_at: Annotated[datetime | None, Field(description="When it last entered.")]


class QualificationView(BaseModel):
    """Whether the lead is ready, with the evidence."""

    state: Literal["qualified", "disqualified", "open"]
    reason: str | None
    evidence: list[Evidence]


class LeadDetail(BaseModel):
    """Everything about one lead, now."""

    id: str = Field(description="An id that was merged answers with the surviving lead.")
    emails: list[str]
    external_ids: dict[str, list[str]]
    at: datetime
    scores: dict[str, float]
    bands: dict[str, str | None]
    grade: str | None
    model: str | None
    model_version: int | None
    ledger: dict[str, LedgerView]
    forecast: ForecastView | None
    thresholds: dict[str, ThresholdView]
    attributes: dict[str, Json]
    deal: dict[str, Json] = Field(description="Owner, amount, close date ... as the CRM last said.")
    stage: StageView | None
    qualification: QualificationView
    pipeline_version: int | None
    owner: str | None
    source: str | None


class HistoryEntry(BaseModel):
    """Something that happened."""

    at: datetime
    kind: str = Field(description="event, score, threshold, qualification, stage, refusal, stall, merge or unmerge.")
    data: dict[str, Json]
    trace_id: str | None = Field(
        description="Of a timeline: the W3C trace in which it came, as in logs and exported spans; else null."
    )


class LeadHistory(BaseModel):
    """A page of a history, the newest first."""

    entries: list[HistoryEntry]
    next_cursor: str | None = Field(description="Hand it back as `cursor` for the next page; null: the end.")


class MoveRequest(BaseModel):
    """A person moves a lead."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"to": "proposal", "actor": "anna@example.com", "reason": "asked for a quote"}]
        },
    )

    to: PlainText = Field(min_length=1, max_length=64, description="Stage of the active pipeline.")
    actor: PlainText = Field(min_length=1, max_length=200, description="Who moves the lead.")
    reason: PlainText | None = Field(None, max_length=2_000, description="Why; some stages require it.")
    override: bool = Field(
        False,
        strict=True,
        description="Pass the guards of the document; needs a reason, and is recorded as an override.",
    )


def stage_view(lead: Lead) -> StageView | None:
    """The stay of a lead; None before it is in a pipeline."""
    stay = lead.stay
    if stay is None:
        return None
    return StageView(stage=stay.stage, since=stay.since, due_at=stay.due_at, stalled=stay.stalled_at is not None)


def ledger_views(change: ScoreChange | None, now: datetime) -> dict[str, LedgerView]:
    """The ledger of every score, aged to `now`."""
    if change is None:
        return {}
    return {
        score: LedgerView(
            value=ledger.value,
            as_of=change.at,
            entries=[_ledger_entry(item) for item in ledger.entries],
            withheld=ledger.withheld,
        )
        for score, ledger in ledger_at(change, now).items()
    }


def top_reasons(change: ScoreChange | None, score: str, now: datetime, *, count: int = 3) -> list[str]:
    """What contributes most to `score`, in words; components are followed to what they are made of."""
    if change is None:
        return []
    ledgers = ledger_at(change, now)
    found: list[tuple[float, str]] = []
    pending = [(score, 1.0)]
    while pending:
        name, weight = pending.pop()
        for item in ledgers[name].entries if name in ledgers else ():
            if item.worth_now is None:
                continue
            if item.entry.kind == "component" and item.entry.name:
                pending.append((item.entry.name, weight * (item.entry.points or 0.0)))
            else:
                found.append((weight * item.worth_now, item.entry.reason))
    best = sorted((pair for pair in found if pair[0] > 0), key=lambda pair: (-pair[0], pair[1]))
    return [reason for _, reason in best[:count]]


def threshold_views(view: LeadView) -> dict[str, ThresholdView]:
    """Every threshold of the model with the lead's state."""
    if view.change is None:
        return {}
    found: dict[str, ThresholdView] = {}
    for name, position in view.change.thresholds.items():
        state = view.lead.thresholds.get(name)
        found[name] = ThresholdView(
            **asdict(position),
            inside=state is not None and state.inside,
            entered_at=state.entered_at if state else None,
        )
    return found


def history_entry(line: HistoryLine) -> HistoryEntry:
    """A line as it travels."""
    return HistoryEntry(at=line.at, kind=line.kind, data=line.data, trace_id=line.trace_id)


def _ledger_entry(item: AgedEntry) -> LedgerEntryView:
    return LedgerEntryView(
        kind=item.entry.kind,
        name=item.entry.name,
        reason=item.entry.reason,
        worth=item.entry.worth,
        worth_now=item.worth_now,
        counted=item.entry.counted,
        expires_at=item.entry.expires_at,
        latest=item.entry.latest,
    )


class LeadExport(BaseModel):
    """Everything that the pipeline holds about a lead."""

    lead: Json = Field(
        description="Its names, attributes, deal, verdict, thresholds, touches and journey, as stored."
    )
    timeline: list[HistoryEntry] = Field(description="The newest first.")
    stages: list[HistoryEntry] = Field(description="The stages it came to, the newest first.")
    messages: list[Json] = Field(description="What was told about it, as far as it is still kept.")
    deliveries: list[Sent] = Field(description="To whom it was told by webhook, and what each answered.")


def lead_export(held: Holding) -> LeadExport:
    """An export as it travels."""
    return LeadExport(
        lead=held.lead,
        timeline=[history_entry(line) for line in held.timeline],
        stages=[history_entry(line) for line in held.stages],
        messages=held.messages,
        deliveries=held.deliveries,
    )
