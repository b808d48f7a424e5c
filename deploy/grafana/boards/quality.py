"""Whether anything was lost, and what was no good: the books, dead letters, repeated and refused events."""

from deploy.grafana.asking import gauges, greatest, increases, rate, rates, share, summed
from deploy.grafana.layout import Board, Panel, Query, Row

_EVENTS = "leadflow_scoring_events_total"
_LETTERS = ("DeadLettersArrived", "DeadLettersGrowing")

QUALITY = Board(
    "leadflow-quality",
    "Dead letters and data quality",
    "Events accounted for, dead letters by reason, and what is repeated, late or refused.",
    (
        Row(
            "The books",
            (
                Panel(
                    "Not accounted for",
                    "Accepted less scored, deduplicated, dead-lettered and in flight, from what is stored. Never but "
                    "0: above, events were lost; below, the log is from an earlier moment than PostgreSQL.",
                    "none",
                    (Query(greatest("leadflow_reconciliation_difference_events"), "difference"),),
                    kind="stat",
                    width=6,
                    least=None,
                    bad=1,
                    alerts=("ReconciliationMismatch",),
                ),
                Panel(
                    "What became of accepted events",
                    "Since the books began.",
                    "none",
                    gauges("leadflow_reconciliation_events", "state"),
                    kind="bargauge",
                    width=6,
                    alerts=("ReconciliationMismatch",),
                ),
                Panel(
                    "In flight",
                    "Accepted and not yet handled by the scorer.",
                    "none",
                    (Query(greatest("leadflow_reconciliation_events", where='state="in_flight"'), "in flight"),),
                    width=12,
                ),
            ),
        ),
        Row(
            "Dead letters",
            (
                Panel(
                    "Set aside",
                    "Records that could never be handled, by topic and reason.",
                    "none",
                    increases("leadflow_dead_letters_total", "topic, reason"),
                    alerts=_LETTERS,
                ),
                Panel(
                    "Dead letters kept",
                    "That the log still has, sent back or not.",
                    "none",
                    gauges("leadflow_dlq_depth", "topic"),
                    alerts=_LETTERS,
                ),
                Panel(
                    "Oldest dead letter",
                    "Beyond the retention of its topic it is gone for good.",
                    "s",
                    gauges("leadflow_dlq_oldest_age_seconds", "topic"),
                    alerts=_LETTERS,
                ),
            ),
        ),
        Row(
            "What was no news",
            (
                Panel(
                    "Repeated events",
                    "`duplicate` came again alike, `conflict` with another body under the same id, `retracted` was "
                    "voided before it came, `erased` is of an erased lead.",
                    "eps",
                    rates(_EVENTS, "outcome", 'outcome!="scored"'),
                    width=6,
                ),
                Panel(
                    "Share repeated",
                    "Of the events taken from the log; a sender that never stops repeating shows here.",
                    "percentunit",
                    (
                        Query(
                            share(summed(rate(_EVENTS, 'outcome=~"duplicate|conflict"')), summed(rate(_EVENTS))),
                            "repeated",
                        ),
                    ),
                    most=1,
                    warn=0.2,
                    width=6,
                ),
                Panel(
                    "Parked and refused elements",
                    "That became no event; parked ones wait for somebody to mend their source and try them again.",
                    "eps",
                    rates("leadflow_ingest_events_total", "outcome", 'outcome=~"parked|invalid|too_large"'),
                    stacked=True,
                    width=6,
                ),
                Panel(
                    "Moves refused",
                    "Moves that the pipeline document forbids, by reason.",
                    "ops",
                    rates("leadflow_pipeline_moves_refused_total", "code"),
                    width=6,
                ),
            ),
        ),
    ),
)
