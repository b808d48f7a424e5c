"""What the metrics tell of the scorer's durable state, asked for in the background and never by a scrape."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.scorer import metrics
from services.scorer.handlers import GROUP
from shared.db.reach import ALL_WORKSPACES
from shared.events.topics import ENGAGEMENT_EVENTS
from shared.log import handled
from shared.log.handled import Balance
from shared.observability.metrics import OTHER
from shared.periodic import every
from shared.service import Context, Task

_SIMULATIONS = text("SELECT status, count(*) AS number FROM scorer.simulation GROUP BY 1")
_REBUILDS = text("""
    SELECT count(DISTINCT rebuild.id) AS running, coalesce(sum(done), 0) AS done,
        coalesce(sum(greatest(leads - done, 0)), 0) AS to_do
    FROM scorer.rebuild LEFT JOIN scorer.rebuild_part ON rebuild_id = rebuild.id WHERE ended_at IS NULL
""")
_MODELS = text("""
    SELECT name, CAST(version AS text) AS version, count(*) AS workspaces FROM (
        SELECT DISTINCT ON (workspace) workspace, version FROM scorer.activation ORDER BY workspace, id DESC
    ) AS active JOIN scorer.model USING (workspace, version) GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 DESC
""")
_MOST_MODELS = 30
_LAST_REBUILD = text("""
    SELECT extract(epoch FROM ended_at) AS ended_at,
        (SELECT coalesce(sum(repaired), 0) FROM scorer.rebuild_part WHERE rebuild_id = rebuild.id) AS repaired
    FROM scorer.rebuild WHERE ended_at IS NOT NULL AND NOT abandoned ORDER BY rebuild.ended_at DESC LIMIT 1
""")


def observing_tasks(context: Context) -> dict[str, Task]:
    """What a scorer runs so that its metrics tell of the balance of events, of rebuilds and of simulations."""

    async def weigh() -> int:
        show_balance(await balance(context))
        return 0

    async def look() -> int:
        async with context.database.transaction(ALL_WORKSPACES) as connection:
            await show_recomputing(connection)
            await show_models(connection)
        return 0

    seconds = context.settings.metrics_seconds
    return {
        "balance of events": every(seconds, weigh, name="balance of events"),
        "recomputing": every(seconds, look, name="recomputing"),
    }


async def balance(context: Context) -> Balance:
    """What became of every event that the log has taken. Raises TransientError."""
    topic = ENGAGEMENT_EVENTS.name
    before = await context.log.extent(topic)
    group = await context.log.group(GROUP, [topic])
    async with context.database.transaction(ALL_WORKSPACES) as connection:
        books = await handled.books(connection, GROUP, topic)
    return handled.balance(before, group, books, await context.log.extent(topic))


def show_balance(found: Balance) -> None:
    """Let the metrics tell it."""
    for state, number in (
        ("accepted", found.accepted),
        ("scored", found.counted),
        ("deduplicated", found.repeated),
        ("dead_lettered", found.dead),
        ("in_flight", found.in_flight),
    ):
        metrics.RECONCILED.labels(state).set(number)
    metrics.RECONCILIATION_DIFFERENCE.set(found.difference)


async def show_recomputing(connection: AsyncConnection) -> None:
    """Let the metrics tell of rebuilds and simulations, whoever does them."""
    simulations = {row.status: row.number for row in await connection.execute(_SIMULATIONS)}
    for status in metrics.SIMULATION_STATES:
        metrics.SIMULATIONS.labels(status).set(simulations.get(status, 0))
    running = (await connection.execute(_REBUILDS)).one()
    metrics.REBUILDS_RUNNING.set(running.running)
    metrics.REBUILD_LEADS.labels("done").set(running.done)
    metrics.REBUILD_LEADS.labels("to_do").set(running.to_do)
    last = (await connection.execute(_LAST_REBUILD)).one_or_none()
    if last is not None:
        metrics.REBUILD_ENDED.set(float(last.ended_at))
        metrics.REBUILD_REPAIRED.set(last.repaired)


async def show_models(connection: AsyncConnection) -> None:
    """Let the metrics tell which models count; a version that counts for nobody any more is no series any more."""
    found = (await connection.execute(_MODELS)).all()
    metrics.MODEL_INFO.clear()
    for row in found[:_MOST_MODELS]:
        metrics.MODEL_INFO.labels(row.name, row.version).set(row.workspaces)
    if rest := found[_MOST_MODELS:]:
        metrics.MODEL_INFO.labels(OTHER, OTHER).set(sum(row.workspaces for row in rest))
