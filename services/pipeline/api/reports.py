"""The API of reports: what is asked of all leads of a workspace together, as JSON or as CSV."""

import csv
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from io import StringIO
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from services.pipeline.domain.reports.forecast import ForecastReport
from services.pipeline.domain.reports.funnel import FunnelReport
from services.pipeline.domain.reports.selection import Selection, dimension_of
from services.pipeline.domain.reports.sources import SourcesReport
from services.pipeline.domain.reports.stalled import StalledReport
from services.pipeline.domain.reports.tables import Report, csv_rows, tables_of
from services.pipeline.domain.reports.velocity import VelocityReport
from services.pipeline.reports.queries import Overdue
from services.pipeline.reports.reading import Reports
from shared.access.guard import require
from shared.access.keyring import KeyRing
from shared.access.principal import Principal, Scope
from shared.http.cursors import cursor_of, place_of
from shared.http.inputs import PlainText
from shared.http.problems import problem_responses
from shared.service import Context

_CSV = "text/csv"
Text = Annotated[PlainText, Field(min_length=1, max_length=200)]
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def _written_as_day(value: object) -> object:
    """A number would be taken for seconds since 1970."""
    if isinstance(value, str) and not _DAY.fullmatch(value):
        raise ValueError("must be a day such as 2026-03-02")
    return value


Day = Annotated[date | None, BeforeValidator(_written_as_day)]
Accept = Annotated[str | None, Header(max_length=1_000, description="`text/csv` for CSV.")]


class ReportQuery(BaseModel):
    """Which leads to count, and what to group them by."""

    model_config = ConfigDict(extra="forbid")

    since: Day = Field(None, alias="from", description="First day, UTC, of the leads' first event or entry.")
    until: Day = Field(None, description="The day after the last.")
    basis: Literal["seen", "entered"] = Field(
        "seen", description="The day that counts: of the first event heard of, or of the entry into the pipeline."
    )
    by: Text | None = Field(
        None,
        description="`source`, `medium`, `campaign` (of the first touch; `last_source` ... of the last), `owner`, "
        "`stage`, `model`, `currency`, or `attributes.NAME` for an attribute or a field of the deal.",
    )
    format: Literal["json", "csv"] | None = Field(None, description="Instead of the header Accept.")

    def selection(self, workspace: str) -> Selection:
        """The same as the reports know it. Raises InvalidInput for a `by` that there is not."""
        return Selection(workspace, self.since, self.until, self.basis, dimension_of(self.by))


class FunnelQuery(ReportQuery):
    """A funnel, perhaps for each week or month apart."""

    cohort: Literal["week", "month"] | None = Field(None, description="Count leads of a week or month apart.")


class VelocityQuery(ReportQuery):
    """Velocity of deals."""

    stage: Text | None = Field(None, description="A deal begins on coming to this stage; else with the pipeline.")
    currency: Text | None = Field(None, description="Of amounts; default: what most amounts are in.")


class SourcesQuery(ReportQuery):
    """Sources, where scoring is to reach a threshold."""

    threshold: Text | None = Field(None, description="What a lead that scores has reached; default: any.")


class StalledQuery(ReportQuery):
    """Who is stuck."""

    limit: int = Field(50, ge=1, le=1000, description="Leads per page.")
    cursor: str | None = Field(None, max_length=512, description="`next_cursor` of the page before.")


class ForecastQuery(ReportQuery):
    """The forecast of amounts in one currency."""

    currency: Text | None = Field(None, description="Of amounts; default: what most amounts are in.")


def reports_router(context: Context, keys: KeyRing) -> APIRouter:
    """Routes under /v1/reports."""
    router = APIRouter(
        prefix="/v1/reports",
        tags=["reports"],
        responses={**problem_responses(400, 401, 403, 422, 429, 503), 200: _TWO_FORMS},
    )
    reader = Annotated[Principal, Depends(require(Scope.LEADS_READ, keys))]
    reports = Reports(context.database, context.clock)

    @router.get("/funnel", summary="How far leads come, and how long it takes", response_model=FunnelReport)
    async def funnel(caller: reader, query: Annotated[FunnelQuery, Query()], accept: Accept = None) -> Any:
        return _answer(await reports.funnel(query.selection(caller.workspace), cohort=query.cohort), query, accept)

    @router.get("/velocity", summary="What the open deals bring per day", response_model=VelocityReport)
    async def velocity(caller: reader, query: Annotated[VelocityQuery, Query()], accept: Accept = None) -> Any:
        found = await reports.velocity(query.selection(caller.workspace), stage=query.stage, currency=query.currency)
        return _answer(found, query, accept)

    @router.get("/sources", summary="What brings leads that score, qualify and win", response_model=SourcesReport)
    async def sources(caller: reader, query: Annotated[SourcesQuery, Query()], accept: Accept = None) -> Any:
        found = await reports.sources(query.selection(caller.workspace), threshold=query.threshold)
        return _answer(found, query, accept)

    @router.get(
        "/stalled",
        summary="Who is stuck, and where",
        description="As CSV it is the list of leads beyond due.",
        response_model=StalledReport,
    )
    async def stalled(caller: reader, query: Annotated[StalledQuery, Query()], accept: Accept = None) -> Any:
        found, more = await reports.stalled(
            query.selection(caller.workspace), limit=query.limit, after=place_of(query.cursor, Overdue)
        )
        return _answer(replace(found, next_cursor=cursor_of(more) if more else None), query, accept)

    @router.get("/forecast", summary="What the open deals are worth", response_model=ForecastReport)
    async def forecast(caller: reader, query: Annotated[ForecastQuery, Query()], accept: Accept = None) -> Any:
        return _answer(
            await reports.forecast(query.selection(caller.workspace), currency=query.currency), query, accept
        )

    return router


_TWO_FORMS: dict[str, Any] = {"description": "The report.", "content": {_CSV: {"schema": {"type": "string"}}}}


def csv_of(report: Report) -> str:
    """The report as CSV: its main table, of who is stuck the leads, of sources both touches."""
    tables = tables_of(report)
    match report:
        case StalledReport():
            rows = csv_rows(tables[2])
        case SourcesReport():
            rows = _together(
                [[table.title, *row] for table in tables for row in csv_rows(table)], len(tables[0].rows)
            )
        case _:
            rows = csv_rows(tables[0])
    sink = StringIO(newline="")
    csv.writer(sink).writerows(rows)
    return sink.getvalue()


def _together(rows: list[list[str]], first: int) -> list[list[str]]:
    """Tables below each other with the heading of the first."""
    heading = ["touch", "group", *rows[0][2:]]
    return [heading, *rows[1 : first + 1], *rows[first + 2 :]]


def _answer(report: Report, query: ReportQuery, accept: str | None) -> Report | Response:
    wanted = query.format or ("csv" if _prefers_csv(accept) else "json")
    if wanted == "json":
        return report
    return Response(csv_of(report), media_type=f"{_CSV}; charset=utf-8; header=present")


def _prefers_csv(accept: str | None) -> bool:
    """Whether CSV is named before JSON and before anything else that JSON is."""
    named: Sequence[str] = [part.partition(";")[0].strip().lower() for part in (accept or "").split(",")]
    return next((part for part in named if part in {_CSV, "application/json", "*/*"}), "") == _CSV
