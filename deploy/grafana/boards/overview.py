"""What somebody sees first: whether promises are kept, what is wrong, and where to go on."""

from deploy.grafana.asking import greatest, of, quantile, rate, rates, share, summed
from deploy.grafana.layout import Board, Panel, Query, Row

_SLO = '{job=~"$job"}'
_ARRIVING = 'route=~"/v1/(events|webhooks/.*)"'
_POOL = "leadflow_db_pool_connections"
_SOON = "Recorded by deploy/prometheus/rules; without those rules it stays empty."

OVERVIEW = Board(
    "leadflow-overview",
    "leadflow overview",
    "From the webhook to the subscriber, on one page: promises, funnel, golden signals.",
    (
        Row(
            "At a glance",
            (
                Panel(
                    "Processes up",
                    "Processes of leadflow that Prometheus reaches.",
                    "none",
                    (Query(f"sum({of('up')})", "up"),),
                    kind="stat",
                    width=4,
                    warn=1,
                    bad=0.5,
                    alerts=("TargetDown",),
                ),
                Panel(
                    "Accepted",
                    "Events accepted, over all sources.",
                    "eps",
                    (Query(summed(rate("leadflow_ingest_events_total", 'outcome="accepted"')), "accepted"),),
                    kind="stat",
                    width=4,
                ),
                Panel(
                    "Scored within",
                    "99 of 100 events are in the score this long after ingest received them; the promise is 5 s.",
                    "s",
                    (Query(quantile(0.99, "leadflow_event_end_to_end_seconds", where='stage="scored"'), "p99"),),
                    kind="stat",
                    width=4,
                    warn=2.5,
                    bad=5,
                ),
                Panel(
                    "Furthest behind",
                    "Age of the oldest record that no service has handled yet.",
                    "s",
                    (Query(greatest("leadflow_consumer_lag_seconds"), "lag"),),
                    kind="stat",
                    width=4,
                    warn=10,
                    bad=60,
                    alerts=("LagSecondsHigh",),
                ),
                Panel(
                    "Not accounted for",
                    "Accepted events neither scored, deduplicated, dead-lettered nor on their way. Never but 0.",
                    "none",
                    (Query(f"max(abs({of('leadflow_reconciliation_difference_events')}))", "events"),),
                    kind="stat",
                    width=4,
                    bad=1,
                    alerts=("ReconciliationMismatch",),
                ),
                Panel(
                    "Least budget left",
                    "Of the error budget of 30 days, of the promise that is worst off. Below 0 it is broken.",
                    "percentunit",
                    (Query(f"min(slo:leadflow_error_budget_left:ratio30d{_SLO})", "left"),),
                    kind="stat",
                    width=4,
                    warn=0.5,
                    bad=0.1,
                    least=None,
                    most=1,
                ),
            ),
            height=4,
        ),
        Row(
            "Promises",
            (
                Panel(
                    "Error budget left",
                    f"Of 30 days, by promise. 1: untouched, 0: spent. {_SOON}",
                    "percentunit",
                    (Query(f"slo:leadflow_error_budget_left:ratio30d{_SLO}", "{{slo}}"),),
                    least=None,
                    most=1,
                    warn=0.5,
                    bad=0.1,
                ),
                Panel(
                    "Burn rate over an hour",
                    f"How many times faster than allowed the budget goes; 14.4 pages. {_SOON}",
                    "none",
                    (
                        Query(
                            f"slo:leadflow_error_ratio:rate1h{_SLO} / (1 - slo:leadflow_objective:ratio{_SLO})",
                            "{{slo}}",
                        ),
                    ),
                    warn=6,
                    bad=14.4,
                    alerts=("IngestErrorBudgetBurn", "ScoredLateBudgetBurn", "WebhooksLateBudgetBurn"),
                ),
                Panel(
                    "Alerts",
                    "Alerts that fire or are about to.",
                    "none",
                    (
                        Query(
                            f"count by (alertname, severity, alertstate) (ALERTS{_SLO})",
                            "{{alertname}} ({{severity}}, {{alertstate}})",
                        ),
                    ),
                    healthy_when_empty="No alert is the good case.",
                ),
            ),
        ),
        Row(
            "The way of an event",
            (
                Panel(
                    "Funnel",
                    "Events and what follows from them, per second: each line feeds the next.",
                    "ops",
                    (
                        Query(summed(rate("leadflow_ingest_events_total", 'outcome="accepted"')), "1 accepted"),
                        Query(summed(rate("leadflow_scoring_events_total", 'outcome="scored"')), "2 scored"),
                        Query(summed(rate("leadflow_scoring_score_changes_total")), "3 scores changed"),
                        Query(
                            summed(rate("leadflow_pipeline_threshold_crossings_total", 'outcome="emitted"')),
                            "4 thresholds crossed",
                        ),
                        Query(summed(rate("leadflow_pipeline_stage_changes_total")), "5 stages changed"),
                        Query(
                            summed(rate("leadflow_webhook_deliveries_total", 'outcome="delivered"')),
                            "6 webhooks delivered",
                        ),
                    ),
                    width=12,
                ),
                Panel(
                    "How long it takes",
                    "From receiving an event until its score is committed, until stages have followed, and until the "
                    "first receiver has taken it.",
                    "s",
                    (
                        Query(
                            quantile(0.5, "leadflow_event_end_to_end_seconds", "stage"),
                            "{{stage}} p50",
                        ),
                        Query(
                            quantile(0.99, "leadflow_event_end_to_end_seconds", "stage"),
                            "{{stage}} p99",
                        ),
                    ),
                    width=12,
                    bad=5,
                    alerts=("ScoredLateBudgetBurn", "ScoredVeryLateBudgetBurn"),
                ),
            ),
        ),
        Row(
            "Golden signals",
            (
                Panel(
                    "Latency of requests with events",
                    "Time to answer them; they wait for the log.",
                    "s",
                    (
                        Query(quantile(0.5, "leadflow_http_request_duration_seconds", where=_ARRIVING), "p50"),
                        Query(quantile(0.99, "leadflow_http_request_duration_seconds", where=_ARRIVING), "p99"),
                    ),
                    width=6,
                ),
                Panel(
                    "Requests",
                    "All requests, by the class of the answer's status.",
                    "reqps",
                    tuple(
                        Query(summed(rate("leadflow_http_requests_total", f'code=~"{digit}.."')), f"{digit}xx")
                        for digit in (2, 4, 5)
                    ),
                    width=6,
                    stacked=True,
                ),
                Panel(
                    "Failed requests",
                    "Answers with a 5xx, by status; the dashboard of ingest has them by route.",
                    "reqps",
                    rates("leadflow_http_requests_total", "code", 'code=~"5.."'),
                    width=6,
                    alerts=("IngestErrorBudgetBurn",),
                ),
                Panel(
                    "Saturation",
                    "Places for database connections in use, and consumers' age of the oldest record per 60 s.",
                    "percentunit",
                    (
                        Query(
                            share(
                                summed(of(_POOL, 'state="checked_out"'), "instance"), summed(of(_POOL), "instance")
                            ),
                            "pool {{instance}}",
                        ),
                        Query(f"{greatest('leadflow_consumer_lag_seconds', 'group')} / 60", "lag of {{group}}"),
                    ),
                    width=6,
                    bad=1,
                    alerts=("PoolExhausted", "LagSecondsHigh"),
                ),
            ),
        ),
    ),
)
