"""Export and erasure of a lead, as they travel."""

from datetime import datetime

from pydantic import BaseModel, Field

from services.scorer.api.lead_schemas import ScoreExplanation, score_explanation
from services.scorer.erasure.exporting import Holding, Joined, LeadName
from services.scorer.explaining import Explanation
from shared.events.engagement import EngagementEvent
from shared.sealing.erasures import PARTS, Erasure, Part


class ExportedEvent(BaseModel):
    """An event as it was accepted."""

    retracted: bool = Field(description="Whether it counts no more.")
    event: EngagementEvent


class ScorerExport(BaseModel):
    """Everything that the scorer holds about a lead."""

    created_at: datetime
    absorbed: list[str] = Field(description="Ids of leads that have become part of it.")
    identities: list[LeadName] = Field(description="Every name of it, in the order of learning them.")
    merges: list[Joined]
    standing: ScoreExplanation = Field(description="Scores, bands, thresholds, reasons and attributes, now.")
    events: list[ExportedEvent] = Field(description="In the order of happening.")


class ErasureView(BaseModel):
    """An erasure, and how far it has come."""

    id: str
    lead_id: str
    leads: list[str] = Field(description="The lead, and those that had become part of it.")
    asked_at: datetime
    asked_by: str = Field(description="The id of the API key, or `command`.")
    missing: list[Part] = Field(description="Services that have yet to do their part; it takes seconds.")
    completed_at: datetime | None


def scorer_export(explanation: Explanation, held: Holding) -> ScorerExport:
    """An export as it travels."""
    return ScorerExport(
        created_at=held.created_at,
        absorbed=[str(lead) for lead in held.absorbed],
        identities=list(held.names),
        merges=list(held.merges),
        standing=score_explanation(explanation),
        events=[ExportedEvent(retracted=one.voided, event=one.event) for one in held.events],
    )


def erasure_view(erasure: Erasure) -> ErasureView:
    """An erasure as it travels."""
    return ErasureView(
        id=str(erasure.id),
        lead_id=str(erasure.lead_id),
        leads=[str(lead) for lead in erasure.leads],
        asked_at=erasure.asked_at,
        asked_by=erasure.asked_by,
        missing=[part for part in PARTS if part not in erasure.done],
        completed_at=erasure.completed_at,
    )
