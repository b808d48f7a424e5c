"""What the scorer says of a lead. State goes out, not deltas: one message alone brings a CRM up to date."""

from typing import Annotated, Literal, TypeAlias

from pydantic import AwareDatetime, Field

from shared.events.curve import Curve
from shared.events.envelope import Frozen, LeadReference, Message, Sequence
from shared.events.json import Json

Scores = Annotated[dict[str, float], Field(description="Every score, rounded to two decimals.")]
Bands = Annotated[dict[str, str | None], Field(description="The band of each banded score; null below all.")]
Cause: TypeAlias = Literal["events", "time", "merge", "unmerge", "model"]
Grade = Annotated[str | None, Field(description="Cell of the two graded scores, `A1`; null without one.")]


class Standing(Frozen):
    """Where a lead stands at one moment."""

    scores: Scores
    bands: Bands
    grade: Grade


class EventReference(Frozen):
    """An event, by its identity."""

    source: str = Field(description="The event's source.")
    id: str = Field(description="The event's id within its source.")
    type: str = Field(description="Engagement type.")
    occurred_at: AwareDatetime = Field(description="When it happened.")


class RecordedEvent(EventReference):
    """An event that now counts for a lead, with what it carried."""

    received_at: AwareDatetime = Field(description="When ingest received it.")
    properties: dict[str, Json] = Field(description="Facts about the event.")


class LedgerEntry(Frozen):
    """One reason for a score. The entries of a score add up to it exactly, before rounding."""

    kind: Literal["rule", "attribute", "adjustment", "group_clamp", "score_clamp", "component"] = Field(
        description="What gave or withheld the points: `*_clamp` is what a cap withheld or a floor lifted."
    )
    name: str | None = Field(description="Rule, group or component; null for adjustments and the score's clamp.")
    worth: float = Field(description="Points it is worth now, after decay; negative where it takes away.")
    points: float | None = Field(description="Points of one occurrence as the rule states them, or the weight.")
    counted: int | None = Field(description="Occurrences that count.")
    undecayed: float | None = Field(description="What they were worth when they happened.")
    half_life_seconds: float | None = Field(description="How it ages; null: not at all.")
    expires_at: AwareDatetime | None = Field(description="When the next part of it expires.")
    latest: EventReference | None = Field(description="The newest event that contributed.")
    reason: str = Field(description="The same in words for people.")
    withheld: int = Field(0, description="Occurrences that do not count, because the rule's limit withholds them.")
    withheld_worth: float = Field(0.0, description="Points that those would be worth now; no part of the score.")
    earliest_at: AwareDatetime | None = Field(
        None, description="When the oldest of the occurrences that count happened; null where that is not kept."
    )


class ThresholdPosition(Frozen):
    """Where the lead stands to a threshold; whether it is *inside* depends on the past (hysteresis)."""

    position: Literal["reached", "between", "below"] = Field(
        description="`reached`: at or above `enter` (or grade among those); `below`: under `exit`."
    )
    score: float | None = Field(description="The score compared; null for a threshold on grades.")
    enter: float | None = Field(description="Level that enters; null for a threshold on grades.")
    exit: float | None = Field(description="Level below which it is left; null for grades.")
    cooldown_seconds: float | None = Field(description="No second entering is emitted within this time.")


class Forecast(Frozen):
    """What happens if the lead stays silent."""

    curve: Curve = Field(description="Enough to compute every score at any later moment.")
    changes_at: AwareDatetime | None = Field(
        description="When a band, the grade or a threshold position next changes by itself; null: never."
    )
    becomes: Standing | None = Field(description="The standing at that moment.")


class ScoreChange(Frozen):
    """Where a lead stands now, where it stood, and why."""

    lead: LeadReference
    sequence: Sequence
    model: str = Field(description="The model's name.")
    model_version: int = Field(description="The published version.")
    at: AwareDatetime = Field(description="The moment for which everything here holds.")
    current: Standing
    previous: Standing | None = Field(description="As last published; null for a new lead.")
    cause: Cause = Field(description="What made it change.")
    events: tuple[EventReference, ...] = Field(description="The events that caused it, if events did.")
    ledger: dict[str, tuple[LedgerEntry, ...]] = Field(description="Per score, the reasons.")
    thresholds: dict[str, ThresholdPosition] = Field(description="Position to each threshold of the model.")
    forecast: Forecast
    attributes: dict[str, Json] = Field(description="All explicit facts about the lead as they stand.")


class EventsRecorded(Frozen):
    """Events that now count for a lead, whether or not any rule gives points for them."""

    lead: LeadReference
    sequence: Sequence
    events: tuple[RecordedEvent, ...] = Field(description="In the order of happening.")
    attributes: dict[str, Json] = Field(description="All explicit facts about the lead as they stand.")


class Merge(Frozen):
    """Two leads turned out to be one."""

    lead: LeadReference = Field(description="The survivor.")
    sequence: Sequence
    absorbed: str = Field(description="Id of the lead that is no more; its history is the survivor's now.")


class Unmerge(Frozen):
    """Two leads that had been taken for one are two again; each of them is told so."""

    lead: LeadReference = Field(description="The lead, with the names that are its own now.")
    sequence: Sequence
    other: str = Field(description="Id of the lead that it is not.")
    role: Literal["restored", "survivor"] = Field(
        description="`restored`: it had been absorbed and is back; `survivor`: it had absorbed the other."
    )
    actor: str = Field(description="Who decided so.")
    reason: str = Field(description="Why.")


class Erasure(Frozen):
    """A lead was erased. Nobody says any more who it was."""

    lead: LeadReference = Field(description="The lead by its id alone; every name of it is gone.")
    sequence: Sequence
    absorbed: tuple[str, ...] = Field(description="Ids of leads that had become part of it, and are erased with it.")


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
