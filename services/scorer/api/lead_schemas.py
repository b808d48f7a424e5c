"""Questions and answers about single leads' scores, as they travel."""

import re
from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

from msgspec.structs import asdict
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from services.scorer.domain.what_if.lift import Lift, Way
from services.scorer.domain.what_if.lift import Step as AdvisedStep
from services.scorer.explaining import Advice, Explanation, JudgedEvent, Outlook, Subject
from shared.events.json import Json
from shared.events.scores import LedgerEntry, Standing, ThresholdPosition
from shared.http.inputs import PlainText

_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)
_WRITTEN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d([.,]\d+)?)?(Z|[+-]\d\d:?\d\d)", re.ASCII | re.IGNORECASE)
_BARE_PLUS = "; in a URL, + is written %2B"


def _plausible(at: datetime) -> datetime:
    if not _EARLIEST <= at <= _LATEST:
        raise ValueError("must lie between 1970 and 2200")
    return at.astimezone(UTC)


def _written_out(value: object) -> object:
    """A number would be taken for seconds since 1970, which nobody means who writes a moment."""
    if isinstance(value, str) and _WRITTEN.fullmatch(value):
        return value
    bare_plus = isinstance(value, str) and _WRITTEN.fullmatch(value.replace(" ", "+"))
    raise ValueError(f"must be a time with its zone, 2026-03-02T10:00:00Z{_BARE_PLUS if bare_plus else ''}")


Moment = Annotated[AwareDatetime, BeforeValidator(_written_out), AfterValidator(_plausible)]


class LeadAnswer(BaseModel):
    """What every answer about a lead begins with."""

    id: str = Field(description="The lead.")
    merged_from: str | None = Field(
        description="The id asked for, where that lead has been merged into this one; else null."
    )
    emails: list[str]
    external_ids: dict[str, list[str]]
    model: str | None = Field(description="The model that counts; null before one has been published.")
    model_version: int | None


class ExplainedEntry(LedgerEntry, frozen=True, gc=False, kw_only=True):
    """An entry of the ledger, and the same as a sentence."""

    words: Annotated[str, Field(description="What happened, when, what it is worth and how it will age.")]


class ScoreExplanation(LeadAnswer):
    """Where a lead stands at a moment, and why, as known today."""

    at: datetime = Field(description="The moment for which everything here holds.")
    scores: dict[str, float] = Field(description="Every score, rounded to two decimals.")
    bands: dict[str, str | None]
    grade: str | None
    thresholds: dict[str, ThresholdPosition]
    ledger: dict[str, list[ExplainedEntry]] = Field(
        description="Per score, its entries; their `worth` adds up to the score, before rounding."
    )
    attributes: dict[str, Json] = Field(description="All explicit facts about the lead as they stood then.")


class StandingAt(Standing, frozen=True, gc=False):
    """Where the lead stands at a moment."""

    at: datetime


class BandForecast(BaseModel):
    """How long a score keeps its band."""

    band: str | None = Field(description="The band now; null below all.")
    leaves_at: datetime | None = Field(description="When the score leaves it; null: never.")
    becomes: str | None = Field(description="The band then.")


class ScoreForecast(LeadAnswer):
    """What becomes of the lead if it stays silent from now on."""

    at: datetime
    scores: dict[str, float]
    bands: dict[str, BandForecast]
    grade: str | None
    changes: list[StandingAt] = Field(
        description="Each moment, to the microsecond, at which a band, the grade or a threshold position changes."
    )
    points: list[StandingAt] = Field(description="The way there, evenly spread up to `until`.")


class ScoreCourse(LeadAnswer):
    """The scores along time, as known today: the past as it was, the future if the lead stays silent."""

    points: list[StandingAt]


class Step(BaseModel):
    """Events to happen, or facts to learn."""

    kind: Literal["event", "facts"]
    count: int = Field(description="How many such events; 1 for facts.")
    title: str = Field(description="What it is, in the words of the model.")
    event_types: list[str] = Field(description="Any of these types; empty for facts.")
    conditions: list[str] = Field(description="What must hold for it, in words; empty: nothing more.")
    example: dict[str, Json] = Field(description="An event, or attributes, with which it was tried out.")
    rules: list[str] = Field(description="Rules that it matches, as `score.rule`.")


class WayView(BaseModel):
    """Steps that bring the lead there, if they happen now."""

    words: str = Field(description="All steps in one phrase.")
    events: int = Field(description="How many events it takes.")
    steps: list[Step]
    becomes: Standing = Field(description="Where the lead would stand then.")


class GoalView(BaseModel):
    """A band or a threshold to reach, and how."""

    kind: Literal["band", "threshold"]
    name: str
    score: str | None = Field(description="The score it is about; null for a threshold on grades.")
    at_least: float | None = Field(description="The level to reach; null for a threshold on grades.")
    ways: list[WayView] = Field(description="By events alone, the fewest first.")
    with_facts: list[WayView] = Field(description="Ways for which facts about the lead must be learnt.")
    most: Standing | None = Field(description="Where there is no way: the furthest that was found.")
    held_back: list[str] = Field(description="Where there is no way: the caps in it, in words.")


class LiftView(LeadAnswer):
    """What would lift the lead into the next band of a score, and into thresholds that have to do with it."""

    at: datetime
    score: str
    value: float
    band: str | None
    goals: list[GoalView] = Field(description="Empty where the lead is in the highest band and all thresholds.")


class RuleVerdict(BaseModel):
    """What became of an event under one rule."""

    score: str
    rule: str
    fate: Literal["counts", "withheld", "over"] = Field(
        description="`withheld` by the rule's limit; `over`: it has expired, or a reset has wiped it."
    )
    worth: float = Field(description="Points now, before caps of the group and the score.")


class EventView(BaseModel):
    """An event recorded for the lead."""

    source: str
    id: str
    type: str
    occurred_at: datetime
    received_at: datetime
    properties: dict[str, Json]
    attributes: dict[str, Json]
    counts: bool = Field(description="Whether it counts as accepted; false once it is retracted.")
    rules: list[RuleVerdict] = Field(description="The rules that it matches; none where no rule looks for it.")
    trace_id: str | None = Field(
        description="The W3C trace in which it came, as in logs and exported spans; null where none is known."
    )


class EventPage(LeadAnswer):
    """Events of a lead, the newest first."""

    events: list[EventView]
    next_cursor: str | None = Field(description="Hand it back as `cursor` for the next page; null: the end.")


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


Actor = Annotated[PlainText, Field(min_length=1, max_length=200, description="Who decides so.")]
Reason = Annotated[PlainText, Field(min_length=1, max_length=2_000, description="Why; it is kept with the event.")]
ScoreName = Annotated[PlainText, Field(min_length=1, max_length=200, description="Score of the active model.")]
Duration = Annotated[PlainText, Field(min_length=1, max_length=20)]


class AdjustmentRequest(_Request):
    """Points that a person gives or takes."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "score": "engagement",
                    "points": 15,
                    "half_life": "14d",
                    "actor": "anna@example.com",
                    "reason": "met at the fair",
                }
            ]
        },
    )

    score: ScoreName
    points: float = Field(ge=-1e9, le=1e9, allow_inf_nan=False, description="Negative takes away.")
    actor: Actor
    reason: Reason
    half_life: Duration | None = Field(None, description="`14d`; left out or `none`: the points do not decay.")
    expires_after: Duration | None = Field(None, description="Whole days or weeks, `90d`; left out: never.")
    occurred_at: Moment | None = Field(None, description="Since when it holds; default and latest: now.")


class ResetRequest(_Request):
    """Wipe the slate of a score that is built from events."""

    score: ScoreName
    actor: Actor
    reason: Reason
    occurred_at: Moment | None = Field(
        None, description="What happened up to then is worth nothing from then on; default and latest: now."
    )


class RetractionRequest(_Request):
    """Retract one event of the lead: it counts as never accepted, for good."""

    source: PlainText = Field(min_length=1, max_length=128, description="Source of the event.")
    event_id: PlainText = Field(min_length=1, max_length=512, description="Id of the event within its source.")
    actor: Actor
    reason: Reason


class MergeRequest(_Request):
    """Two leads are one person, though no event says so, or although they were set apart."""

    absorbed: UUID = Field(description="The lead that becomes part of this one.")
    actor: Actor
    reason: Reason


class UnmergeRequest(_Request):
    """Two leads were taken for one, and are two."""

    absorbed: UUID = Field(description="The lead that became part of this one, and is to be restored.")
    actor: Actor
    reason: Reason


class Unmerged(BaseModel):
    """Both leads, each on its own again; they never become one by themselves any more."""

    survivor: ScoreExplanation
    restored: ScoreExplanation


class EventIdentity(BaseModel):
    """An event by its identity."""

    source: str
    id: str
    type: str
    occurred_at: datetime


class Correction(ScoreExplanation):
    """The event that was made of a request, and where the lead stands now."""

    event: EventIdentity
    repeated: bool = Field(description="Whether the same request, by its Idempotency-Key, had been made before.")


def lead_answer(subject: Subject) -> LeadAnswer:
    """The beginning of an answer."""
    active, reference = subject.active, subject.lead.reference
    return LeadAnswer(
        id=str(subject.id),
        merged_from=None if subject.asked == subject.id else str(subject.asked),
        emails=list(reference.emails),
        external_ids={system: list(ids) for system, ids in reference.external_ids.items()},
        model=active.model.name if active.version else None,
        model_version=active.version or None,
    )


def score_explanation(found: Explanation) -> ScoreExplanation:
    """An explanation as it travels."""
    return ScoreExplanation(
        **lead_answer(found.subject).model_dump(),
        at=found.at,
        **asdict(found.standing),
        thresholds=found.thresholds,
        ledger={
            score: [
                ExplainedEntry(**asdict(entry), words=words)
                for entry, words in zip(entries, found.words[score], strict=True)
            ]
            for score, entries in found.ledger.items()
        },
        attributes=found.attributes,
    )


def score_forecast(found: Outlook) -> ScoreForecast:
    """An outlook as it travels."""
    return ScoreForecast(
        **lead_answer(found.subject).model_dump(),
        at=found.at,
        scores=found.standing.scores,
        bands={score: _band(found, score) for score in found.standing.bands},
        grade=found.standing.grade,
        changes=[standing_at(at, standing) for at, standing in found.changes],
        points=[standing_at(at, standing) for at, standing in found.points],
    )


def standing_at(at: datetime, standing: Standing) -> StandingAt:
    """A point of a course."""
    return StandingAt(at=at, **asdict(standing))


def lift_view(found: Advice) -> LiftView:
    """Advice as it travels."""
    return LiftView(
        **lead_answer(found.subject).model_dump(),
        at=found.at,
        score=found.score,
        value=found.standing.scores[found.score],
        band=found.standing.bands.get(found.score),
        goals=[_goal(lift) for lift in found.lifts],
    )


def event_view(judged: JudgedEvent) -> EventView:
    """A stored event as it travels."""
    event = judged.recorded.event
    return EventView(
        source=event.source,
        id=event.id,
        type=event.type,
        occurred_at=event.occurred_at,
        received_at=event.received_at,
        properties=event.properties,
        attributes=event.attributes,
        counts=not judged.recorded.voided,
        rules=[
            RuleVerdict(score=one.score, rule=one.rule, fate=one.fate, worth=one.worth) for one in judged.verdicts
        ],
        trace_id=judged.recorded.trace_id,
    )


def _band(found: Outlook, score: str) -> BandForecast:
    band = found.standing.bands[score]
    left = next(((at, then.bands[score]) for at, then in found.changes if then.bands[score] != band), None)
    return BandForecast(band=band, leaves_at=left[0] if left else None, becomes=left[1] if left else band)


def _goal(lift: Lift) -> GoalView:
    return GoalView(
        kind=lift.goal.kind,
        name=lift.goal.name,
        score=lift.goal.score,
        at_least=lift.goal.at_least,
        ways=[_way(way) for way in lift.ways],
        with_facts=[_way(way) for way in lift.with_facts],
        most=lift.most,
        held_back=list(lift.held_back),
    )


def _way(way: Way) -> WayView:
    return WayView(
        words=way.words(), events=way.events, steps=[_step(step) for step in way.steps], becomes=way.standing
    )


def _step(step: AdvisedStep) -> Step:
    option = step.option
    return Step(
        kind=option.kind,
        count=step.count,
        title=option.title,
        event_types=list(option.event_types),
        conditions=list(option.conditions),
        example=dict(option.example),
        rules=[f"{key.score}.{key.rule}" for key in option.rules],
    )
