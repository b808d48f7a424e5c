"""Metrics that every process has. Each metric of leadflow is a constant in its owner's metrics.py.

Labels come from short closed lists: never a tenant, a lead or an event.
"""

from importlib.metadata import version

from prometheus_client import Counter, Gauge, Histogram

LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600)

BUILD_INFO = Gauge("leadflow_build_info", "Always 1; the label tells the version of leadflow.", ["version"])
BUILD_INFO.labels(version("leadflow")).set(1)

HTTP_REQUESTS = Counter(
    "leadflow_http_requests_total", "HTTP requests answered, by route template.", ["route", "method", "code"]
)
HTTP_DURATION = Histogram(
    "leadflow_http_request_duration_seconds", "Time to answer an HTTP request.", ["route"], buckets=LATENCY_BUCKETS
)
LOOP_LAG = Gauge(
    "leadflow_event_loop_lag_seconds", "How late the event loop woke a task that slept; high when CPU work blocks it."
)
CONSUMER_LAG_RECORDS = Gauge(
    "leadflow_consumer_lag_records", "Records published and not yet handled.", ["group", "topic", "partition"]
)
CONSUMER_LAG_SECONDS = Gauge(
    "leadflow_consumer_lag_seconds", "Age of the oldest record not yet handled.", ["group", "topic", "partition"]
)
CONSUMER_ASSIGNED = Gauge("leadflow_consumer_assigned_partitions", "Partitions that this process reads.", ["group"])
CONSUMER_PROGRESS = Gauge(
    "leadflow_consumer_last_progress_timestamp_seconds",
    "When the consumer last handled a batch, or found nothing to handle.",
    ["group"],
)
CONSUMER_RECORDS = Counter("leadflow_consumer_records_total", "Records handled and committed.", ["group"])
CONSUMER_RETRIES = Counter(
    "leadflow_consumer_retries_total", "Batches given back because a dependency was in trouble.", ["group"]
)
DEAD_LETTERS = Counter(
    "leadflow_dead_letters_total",
    "Records that can never be handled, kept aside with the reason.",
    ["topic", "reason"],
)
OUTBOX_MESSAGES = Gauge("leadflow_outbox_depth", "Messages written and not yet on the log.", ["schema"])
OUTBOX_AGE = Gauge("leadflow_outbox_oldest_age_seconds", "Age of the oldest of them.", ["schema"])
END_TO_END = Histogram(
    "leadflow_event_end_to_end_seconds",
    "From receiving an event to a stage of its life: `scored`, its score is committed.",
    ["stage"],
    buckets=LATENCY_BUCKETS,
)
END_TO_END.labels("scored")
