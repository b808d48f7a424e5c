"""What the pipeline says about thresholds: facts with their exact moment."""

from typing import Literal

from pydantic import AwareDatetime, Field

from shared.events.envelope import Frozen, LeadReference, Message, Sequence
from shared.events.scores import Cause, EventReference, Standing


class ThresholdCrossing(Frozen):
    """A lead entered or left a threshold."""

    lead: LeadReference
    sequence: Sequence
    threshold: str = Field(description="Name in the scoring model.")
    at: AwareDatetime = Field(description="The moment of the crossing.")
    score: float | None = Field(description="The score that crossed; null for a threshold on grades.")
    level: float | None = Field(description="The level crossed: `enter` or `exit`; null for grades.")
    cause: Cause = Field(description="`time`: decay or expiry did it.")
    events: tuple[EventReference, ...] = Field(description="The events that caused it, if events did.")
    standing: Standing
    model: str = Field(description="The model's name.")
    model_version: int = Field(description="The published version.")


class LeadThresholdEntered(Message):
    """A lead entered a threshold."""

    type: Literal["lead.threshold_entered"] = Field("lead.threshold_entered", description="Message type.")
    data: ThresholdCrossing


class LeadThresholdLeft(Message):
    """A lead left a threshold."""

    type: Literal["lead.threshold_left"] = Field("lead.threshold_left", description="Message type.")
    data: ThresholdCrossing
