"""Leads by stage and band, and deals by outcome, for the metrics: scans, so they are made in the background."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.pipeline import metrics
from shared.db.reach import ALL_WORKSPACES
from shared.observability.metrics import OTHER
from shared.periodic import every
from shared.service import Context, Task

_STAGES = text("SELECT coalesce(stage, 'none'), count(*) FROM pipeline.hot_row GROUP BY 1 ORDER BY 2 DESC, 1")
_BANDS = text("""
    SELECT score, coalesce(band, 'none'), count(*) FROM pipeline.hot_row
    CROSS JOIN LATERAL unnest(scores, bands) AS item (score, band) GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
""")
_DEALS = text("""
    SELECT coalesce(outcome, 'open') AS outcome, count(*) AS number FROM pipeline.lead_report
    WHERE entered_at IS NOT NULL GROUP BY 1
""")
_MOST_STAGES = 30
_MOST_BANDS = 60


@dataclass(frozen=True, slots=True)
class Census:
    """Leads by stage, by score and band, and by what became of them; the rarest are put together as `other`."""

    stages: dict[tuple[str, ...], int]
    bands: dict[tuple[str, ...], int]
    deals: dict[str, int]


def census_task(context: Context) -> Task:
    """Takes the census again and again and shows it."""

    async def take() -> int:
        async with context.database.transaction(ALL_WORKSPACES) as connection:
            show(await census(connection))
        return 0

    return every(context.settings.metrics_seconds, take, name="census of leads")


async def census(connection: AsyncConnection) -> Census:
    """What is there now, in all workspaces together."""
    stages = [((row[0],), row[1]) for row in await connection.execute(_STAGES)]
    bands = [((row[0], row[1]), row[2]) for row in await connection.execute(_BANDS)]
    deals = {row.outcome: row.number for row in await connection.execute(_DEALS)}
    return Census(_most(stages, _MOST_STAGES), _most(bands, _MOST_BANDS), deals)


def show(found: Census) -> None:
    """Let the metrics tell it; a stage or band that nobody is in any more is no series any more."""
    metrics.LEADS.clear()
    for (stage,), number in found.stages.items():
        metrics.LEADS.labels(stage).set(number)
    metrics.LEADS_IN_BAND.clear()
    for (score, band), number in found.bands.items():
        metrics.LEADS_IN_BAND.labels(score, band).set(number)
    for outcome in metrics.DEAL_OUTCOMES:
        metrics.DEALS.labels(outcome).set(found.deals.get(outcome, 0))


def _most(counted: Sequence[tuple[tuple[str, ...], int]], limit: int) -> dict[tuple[str, ...], int]:
    """The first `limit`, which come by size; the rest is one of its own."""
    kept = dict(counted[:limit])
    if rest := sum(number for _, number in counted[limit:]):
        others = tuple(OTHER for _ in counted[0][0])
        kept[others] = kept.get(others, 0) + rest
    return kept
