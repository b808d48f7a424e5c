"""What is worth telling besides a promise that is about to be broken: causes, in seconds rather than in records.

EXPORTERS need metrics that leadflow cannot have: of node_exporter and of kafka_exporter.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cause:
    """An alert. `$limit` in its expression is `limit_seconds`; `lasting` is for how long it must hold."""

    name: str
    expression: str
    severity: str
    summary: str
    description: str
    dashboard: str
    lasting: str = "0s"
    limit_seconds: float | None = None
    labels: tuple[tuple[str, str], ...] = ()


def _grown(counter: str, by: str, window: str, than: int) -> str:
    """`counter` has grown by more than `than`. The series of a label begins with its first record, and increase() is
    blind to where a series begins.
    """
    selected = f'{counter}{{job="leadflow"}}'
    return (
        f"sum by ({by}) (increase({selected}[{window}])) > {than}\n"
        f"or sum by ({by}) ({selected} unless {selected} offset {window}) > {than}"
    )


def _absent(series: str) -> Cause:
    selected = series.replace("{", '{job="leadflow", ') if "{" in series else f'{series}{{job="leadflow"}}'
    name = series.replace('"', "")
    return Cause(
        name="AbsentMetrics",
        expression=f"absent({selected})",
        lasting="10m",
        severity="page",
        summary="A critical metric of leadflow is not there, and its alerts are blind",
        # Labels that a rule adds are not among those of the template.
        description=f"Prometheus has had no sample of {name} for ten minutes (absent = {{{{ $value }}}})",
        dashboard="leadflow-overview",
        labels=(("series", name),),
    )


# Each of them only the process that does the work has: metrics without labels are in every process, at 0.
_ABSENT = tuple(
    _absent(series)
    for series in (
        'leadflow_http_requests_total{route="/v1/events"}',
        'leadflow_consumer_lag_seconds{group="scorer"}',
        'leadflow_consumer_lag_seconds{group="pipeline"}',
        'leadflow_outbox_oldest_age_seconds{schema="scorer"}',
        'leadflow_outbox_oldest_age_seconds{schema="pipeline"}',
        'leadflow_periodic_last_success_timestamp_seconds{work="webhook backlog"}',
        "leadflow_reconciliation_difference_events",
    )
)

CAUSES = (
    Cause(
        name="TargetDown",
        expression='up{job="leadflow"} == 0',
        lasting="2m",
        severity="page",
        summary="A service of leadflow does not answer",
        description="{{ $labels.instance }} has not been scraped for two minutes (up = {{ $value }})",
        dashboard="leadflow-runtime",
    ),
    *_ABSENT,
    Cause(
        name="ConsumerStalled",
        expression=(
            "time() - max by (job, instance, group) "
            '(leadflow_consumer_last_progress_timestamp_seconds{job="leadflow"}) > $limit\n'
            "and on (job, instance, group) "
            'sum by (job, instance, group) (leadflow_consumer_lag_records{job="leadflow"}) > 0'
        ),
        limit_seconds=300,
        severity="page",
        summary="A consumer has records to handle and handles none",
        description="{{ $labels.group }} on {{ $labels.instance }} has made no progress for "
        "{{ $value | humanizeDuration }}",
        dashboard="leadflow-scorer",
    ),
    Cause(
        name="LagSecondsHigh",
        expression='max by (job, group, topic) (leadflow_consumer_lag_seconds{job="leadflow"}) > $limit',
        limit_seconds=60,
        lasting="5m",
        severity="page",
        summary="A service is behind on its topic",
        description="{{ $labels.group }} is {{ $value | humanizeDuration }} behind on {{ $labels.topic }}",
        dashboard="leadflow-scorer",
    ),
    Cause(
        name="RebalanceStorm",
        expression='max by (job, group) (increase(leadflow_consumer_rebalances_total{job="leadflow"}[10m])) > 3',
        severity="ticket",
        summary="A group of consumers shares out its partitions again and again",
        description="{{ $labels.group }} has rebalanced {{ $value | humanize }} times in ten minutes",
        dashboard="leadflow-scorer",
    ),
    Cause(
        name="OutboxStuck",
        expression='max by (job, schema) (leadflow_outbox_oldest_age_seconds{job="leadflow"}) > $limit',
        limit_seconds=60,
        lasting="5m",
        severity="page",
        summary="Messages are written but do not reach the log",
        description="The oldest message in the outbox of {{ $labels.schema }} is {{ $value | humanizeDuration }} old",
        dashboard="leadflow-delivery",
    ),
    Cause(
        name="DeadLettersArrived",
        expression=_grown("leadflow_dead_letters_total", "job, topic, reason", "15m", 0),
        severity="ticket",
        summary="Records could not be handled and were set aside",
        description="{{ $value | humanize }} records of {{ $labels.topic }} in 15 minutes: {{ $labels.reason }}",
        dashboard="leadflow-quality",
    ),
    Cause(
        name="DeadLettersGrowing",
        expression=_grown("leadflow_dead_letters_total", "job, topic", "5m", 50),
        severity="page",
        summary="Records are set aside by the dozen",
        description="{{ $value | humanize }} records of {{ $labels.topic }} in five minutes",
        dashboard="leadflow-quality",
    ),
    Cause(
        name="DeliveriesStuck",
        expression='max by (job) (leadflow_webhook_oldest_due_seconds{job="leadflow"}) > $limit',
        limit_seconds=60,
        lasting="5m",
        severity="page",
        summary="Webhooks are due and nobody sends them",
        description="A delivery to a receiver that is well has been due for {{ $value | humanizeDuration }}",
        dashboard="leadflow-delivery",
    ),
    Cause(
        name="DeliveriesWaitLong",
        expression='max by (job) (leadflow_webhook_oldest_pending_seconds{job="leadflow"}) > $limit',
        limit_seconds=1800,
        severity="ticket",
        summary="A receiver of webhooks takes nothing",
        description="The oldest delivery that waits is {{ $value | humanizeDuration }} old",
        dashboard="leadflow-delivery",
    ),
    Cause(
        name="EndpointDisabled",
        expression=(
            'sum by (job, reason) (increase(leadflow_webhook_endpoints_disabled_total{job="leadflow"}[1h])) > 0'
        ),
        severity="ticket",
        summary="A receiver of webhooks was disabled, and is sent nothing any more",
        description="{{ $value | humanize }} subscriptions were disabled in the last hour: {{ $labels.reason }}",
        dashboard="leadflow-delivery",
    ),
    Cause(
        name="LoopLag",
        expression='avg_over_time(leadflow_event_loop_lag_seconds{job="leadflow"}[5m]) > 0.2',
        severity="ticket",
        summary="The event loop of a process is blocked",
        description="Tasks of {{ $labels.instance }} are {{ $value | humanizeDuration }} late on average",
        dashboard="leadflow-runtime",
    ),
    Cause(
        name="DueMomentsLate",
        expression='max by (job, schema) (leadflow_due_oldest_age_seconds{job="leadflow"}) > $limit',
        limit_seconds=60,
        lasting="5m",
        severity="page",
        summary="What changes by itself is not told",
        description="A moment in {{ $labels.schema }} has passed {{ $value | humanizeDuration }} ago, unnoticed",
        dashboard="leadflow-scorer",
    ),
    Cause(
        name="ReconciliationMismatch",
        expression='max by (job) (abs(leadflow_reconciliation_difference_events{job="leadflow"})) > 0',
        lasting="10m",
        severity="page",
        summary="Accepted events are neither scored, repeated, set aside nor on their way",
        description="{{ $value | humanize }} accepted events are not accounted for",
        dashboard="leadflow-quality",
    ),
    Cause(
        name="DatabaseAway",
        expression=(
            "sum by (job) (increase(leadflow_db_errors_total"
            '{job="leadflow", sqlstate_class=~"connection|08|53|57|58"}[5m])) > 10'
        ),
        lasting="1m",
        severity="page",
        summary="PostgreSQL does not answer, or sends everybody away",
        description="{{ $value | humanize }} units of work were lost to it in five minutes",
        dashboard="leadflow-runtime",
    ),
    Cause(
        name="PoolExhausted",
        expression=(
            'sum by (job, instance) (leadflow_db_pool_connections{job="leadflow", state="checked_out"}) > 0\n'
            "and on (job, instance) "
            'sum by (job, instance) (leadflow_db_pool_connections{job="leadflow", state=~"idle|free"}) == 0'
        ),
        lasting="30s",
        severity="page",
        summary="A process has no connection to PostgreSQL left",
        description="All {{ $value }} connections of {{ $labels.instance }} are in use",
        dashboard="leadflow-runtime",
    ),
    Cause(
        name="PostgresConnectionsLow",
        expression=(
            'sum by (job, instance) (leadflow_postgres_connections{job="leadflow"})\n'
            '/ sum by (job, instance) (leadflow_postgres_max_connections{job="leadflow"} > 0) > 0.85'
        ),
        lasting="5m",
        severity="ticket",
        summary="PostgreSQL takes few more connections",
        description="{{ $value | humanizePercentage }} of PostgreSQL's connections are taken",
        dashboard="leadflow-runtime",
    ),
    Cause(
        name="LongTransaction",
        expression='max by (job) (leadflow_postgres_longest_transaction_seconds{job="leadflow"}) > $limit',
        limit_seconds=300,
        severity="ticket",
        summary="A transaction is open for long; it keeps vacuum from its work and stalls the embedded log",
        description="The oldest transaction has been open for {{ $value | humanizeDuration }}",
        dashboard="leadflow-runtime",
    ),
    Cause(
        name="TransactionIdsRunOut",
        expression='max by (job) (leadflow_postgres_xid_age{job="leadflow"}) > 1e9',
        severity="ticket",
        summary="Vacuum does not keep up, and PostgreSQL runs out of transaction ids",
        description="The oldest row that is not frozen is {{ $value | humanize }} transactions old, of 2G",
        dashboard="leadflow-runtime",
    ),
    Cause(
        name="InactiveReplicationSlot",
        expression='max by (job) (leadflow_postgres_inactive_replication_slots{job="leadflow"}) > 0',
        lasting="10m",
        severity="ticket",
        summary="A replication slot that nobody reads keeps the WAL growing",
        description="{{ $value }} slots are inactive",
        dashboard="leadflow-runtime",
    ),
    Cause(
        name="PeriodicWorkFails",
        expression=(
            'time() - max by (job, work) (leadflow_periodic_last_success_timestamp_seconds{job="leadflow"}) > $limit'
        ),
        limit_seconds=900,
        # A process that has just started has done nothing yet.
        lasting="5m",
        severity="ticket",
        summary="Work that is due at intervals is not done; gauges that it sets stand still",
        description="{{ $labels.work }} was last done {{ $value | humanizeDuration }} ago",
        dashboard="leadflow-runtime",
    ),
    Cause(
        name="CredentialExpires",
        expression=(
            'min by (job, kind) (leadflow_credential_expiry_timestamp_seconds{job="leadflow"} > 0) - time() < $limit'
        ),
        limit_seconds=14 * 86_400,
        severity="ticket",
        summary="A key, or the last good secret of a source, ends soon",
        description="The first of them ({{ $labels.kind }}) ends in {{ $value | humanizeDuration }}",
        dashboard="leadflow-ingest",
    ),
)

EXPORTERS = (
    Cause(
        name="DiskLow",
        expression=(
            'node_filesystem_avail_bytes{mountpoint=~".*(postgres|pgdata|kafka).*"}\n'
            '/ node_filesystem_size_bytes{mountpoint=~".*(postgres|pgdata|kafka).*"} < 0.15'
        ),
        lasting="5m",
        severity="page",
        summary="A volume of PostgreSQL or Kafka is nearly full",
        description="{{ $labels.instance }} has {{ $value | humanizePercentage }} of {{ $labels.mountpoint }} left",
        dashboard="leadflow-runtime",
    ),
    Cause(
        name="KafkaUnderReplicated",
        expression="sum by (topic) (kafka_topic_partition_under_replicated_partition) > 0",
        lasting="5m",
        severity="ticket",
        summary="Kafka has fewer copies of a topic than it should",
        description="{{ $value }} partitions of {{ $labels.topic }} lack a copy",
        dashboard="leadflow-scorer",
    ),
)
