"""Consumers of the log, what the scorer does with events, and what it computes besides."""

from deploy.grafana.asking import CHOSEN, gauges, greatest, increases, mean, of, quantile, rate, rates, spread, summed
from deploy.grafana.layout import Board, Panel, Query, Row

_TIMESTAMP = "leadflow_consumer_last_progress_timestamp_seconds"

SCORER = Board(
    "leadflow-scorer",
    "Log and scorer",
    "Lag of every partition, rebalances, batches, transactions, moments that are due, rebuilds and simulations.",
    (
        Row(
            "Lag",
            (
                Panel(
                    "Lag in seconds",
                    "Age of the oldest record not yet handled, by partition; 0 when caught up.",
                    "s",
                    gauges("leadflow_consumer_lag_seconds", "group, topic, partition"),
                    width=12,
                    warn=10,
                    bad=60,
                    alerts=("LagSecondsHigh", "ConsumerStalled"),
                ),
                Panel(
                    "Lag in records",
                    "Records published and not yet handled, by partition.",
                    "none",
                    gauges("leadflow_consumer_lag_records", "group, topic, partition"),
                    width=12,
                ),
            ),
        ),
        Row(
            "Consumers",
            (
                Panel(
                    "Handled",
                    "Records handled and committed.",
                    "ops",
                    rates("leadflow_consumer_records_total", "group"),
                    width=6,
                ),
                Panel(
                    "Records per batch",
                    "Handled in one unit of work: large batches are how a service catches up.",
                    "none",
                    spread("leadflow_consumer_batch_records", "group"),
                    width=6,
                ),
                Panel(
                    "Since the last progress",
                    "How long ago a consumer handled a batch, or found nothing to handle.",
                    "s",
                    (Query(f"time() - {greatest(_TIMESTAMP, 'group, instance')}", "{{group}} {{instance}}"),),
                    warn=60,
                    bad=300,
                    alerts=("ConsumerStalled",),
                    width=6,
                ),
                Panel(
                    "Assigned partitions",
                    "Partitions that each process reads; together they are all of the topic's.",
                    "none",
                    (
                        Query(
                            summed(of("leadflow_consumer_assigned_partitions"), "group, instance"),
                            "{{group}} {{instance}}",
                        ),
                    ),
                    width=6,
                ),
                Panel(
                    "Rebalances",
                    "How often partitions were given out anew.",
                    "none",
                    increases("leadflow_consumer_rebalances_total", "group"),
                    alerts=("RebalanceStorm",),
                    width=6,
                ),
                Panel(
                    "Time lost to rebalances",
                    "Share of the time that processes waited for partitions.",
                    "percentunit",
                    rates("leadflow_consumer_rebalance_seconds_total", "group"),
                    most=1,
                    width=6,
                ),
                Panel(
                    "Failed commits",
                    "Offsets that were not taken; the batch comes again and counts once.",
                    "ops",
                    rates("leadflow_consumer_commit_failures_total", "group, reason"),
                    width=6,
                ),
                Panel(
                    "Batches given back",
                    "Because PostgreSQL or the log was in trouble; they come again.",
                    "ops",
                    rates("leadflow_consumer_retries_total", "group"),
                    alerts=("DatabaseAway",),
                    width=6,
                ),
            ),
        ),
        Row(
            "Scoring",
            (
                Panel(
                    "Events, by outcome",
                    "What became of the events taken from the log.",
                    "eps",
                    rates("leadflow_scoring_events_total", "outcome"),
                    stacked=True,
                ),
                Panel(
                    "Transaction of a batch",
                    "Deduplication, state, stored events and outbox of one batch.",
                    "s",
                    spread("leadflow_scoring_tx_duration_seconds"),
                ),
                Panel(
                    "Event to score",
                    "From receiving an event until its score is committed.",
                    "s",
                    spread("leadflow_event_end_to_end_seconds", where='stage="scored"'),
                    bad=5,
                    alerts=("ScoredLateBudgetBurn", "ScoredVeryLateBudgetBurn"),
                ),
                Panel(
                    "Scores changed, by cause",
                    "Changes told: by events, by time alone, by merges, by another model.",
                    "ops",
                    rates("leadflow_scoring_score_changes_total", "cause"),
                    stacked=True,
                    width=6,
                ),
                Panel(
                    "Models that count",
                    "Workspaces by model and version.",
                    "none",
                    gauges("leadflow_scoring_model_info", "model, version"),
                    kind="bargauge",
                    width=6,
                ),
                Panel(
                    "Leads computed anew",
                    "From their stored events, by why the folded state did not do.",
                    "ops",
                    rates("leadflow_scoring_recomputes_total", "reason"),
                    width=6,
                ),
                Panel(
                    "Leads merged, parted, erased",
                    "Leads that became one, became two again, or were erased.",
                    "none",
                    tuple(
                        Query(f"sum(increase({of(f'leadflow_scoring_{what}_total')}[$__rate_interval]))", what)
                        for what in ("merges", "unmerges", "erasures")
                    ),
                    width=6,
                ),
            ),
        ),
        Row(
            "Moments",
            (
                Panel(
                    "Changes by time, told after",
                    "From the moment at which a score changes by itself to telling it; the promise is 2 s.",
                    "s",
                    spread("leadflow_scoring_due_delay_seconds"),
                    bad=2,
                    alerts=("CrossingsLateBudgetBurn",),
                    healthy_when_empty="Nothing changed by time alone.",
                ),
                Panel(
                    "Oldest due moment",
                    "For how long the first moment has waited that nobody has dealt with.",
                    "s",
                    gauges("leadflow_due_oldest_age_seconds", "schema"),
                    warn=10,
                    bad=60,
                    alerts=("DueMomentsLate",),
                ),
                Panel(
                    "Moments overdue",
                    "How many wait.",
                    "none",
                    gauges("leadflow_due_moments_overdue", "schema"),
                ),
            ),
        ),
        Row(
            "Rebuilds, simulations, shadows",
            (
                Panel(
                    "Leads of rebuilds that go on",
                    "Computed anew, and still to do.",
                    "none",
                    gauges("leadflow_scoring_rebuild_leads", "state"),
                    stacked=True,
                ),
                Panel(
                    "Rebuilds that go on",
                    "One per workspace at most.",
                    "none",
                    (Query(greatest("leadflow_scoring_rebuilds_running"), "running"),),
                    kind="stat",
                    width=4,
                ),
                Panel(
                    "Last rebuild",
                    "How long ago the last rebuild came to its end.",
                    "s",
                    (
                        Query(
                            f"time() - (max(leadflow_scoring_rebuild_ended_timestamp_seconds{{{CHOSEN}}}) > 0)",
                            "ago",
                        ),
                    ),
                    kind="stat",
                    width=4,
                    healthy_when_empty="There has been no rebuild.",
                ),
                Panel(
                    "Repaired by it",
                    "Leads that the last rebuild found stored otherwise than computed; above 0, ask why.",
                    "none",
                    (Query(greatest("leadflow_scoring_rebuild_repaired_leads"), "leads"),),
                    kind="stat",
                    width=4,
                    warn=1,
                ),
                Panel(
                    "Simulations",
                    "Simulations that are kept, by status.",
                    "none",
                    gauges("leadflow_scoring_simulations", "status"),
                    kind="bargauge",
                    width=4,
                ),
                Panel(
                    "Leads simulated",
                    "Compared under two models.",
                    "ops",
                    (Query(summed(rate("leadflow_scoring_simulated_leads_total")), "leads"),),
                    width=6,
                ),
                Panel(
                    "Duration of simulations",
                    "Of those that came to their end.",
                    "s",
                    spread("leadflow_scoring_simulation_duration_seconds"),
                    healthy_when_empty="Nobody simulated anything.",
                    width=6,
                ),
                Panel(
                    "Distance to the shadow",
                    "How many points the scores of a lead are away from those of the version in the shadow.",
                    "none",
                    (
                        Query(mean("leadflow_scoring_shadow_difference_points"), "mean"),
                        Query(quantile(0.99, "leadflow_scoring_shadow_difference_points"), "p99"),
                    ),
                    healthy_when_empty="No version is in the shadow.",
                    width=6,
                ),
                Panel(
                    "Differences from the shadow",
                    "Comparisons that differ, by what differs.",
                    "ops",
                    rates("leadflow_scoring_shadow_differences_total", "kind"),
                    width=6,
                ),
            ),
        ),
    ),
)
