"""One workspace, from PostgreSQL: no metric says whose anything is. As a role that reads and sees nobody's names.

deploy/grafana/reader.sql makes the role; what is asked here is what it may read.
"""
# ruff: noqa: S608 - constants; Grafana quotes the one value that a person chooses

from typing import Final

from deploy.grafana.layout import POSTGRESQL, Board, Panel, Query, Row

_OURS: Final = "workspace = ${workspace:sqlstring}"
_OF_RECEIVERS: Final = f"JOIN pipeline.subscription ON subscription.id = subscription_id WHERE {_OURS}"


def _over_time(moment: str, metric: str, tables: str) -> tuple[Query, ...]:
    """How many rows of `tables` have their `moment` in each step, a series for each `metric`."""
    joined = "AND" if "WHERE" in tables else "WHERE"
    return (
        Query(
            f"SELECT $__timeGroupAlias({moment}, $__interval), {metric} AS metric, count(*) AS value FROM {tables} "
            f"{joined} $__timeFilter({moment}) GROUP BY 1, 2 ORDER BY 1, 2"
        ),
    )


def _counted(metric: str, tables: str) -> tuple[Query, ...]:
    """How many rows of `tables` there are of each `metric`, the most first."""
    return (
        Query(f"SELECT {metric} AS metric, count(*) AS value FROM {tables} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 30"),
    )


def _one(value: str, tables: str) -> tuple[Query, ...]:
    return (Query(f"SELECT {value} AS value FROM {tables}"),)


WORKSPACE = Board(
    "leadflow-workspace",
    "Workspace",
    "One workspace: its leads, what it is told, its receivers, what of its elements became no event.",
    (
        Row(
            "At a glance",
            (
                Panel(
                    "Leads",
                    "Leads that the pipeline knows.",
                    "none",
                    _one("count(*)", f"pipeline.hot_row WHERE {_OURS}"),
                    kind="stat",
                    width=4,
                ),
                Panel(
                    "Open deals",
                    "Leads in the pipeline that were neither won nor lost.",
                    "none",
                    _one(
                        "count(*)",
                        f"pipeline.lead_report WHERE {_OURS} AND entered_at IS NOT NULL AND outcome IS NULL",
                    ),
                    kind="stat",
                    width=4,
                ),
                Panel(
                    "Model that counts",
                    "The version that was activated last.",
                    "none",
                    _one(
                        "version",
                        f"scorer.activation WHERE {_OURS} ORDER BY id DESC LIMIT 1",
                    ),
                    kind="stat",
                    width=4,
                ),
                Panel(
                    "Oldest delivery",
                    "Age of the oldest delivery not yet made to an enabled receiver; it may be one that fails.",
                    "s",
                    _one(
                        "coalesce(extract(epoch FROM now() - min(delivery.created_at)), 0)",
                        f"pipeline.delivery {_OF_RECEIVERS} "
                        "AND delivery.state = 'pending' AND subscription.state = 'enabled'",
                    ),
                    kind="stat",
                    width=4,
                    warn=60,
                    bad=1800,
                    alerts=("DeliveriesWaitLong",),
                ),
                Panel(
                    "Parked elements",
                    "That became no event and wait for somebody to mend their source.",
                    "none",
                    _one("count(*)", f"ingest.parked WHERE {_OURS} AND state = 'parked'"),
                    kind="stat",
                    width=4,
                    warn=1,
                ),
                Panel(
                    "First key to end",
                    "Until the first key ends that works; far away if none does.",
                    "s",
                    _one(
                        "coalesce(extract(epoch FROM min(expires_at) - now()), 315360000)",
                        f"access.api_key WHERE {_OURS} AND revoked_at IS NULL AND expires_at > now()",
                    ),
                    kind="stat",
                    width=4,
                    warn=1_209_600,
                    bad=86_400,
                    alerts=("CredentialExpires",),
                ),
            ),
            height=4,
        ),
        Row(
            "Leads",
            (
                Panel(
                    "Leads, by stage",
                    "`none`: not in a pipeline.",
                    "none",
                    _counted("coalesce(stage, 'none')", f"pipeline.hot_row WHERE {_OURS}"),
                    kind="bargauge",
                ),
                Panel(
                    "Leads, by band",
                    "By the band of each score, as it was last told.",
                    "none",
                    _counted(
                        "score || ' ' || coalesce(band, 'none')",
                        "pipeline.hot_row CROSS JOIN LATERAL unnest(scores, bands) AS item (score, band) "
                        f"WHERE {_OURS}",
                    ),
                    kind="bargauge",
                ),
                Panel(
                    "Deals, by outcome",
                    "Leads that entered the pipeline, by what became of them.",
                    "none",
                    _counted(
                        "coalesce(outcome, 'open')", f"pipeline.lead_report WHERE {_OURS} AND entered_at IS NOT NULL"
                    ),
                    kind="bargauge",
                ),
                Panel(
                    "Told, by type",
                    "Messages of the feed: scores, thresholds, stages.",
                    "none",
                    _over_time("created_at", "type", f"pipeline.feed WHERE {_OURS}"),
                    width=12,
                    stacked=True,
                ),
                Panel(
                    "Entered the pipeline",
                    "Leads that got their first stage, by the source that brought them.",
                    "none",
                    _over_time("entered_at", "coalesce(source, 'unknown')", f"pipeline.lead_report WHERE {_OURS}"),
                    width=12,
                    stacked=True,
                ),
            ),
        ),
        Row(
            "Receivers and senders",
            (
                Panel(
                    "Attempts, by answer",
                    "Attempts to deliver, by the class of the receiver's answer; `none`: no answer at all.",
                    "none",
                    _over_time(
                        "at",
                        "coalesce(status / 100 || 'xx', 'none')",
                        "pipeline.delivery_attempt WHERE subscription IN "
                        f"(SELECT id FROM pipeline.subscription WHERE {_OURS})",
                    ),
                    stacked=True,
                    alerts=("EndpointDisabled",),
                ),
                Panel(
                    "Deliveries that wait, by receiver",
                    "By subscription; `leadflow subscriptions attempts` tells what it answered.",
                    "none",
                    _counted(
                        "CAST(subscription_id AS text)",
                        f"pipeline.delivery {_OF_RECEIVERS} AND delivery.state = 'pending'",
                    ),
                    kind="bargauge",
                    alerts=("DeliveriesWaitLong",),
                ),
                Panel(
                    "Parked, by source and reason",
                    "Elements that became no event and were not dealt with.",
                    "none",
                    _counted("source || ' ' || code", f"ingest.parked WHERE {_OURS} AND state = 'parked'"),
                    kind="bargauge",
                ),
            ),
        ),
    ),
    POSTGRESQL,
)
