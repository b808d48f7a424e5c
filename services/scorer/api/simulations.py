"""The API of simulations: ask what another model would change, and fetch the answer when it is there."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from services.scorer.api.lead_schemas import Moment
from services.scorer.domain.what_if.simulation import MOST_LISTED, MOST_MOVERS
from services.scorer.models import versions
from services.scorer.what_if.jobs import SIMULATED, WANTED, Simulations
from services.scorer.what_if.repository import Job, Status
from services.scorer.what_if.simulating import (
    DEFAULT_LISTED,
    DEFAULT_MOVERS,
    DEFAULT_WEEKS,
    MOST_WEEKS,
    ModelName,
    Side,
    Simulated,
    Wanted,
    published_side,
)
from shared.access.guard import require
from shared.access.keyring import KeyRing
from shared.access.principal import Principal, Scope
from shared.errors import InvalidInput
from shared.http.inputs import JsonDocument, PlainText
from shared.http.problems import problem_responses
from shared.service import Context

_Version = Annotated[int, Field(ge=1, le=2**31 - 1)]


class SimulationRequest(BaseModel):
    """Another model, as a document, a draft or a published version (one of the three), and what to ask of it."""

    model_config = ConfigDict(extra="forbid")

    document: JsonDocument | None = Field(None, description="A model document.")
    draft: Annotated[PlainText, Field(max_length=200)] | None = Field(None, description="Name of a draft.")
    version: _Version | None = Field(None, description="A published version.")
    against: _Version | None = Field(None, description="The version to compare with; default: the active one.")
    at: Moment | None = Field(
        None, description="As of this moment: what happened later does not count. Default: when it is done."
    )
    weeks: int = Field(
        DEFAULT_WEEKS, ge=1, le=MOST_WEEKS, description="Weeks of enterings, that of the moment included."
    )
    score: Annotated[PlainText, Field(max_length=200)] | None = Field(
        None, description="Score by which movers are found; default: the one that matters most."
    )
    leads: int = Field(
        DEFAULT_LISTED, ge=0, le=MOST_LISTED, description="Leads listed whose band or grade changes, at most."
    )
    movers: int = Field(DEFAULT_MOVERS, ge=0, le=MOST_MOVERS, description="Biggest movers listed, at most.")


class SimulationSummary(BaseModel):
    """A simulation that was asked for."""

    id: UUID
    status: Status = Field(description="`waiting`, `running`, `done` (with a result) or `failed` (with an error).")
    before: ModelName = Field(description="The model compared with.")
    after: ModelName = Field(description="The model asked about.")
    weeks: int
    requested_at: datetime
    requested_by: str
    started_at: datetime | None = Field(description="When it was begun, the last time if a process died over it.")
    finished_at: datetime | None
    done: int = Field(description="Leads compared so far.")
    leads: int | None = Field(description="Leads in all; null before they are counted.")
    attempts: int = Field(description="How often it was begun.")
    error: str | None = Field(description="Why it failed.")


class SimulationDetail(SimulationSummary):
    """A simulation with its result."""

    result: Simulated | None = Field(description="null until it is done.")


def simulations_router(context: Context, keys: KeyRing, simulations: Simulations) -> APIRouter:
    """Routes of simulations under /v1/models."""
    router = APIRouter(prefix="/v1/models", tags=["models"], responses=problem_responses(401, 403, 429, 503))
    reader = Annotated[Principal, Depends(require(Scope.LEADS_READ, keys))]
    writer = Annotated[Principal, Depends(require(Scope.MODELS_WRITE, keys, cost="dear"))]

    @router.post(
        "/simulate",
        status_code=202,
        summary="Ask what another model would change",
        responses=problem_responses(400, 404, 409, 422),
    )
    async def simulate(body: SimulationRequest, caller: writer, response: Response) -> SimulationSummary:
        wanted = Wanted(
            before=await _against(context, caller.workspace, body.against),
            after=await _side(context, caller.workspace, body),
            at=body.at,
            score=body.score,
            weeks=body.weeks,
            listed=body.leads,
            movers=body.movers,
        )
        job = await simulations.ask(caller.workspace, wanted, by=f"key {caller.key_id}")
        response.headers["Location"] = f"/v1/models/simulations/{job.id}"
        return _summary(job)

    @router.get("/simulations", summary="The newest simulations, without their results")
    async def list_simulations(caller: reader) -> list[SimulationSummary]:
        return [_summary(job) for job in await simulations.list(caller.workspace)]

    @router.get(
        "/simulations/{simulation_id}",
        summary="How far a simulation is, and its result",
        responses=problem_responses(404, 422),
    )
    async def get_simulation(simulation_id: UUID, caller: reader) -> SimulationDetail:
        job = await simulations.find(caller.workspace, simulation_id)
        result = None if job.result is None else SIMULATED.validate_python(job.result)
        return SimulationDetail(**dict(_summary(job)), result=result)

    return router


async def _against(context: Context, workspace: str, version: int | None) -> Side:
    with _asked_for_as("against"):
        return await published_side(context.database, workspace, version)


async def _side(context: Context, workspace: str, body: SimulationRequest) -> Side:
    if [body.document, body.draft, body.version].count(None) != 2:
        raise InvalidInput("give one of document, draft and version", field="document")
    if body.document is not None:
        return Side(body.document, None)
    if body.draft is not None:
        with _asked_for_as("draft"):
            return Side((await versions.draft(context.database, workspace, body.draft)).document, None)
    return await published_side(context.database, workspace, body.version)


@contextmanager
def _asked_for_as(field: str) -> Iterator[None]:
    """What is not there is named by the field of the request."""
    try:
        yield
    except InvalidInput as error:
        raise InvalidInput(str(error), code=error.code, field=field) from error


def _summary(job: Job) -> SimulationSummary:
    wanted = WANTED.validate_python(job.request)
    return SimulationSummary(
        id=job.id,
        status=job.status,
        before=_name(wanted.before),
        after=_name(wanted.after),
        weeks=wanted.weeks,
        requested_at=job.requested_at,
        requested_by=job.requested_by,
        started_at=job.started_at,
        finished_at=job.finished_at,
        done=job.done,
        leads=job.leads,
        attempts=job.attempts,
        error=job.error,
    )


def _name(side: Side) -> ModelName:
    name = side.document.get("model") if isinstance(side.document, dict) else None
    return ModelName(name if isinstance(name, str) else "", side.version)
