"""What the scorer says of a lead. State goes out, not deltas: one message alone brings a CRM up to date."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from shared.events.curve import Curve
from shared.events.envelope import LeadReference, Message, Sequence
from shared.events.legible import Moment, StorableValues
from shared.events.part import Part

Scores = Annotated[dict[str, float], Field(description="Every score, rounded to two decimals.")]
Bands = Annotated[dict[str, str | None], Field(description="The band of each banded score; null below all.")]
Cause: TypeAlias = Literal["events", "time", "merge", "unmerge", "model"]
Grade = Annotated[str | None, Field(description="Cell of the two graded scores, `A1`; null without one.")]


class Standing(Part, frozen=True, gc=False):
    """Where a lead stands at one moment."""

    scores: Scores
    bands: Bands
    grade: Grade


class EventReference(Part, frozen=True, gc=False):
    """An event, by its identity."""

    source: Annotated[str, Field(description="The event's source.")]
    id: Annotated[str, Field(description="The event's id within its source.")]
    type: Annotated[str, Field(description="Engagement type.")]
    occurred_at: Annotated[Moment, Field(description="When it happened.")]


class RecordedEvent(EventReference, frozen=True, gc=False):
    """An event that now counts for a lead, with what it carried."""

    received_at: Annotated[Moment, Field(description="When ingest received it.")]
    properties: Annotated[StorableValues, Field(description="Facts about the event.")]


class LedgerEntry(Part, frozen=True, gc=False):
    """One reason for a score. The entries of a score add up to it exactly, before rounding."""

    kind: Annotated[
        Literal["rule", "attribute", "adjustment", "group_clamp", "score_clamp", "component"],
        Field(description="What gave or withheld the points: `*_clamp` is what a cap withheld or a floor lifted."),
    ]
    name: Annotated[
        str | None, Field(description="Rule, group or component; null for adjustments and the score's clamp.")
    ]
    worth: Annotated[float, Field(description="Points it is worth now, after decay; negative where it takes away.")]
    points: Annotated[
        float | None, Field(description="Points of one occurrence as the rule states them, or the weight.")
    ]
    counted: Annotated[int | None, Field(description="Occurrences that count.")]
    undecayed: Annotated[float | None, Field(description="What they were worth when they happened.")]
    half_life_seconds: Annotated[float | None, Field(description="How it ages; null: not at all.")]
    expires_at: Annotated[Moment | None, Field(description="When the next part of it expires.")]
    latest: Annotated[EventReference | None, Field(description="The newest event that contributed.")]
    reason: Annotated[str, Field(description="The same in words for people.")]
    withheld: Annotated[
        int, Field(description="Occurrences that do not count, because the rule's limit withholds them.")
    ] = 0
    withheld_worth: Annotated[
        float, Field(description="Points that those would be worth now; no part of the score.")
    ] = 0.0
    earliest_at: Annotated[
        Moment | None,
        Field(description="When the oldest of the occurrences that count happened; null where that is not kept."),
    ] = None


class ThresholdPosition(Part, frozen=True, gc=False):
    """Where the lead stands to a threshold; whether it is *inside* depends on the past (hysteresis)."""

    position: Annotated[
        Literal["reached", "between", "below"],
        Field(description="`reached`: at or above `enter` (or grade among those); `below`: under `exit`."),
    ]
    score: Annotated[float | None, Field(description="The score compared; null for a threshold on grades.")]
    enter: Annotated[float | None, Field(description="Level that enters; null for a threshold on grades.")]
    exit: Annotated[float | None, Field(description="Level below which it is left; null for grades.")]
    cooldown_seconds: Annotated[float | None, Field(description="No second entering is emitted within this time.")]


class Forecast(Part, frozen=True, gc=False):
    """What happens if the lead stays silent."""

    curve: Annotated[Curve, Field(description="Enough to compute every score at any later moment.")]
    changes_at: Annotated[
        Moment | None,
        Field(description="When a band, the grade or a threshold position next changes by itself; null: never."),
    ]
    becomes: Annotated[Standing | None, Field(description="The standing at that moment.")]


class ScoreChange(Part, frozen=True, gc=False):
    """Where a lead stands now, where it stood, and why."""

    lead: LeadReference
    sequence: Sequence
    model: Annotated[str, Field(description="The model's name.")]
    model_version: Annotated[int, Field(description="The published version.")]
    at: Annotated[Moment, Field(description="The moment for which everything here holds.")]
    current: Standing
    previous: Annotated[Standing | None, Field(description="As last published; null for a new lead.")]
    cause: Annotated[Cause, Field(description="What made it change.")]
    events: Annotated[tuple[EventReference, ...], Field(description="The events that caused it, if events did.")]
    ledger: Annotated[dict[str, tuple[LedgerEntry, ...]], Field(description="Per score, the reasons.")]
    thresholds: Annotated[dict[str, ThresholdPosition], Field(description="Position to each threshold of the model.")]
    forecast: Forecast
    attributes: Annotated[StorableValues, Field(description="All explicit facts about the lead as they stand.")]


class EventsRecorded(Part, frozen=True, gc=False):
    """Events that now count for a lead, whether or not any rule gives points for them."""

    lead: LeadReference
    sequence: Sequence
    events: Annotated[tuple[RecordedEvent, ...], Field(description="In the order of happening.")]
    attributes: Annotated[StorableValues, Field(description="All explicit facts about the lead as they stand.")]


class Merge(Part, frozen=True, gc=False):
    """Two leads turned out to be one."""

    lead: Annotated[LeadReference, Field(description="The survivor.")]
    sequence: Sequence
    absorbed: Annotated[str, Field(description="Id of the lead that is no more; its history is the survivor's now.")]


class Unmerge(Part, frozen=True, gc=False):
    """Two leads that had been taken for one are two again; each of them is told so."""

    lead: Annotated[LeadReference, Field(description="The lead, with the names that are its own now.")]
    sequence: Sequence
    other: Annotated[str, Field(description="Id of the lead that it is not.")]
    role: Annotated[
        Literal["restored", "survivor"],
        Field(description="`restored`: it had been absorbed and is back; `survivor`: it had absorbed the other."),
    ]
    actor: Annotated[str, Field(description="Who decided so.")]
    reason: Annotated[str, Field(description="Why.")]


class Erasure(Part, frozen=True, gc=False):
    """A lead was erased. Nobody says any more who it was."""

    lead: Annotated[LeadReference, Field(description="The lead by its id alone; every name of it is gone.")]
    sequence: Sequence
    absorbed: Annotated[
        tuple[str, ...], Field(description="Ids of leads that had become part of it, and are erased with it.")
    ]


class LeadEventsRecorded(Message):
    """The scorer has counted events for a lead."""

    type: Literal["lead.events_recorded"] = Field("lead.events_recorded", description="Message type.")
    data: EventsRecorded


class LeadScoreChanged(Message):
    """A lead's scores, bands, grade or threshold positions are others now."""

    type: Literal["lead.score_changed"] = Field("lead.score_changed", description="Message type.")
    data: ScoreChange


class LeadMerged(Message):
    """Two leads turned out to be one."""

    type: Literal["lead.merged"] = Field("lead.merged", description="Message type.")
    data: Merge


class LeadUnmerged(Message):
    """Two leads that had been taken for one are two again."""

    type: Literal["lead.unmerged"] = Field("lead.unmerged", description="Message type.")
    data: Unmerge


class LeadErased(Message):
    """A lead was erased, with all that was held about it. It is the last message about this lead.

    Whoever keeps something about the lead, or about one of those absorbed, erases it too.
    """

    type: Literal["lead.erased"] = Field("lead.erased", description="Message type.")
    data: Erasure
