"""What the pipeline says about qualification and stages."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from shared.events.envelope import Frozen, LeadReference, Message, Sequence
from shared.events.legible import Moment
from shared.events.part import Part


class Evidence(Part, frozen=True, gc=False):
    """How one criterion stands, and on whose word."""

    criterion: Annotated[str, Field(description="Name in the pipeline document.")]
    state: Annotated[Literal["unknown", "met", "not_met"], Field(description="What is known of it.")]
    source: Annotated[Literal["rule", "person", "crm"] | None, Field(description="Who says so; null when unknown.")]
    actor: Annotated[str | None, Field(description="The person or system that confirmed or refuted it.")]
    note: Annotated[str | None, Field(description="In their words.")]
    at: Annotated[Moment | None, Field(description="Since when it holds.")]
    expires_at: Annotated[Moment | None, Field(description="When it stops being evidence.")]


class Qualification(Frozen):
    """Whether a lead is ready, and why."""

    lead: LeadReference
    sequence: Sequence
    at: AwareDatetime = Field(description="The moment for which it holds.")
    state: Literal["qualified", "disqualified", "open"] = Field(description="The verdict.")
    previous: Literal["qualified", "disqualified", "open"] = Field(description="The verdict before.")
    reason: str | None = Field(description="Why disqualified, or which evidence has expired.")
    framework: str | None = Field(description="Name of the framework, BANT say.")
    evidence: tuple[Evidence, ...] = Field(description="Every criterion of the document.")
    pipeline: str = Field(description="The pipeline's name.")
    pipeline_version: int = Field(description="The published version.")


class StageChange(Frozen):
    """A lead stands in another stage."""

    lead: LeadReference
    sequence: Sequence
    at: AwareDatetime = Field(description="When it moved.")
    from_stage: str | None = Field(description="Null for a lead's first stage.")
    to_stage: str = Field(description="Where it stands now.")
    terminal: Literal["won", "lost"] | None = Field(description="Set when the stage ends the pursuit.")
    by: Literal["rule", "crm", "person"] = Field(description="Who asked for the move.")
    actor: str | None = Field(description="The person or system, if not a rule.")
    why: str = Field(description="The rule's condition, or the reason given.")
    override: bool = Field(description="Whether the actor passed the document's guards, for that reason.")
    seconds_in_stage: float | None = Field(description="Time spent in the stage left.")
    due_at: AwareDatetime | None = Field(description="When the lead counts as stalled here.")
    pipeline: str = Field(description="The pipeline's name.")
    pipeline_version: int = Field(description="The published version.")


class Stall(Frozen):
    """A lead has stayed past the due time of its stage."""

    lead: LeadReference
    sequence: Sequence
    stage: str = Field(description="Where it stands.")
    since: AwareDatetime = Field(description="When it came there.")
    due_at: AwareDatetime = Field(description="When it was due to leave.")
    pipeline: str = Field(description="The pipeline's name.")
    pipeline_version: int = Field(description="The published version.")


class LeadQualified(Message):
    """A lead meets the criteria."""

    type: Literal["lead.qualified"] = Field("lead.qualified", description="Message type.")
    data: Qualification


class LeadDisqualified(Message):
    """A lead is ruled out, with the reason."""

    type: Literal["lead.disqualified"] = Field("lead.disqualified", description="Message type.")
    data: Qualification


class LeadQualificationReopened(Message):
    """A lead is neither qualified nor ruled out any more: evidence expired, was refuted, or is another now."""

    type: Literal["lead.qualification_reopened"] = Field("lead.qualification_reopened", description="Message type.")
    data: Qualification


class LeadStageChanged(Message):
    """A lead moved."""

    type: Literal["lead.stage_changed"] = Field("lead.stage_changed", description="Message type.")
    data: StageChange


class LeadStalled(Message):
    """A lead has stayed too long."""

    type: Literal["lead.stalled"] = Field("lead.stalled", description="Message type.")
    data: Stall
