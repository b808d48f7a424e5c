"""What another version of a pipeline would do to the stored leads: page by page, so that a million are no burden."""

from dataclasses import dataclass
from datetime import datetime

from services.pipeline.documents.versions import ActivePipeline, PipelineBook
from services.pipeline.domain.document import Pipeline
from services.pipeline.domain.impact import Impact, Summary, impact
from services.pipeline.leads import repository
from shared.db.engine import Database

_AT_ONCE = 500
_MOST_LISTED = 200


@dataclass(frozen=True, slots=True)
class ImpactPage:
    """Leads looked at, counted; `touched` are up to 200 of those that the version makes a difference to.

    `last` is the lead that the next page begins after, None at the end.
    """

    summary: Summary
    touched: tuple[Impact, ...]
    last: str | None


async def impact_page(
    database: Database, workspace: str, pipeline: Pipeline, *, now: datetime, after: str | None, limit: int
) -> ImpactPage:
    """Look at up to `limit` leads in the order of their ids; nothing is changed."""
    summary, touched = Summary(), list[Impact]()
    looked_at = 0
    book = PipelineBook()
    while looked_at < limit:
        wanted = min(_AT_ONCE, limit - looked_at)
        async with database.transaction(workspace) as connection:
            active = (await book.active(connection, [workspace])).get(workspace)
            leads = await repository.leads_after(connection, workspace, after, wanted)
        found = [item for lead in leads if (item := impact(lead, pipeline, _pipeline_of(active), now))]
        summary = summary.with_impacts(found)
        touched += [item for item in found if item.is_touched][: _MOST_LISTED - len(touched)]
        looked_at += len(leads)
        if len(leads) < wanted:
            return ImpactPage(summary, tuple(touched), None)
        after = leads[-1].id
    return ImpactPage(summary, tuple(touched), after)


def _pipeline_of(active: ActivePipeline | None) -> Pipeline | None:
    return active.pipeline if active is not None else None
