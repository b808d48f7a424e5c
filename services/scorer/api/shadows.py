"""The API of the shadow: score a second version beside the active one, and see how far they are apart."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from services.scorer.api.models import Decision, Version, who
from services.scorer.domain.what_if.shadow import Reason
from services.scorer.models import versions
from services.scorer.models.shadow_runs import ShadowRun
from services.scorer.models.versions import ModelBook
from services.scorer.shadows import report as shadow_report
from services.scorer.shadows.report import Mover, Report
from services.scorer.shadows.repository import Spread
from shared.access.guard import require
from shared.access.keyring import KeyRing
from shared.access.principal import Principal, Scope
from shared.events.scores import Standing
from shared.http.problems import problem_responses
from shared.service import Context

Movers = Annotated[int, Query(ge=0, le=100, description="How many of the leads farthest apart are shown.")]


class Started(BaseModel):
    """A version that is scored in the shadow."""

    version: int
    started_at: datetime
    started_by: str = Field(description="Key, or user of the command line.")
    reason: str


class Distance(BaseModel):
    """How far a score is from itself under the other version."""

    score: str
    leads: int = Field(description="Leads compared.")
    differing: int = Field(description="Those of them of which the rounded score differs.")
    mean_absolute_difference: float = Field(description="Over all leads compared, in points.")
    largest_difference: float


class ChangedBand(BaseModel):
    """Leads that stand in one band now, and in another under the shadow."""

    score: str
    active: str | None
    shadow: str | None
    leads: int


class ChangedGrade(BaseModel):
    """Leads of one grade now, and of another under the shadow."""

    active: str | None
    shadow: str | None
    leads: int


class ChangedPosition(BaseModel):
    """Leads with one position to a threshold now, and another under the shadow."""

    threshold: str
    active: str | None
    shadow: str | None
    leads: int


class MoverReason(BaseModel):
    """An entry of the ledger whose worth differs."""

    score: str
    kind: str = Field(description="As in the ledger: rule, attribute, adjustment, component, or a clamp.")
    name: str | None
    active: float = Field(description="Points under the active version.")
    shadow: float = Field(description="Points under the shadow.")


class MovingLead(BaseModel):
    """A lead that the two versions see far apart."""

    lead_id: UUID
    emails: list[str]
    at: datetime = Field(description="The moment for which both standings hold.")
    active: Standing
    shadow: Standing
    reasons: list[MoverReason] = Field(description="What makes the difference, the most first.")


class ShadowReport(Started):
    """The version in the shadow against the active one."""

    active_version: int
    leads: int = Field(description="Leads of the workspace.")
    compared: int = Field(description="Those compared; the others are yet to be reached.")
    alike: int = Field(description="Compared leads with the same bands, grade and threshold positions.")
    scores: list[Distance]
    bands: list[ChangedBand] = Field(description="The commonest first.")
    grades: list[ChangedGrade] = Field(description="The commonest first.")
    thresholds: list[ChangedPosition] = Field(
        description="The commonest first. A threshold that a version does not have is `below`."
    )
    movers: list[MovingLead] = Field(description="Farthest apart first.")


def shadows_router(context: Context, keys: KeyRing) -> APIRouter:
    """Routes under /v1/models/{version}/shadow."""
    router = APIRouter(
        prefix="/v1/models/{version:int}/shadow",
        tags=["models"],
        responses=problem_responses(401, 403, 404, 422, 429, 503),
    )
    reader = Annotated[Principal, Depends(require(Scope.LEADS_READ, keys))]
    writer = Annotated[Principal, Depends(require(Scope.MODELS_WRITE, keys))]
    book = ModelBook()

    @router.post("", summary="Score a version in the shadow of the active one", responses=problem_responses(400, 409))
    async def start(version: Version, body: Decision, caller: writer) -> Started:
        return _started(
            await versions.start_shadow(
                context.database, context.clock, caller.workspace, version, by=who(caller), reason=body.reason
            )
        )

    @router.delete("", status_code=204, summary="Score it in the shadow no more")
    async def stop(version: Version, caller: writer) -> None:
        await versions.stop_shadow(context.database, context.clock, caller.workspace, version, by=who(caller))

    @router.get("", summary="How far it is from the active version")
    async def report(version: Version, caller: reader, movers: Movers = 20) -> ShadowReport:
        return as_answer(
            await shadow_report.report(
                context.database, context.clock, book, caller.workspace, version, movers=movers
            )
        )

    return router


def as_answer(report: Report) -> ShadowReport:
    """The report as it travels."""
    return ShadowReport(
        **_started(report.run).model_dump(),
        active_version=report.active_version,
        leads=report.leads,
        compared=report.compared,
        alike=report.alike,
        scores=[_distance(each) for each in report.scores],
        bands=[
            ChangedBand(score=each.name, active=each.active, shadow=each.shadow, leads=each.leads)
            for each in report.bands
        ],
        grades=[ChangedGrade(active=each.active, shadow=each.shadow, leads=each.leads) for each in report.grades],
        thresholds=[
            ChangedPosition(threshold=each.name, active=each.active, shadow=each.shadow, leads=each.leads)
            for each in report.thresholds
        ],
        movers=[_mover(each) for each in report.movers],
    )


def _started(run: ShadowRun) -> Started:
    return Started(version=run.version, started_at=run.started_at, started_by=run.started_by, reason=run.reason)


def _distance(spread: Spread) -> Distance:
    return Distance(
        score=spread.name,
        leads=spread.leads,
        differing=spread.differing,
        mean_absolute_difference=round(spread.mean, 4),
        largest_difference=round(spread.largest, 2),
    )


def _mover(mover: Mover) -> MovingLead:
    return MovingLead(
        lead_id=UUID(mover.lead.id),
        emails=list(mover.lead.emails),
        at=mover.at,
        active=mover.active,
        shadow=mover.shadow,
        reasons=[_reason(reason) for reason in mover.reasons],
    )


def _reason(reason: Reason) -> MoverReason:
    return MoverReason(**reason._asdict())
