"""From the transaction to the log and to subscribers: outboxes, webhooks, streams."""

from deploy.grafana.asking import gauges, greatest, increases, mean, of, rate, rates, share, spread, summed
from deploy.grafana.layout import Board, Panel, Query, Row

_DELIVERIES = "leadflow_webhook_deliveries_total"

DELIVERY = Board(
    "leadflow-delivery",
    "Outbox and webhooks",
    "What was told and has not arrived: outboxes, deliveries by outcome, receivers by state.",
    (
        Row(
            "Outbox",
            (
                Panel(
                    "Oldest message in the outbox",
                    "Age of the oldest message that is written and not yet on the log.",
                    "s",
                    gauges("leadflow_outbox_oldest_age_seconds", "schema"),
                    warn=10,
                    bad=60,
                    alerts=("OutboxStuck",),
                ),
                Panel(
                    "Messages in the outbox",
                    "Written and not yet on the log.",
                    "none",
                    gauges("leadflow_outbox_depth", "schema"),
                ),
                Panel(
                    "Messages taken in by the pipeline",
                    "What it made of the scorer's messages.",
                    "ops",
                    rates("leadflow_pipeline_messages_total", "outcome"),
                    stacked=True,
                ),
                Panel(
                    "Transaction of a batch",
                    "Thresholds, stages, read model and deliveries of one batch.",
                    "s",
                    spread("leadflow_pipeline_tx_duration_seconds"),
                ),
                Panel(
                    "Event to what follows",
                    "From receiving an event until thresholds and stages have followed and deliveries are queued.",
                    "s",
                    spread("leadflow_event_end_to_end_seconds", where='stage="emitted"'),
                ),
                Panel(
                    "Stalls and expiries, told after",
                    "From the moment at which a lead stalls or evidence expires to telling it.",
                    "s",
                    spread("leadflow_pipeline_due_crossing_delay_seconds"),
                    healthy_when_empty="No moment of the pipeline came.",
                ),
            ),
        ),
        Row(
            "Webhooks",
            (
                Panel(
                    "Event to first receiver",
                    "From receiving an event until the first receiver has taken what follows from it, once for each "
                    "message. Receivers that fail are in it: the promise is about the panel beside it.",
                    "s",
                    spread("leadflow_event_end_to_end_seconds", where='stage="delivered"'),
                    alerts=("DeliveriesWaitLong",),
                    width=12,
                ),
                Panel(
                    "Told to first attempt",
                    "At receivers that have been well since; the promise is 10 s.",
                    "s",
                    spread("leadflow_webhook_first_attempt_delay_seconds"),
                    bad=10,
                    alerts=("WebhooksLateBudgetBurn",),
                    width=12,
                ),
                Panel(
                    "Attempts, by outcome",
                    "`retried` comes again, `failed` was given up, `disabled` ended the subscription.",
                    "ops",
                    rates(_DELIVERIES, "outcome"),
                    stacked=True,
                    width=6,
                ),
                Panel(
                    "Answers of receivers",
                    "By class of status; `none`: no answer at all.",
                    "ops",
                    rates(_DELIVERIES, "status_class"),
                    stacked=True,
                    width=6,
                ),
                Panel(
                    "Share delivered",
                    "Of all attempts, those that a receiver took.",
                    "percentunit",
                    (
                        Query(
                            share(summed(rate(_DELIVERIES, 'outcome="delivered"')), summed(rate(_DELIVERIES))),
                            "delivered",
                        ),
                    ),
                    most=1,
                    warn=0.95,
                    bad=0.5,
                    width=6,
                ),
                Panel(
                    "Duration of an attempt",
                    "What receivers take to answer.",
                    "s",
                    spread("leadflow_webhook_delivery_duration_seconds"),
                    width=6,
                ),
                Panel(
                    "Attempts per message",
                    "That a delivered message took, on average.",
                    "none",
                    (Query(mean("leadflow_webhook_attempts"), "attempts"),),
                    width=8,
                ),
                Panel(
                    "Deliveries that wait",
                    "For enabled subscriptions.",
                    "none",
                    (Query(greatest("leadflow_webhook_queue_depth"), "waiting"),),
                    width=8,
                ),
                Panel(
                    "Oldest delivery",
                    "`pending` may wait for a receiver that fails; `due` could be made now: leadflow's own lateness.",
                    "s",
                    (
                        Query(greatest("leadflow_webhook_oldest_pending_seconds"), "pending"),
                        Query(greatest("leadflow_webhook_oldest_due_seconds"), "due"),
                    ),
                    alerts=("DeliveriesStuck", "DeliveriesWaitLong"),
                    width=8,
                ),
            ),
        ),
        Row(
            "Receivers",
            (
                Panel(
                    "Subscriptions, by state",
                    "A paused one fails and is left alone for a while; a disabled one is sent nothing.",
                    "none",
                    gauges("leadflow_webhook_endpoints", "state"),
                    kind="bargauge",
                    alerts=("EndpointDisabled",),
                ),
                Panel(
                    "Disabled",
                    "Subscriptions that were disabled, by why.",
                    "none",
                    increases("leadflow_webhook_endpoints_disabled_total", "reason"),
                    alerts=("EndpointDisabled",),
                ),
                Panel(
                    "Open streams",
                    "Readers of the event stream over HTTP, by process.",
                    "none",
                    (Query(summed(of("leadflow_pipeline_streams"), "instance"), "{{instance}}"),),
                ),
            ),
        ),
    ),
)
