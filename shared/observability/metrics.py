"""Metrics that every process has. Each metric of leadflow is a constant in its owner's metrics.py.

Labels come from short closed lists: never a tenant, a lead or an event. What people configure is folded by
BoundedLabel, so that the number of series has a limit whatever comes in.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Final

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.samples import Sample

# When a series was made is nothing that anybody asks, and would be a series more for each.
disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus-client does not say that it returns nothing

OTHER: Final = "other"

# Fewer are put into their buckets one by one.
_FEWEST_SORTED: Final = 8


class BatchHistogram(Histogram):
    """A histogram of what is seen by the thousand, by one thread alone: it counts in plain numbers, which go to where
    the library keeps its own, behind a lock each, when somebody asks for them.
    """

    def _metric_init(self) -> None:
        super()._metric_init()
        self._numbers = [0] * len(self._upper_bounds)
        self._total = 0.0

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:  # noqa: ARG002
        self._numbers[bisect_left(self._upper_bounds, amount)] += 1
        self._total += amount

    def observe_all(self, values: Sequence[float]) -> None:
        """As `observe` for each of `values`."""
        if len(values) < _FEWEST_SORTED:
            for value in values:
                self.observe(value)
            return
        ordered = sorted(values)
        below = 0
        for place, bound in enumerate(self._upper_bounds):
            upto = bisect_right(ordered, bound, below)
            self._numbers[place] += upto - below
            below = upto
        self._total += sum(ordered)

    def _child_samples(self) -> Iterable[Sample]:
        for bucket, number in zip(self._buckets, self._numbers, strict=True):
            bucket.set(number)
        self._sum.set(self._total)
        return super()._child_samples()


class BoundedLabel:
    """The values of a label that people name: the first `limit` keep their names, all later ones are `other`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def fold(self, value: str) -> str:
        """What the label says for `value`."""
        if value not in self._known:
            if len(self._known) >= self._limit:
                return OTHER
            self._known.add(value)
        return value


LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600)
# Closer together where events are scored while nothing is wrong.
END_TO_END_BUCKETS = (
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600
)  # fmt: skip
LATENESS_BUCKETS = (0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 600, 3600)
"""Of what is done at its moment: 2 s is what docs/alerts.md promises."""

BUILD_INFO = Gauge("leadflow_build_info", "Always 1; the label tells the version of leadflow.", ["version"])
BUILD_INFO.labels(version("leadflow")).set(1)

HTTP_REQUESTS = Counter(
    "leadflow_http_requests_total", "HTTP requests answered, by route template.", ["route", "method", "code"]
)
HTTP_DURATION = BatchHistogram(
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
CONSUMER_REBALANCES = Counter(
    "leadflow_consumer_rebalances_total", "How often partitions were given out anew to this process.", ["group"]
)
CONSUMER_REBALANCE_SECONDS = Counter(
    "leadflow_consumer_rebalance_seconds_total",
    "Time that this process waited for partitions while they were given out anew.",
    ["group"],
)
CONSUMER_COMMIT_FAILURES = Counter(
    "leadflow_consumer_commit_failures_total",
    "Offsets that were not taken: `rejected`, the partition is another process's now; `unavailable`, the log did "
    "not answer. The batch comes again, and counts once.",
    ["group", "reason"],
)
CONSUMER_BATCH = Histogram(
    "leadflow_consumer_batch_records",
    "Records that were handled in one unit of work.",
    ["group"],
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
)
PRODUCER_ERRORS = Counter(
    "leadflow_producer_errors_total",
    "Writes that the log did not confirm: `timeout`, `connection` (no broker or database), `fault` (the producer "
    "lost its place), `refused`, or `other`.",
    ["error"],
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
DEAD_LETTERS_KEPT = Gauge(
    "leadflow_dlq_depth", "Dead letters that the log still has, those that were sent back included.", ["topic"]
)
DEAD_LETTERS_AGE = Gauge(
    "leadflow_dlq_oldest_age_seconds", "Age of the oldest of them; 0 when there is none.", ["topic"]
)
DUE_MOMENTS = Gauge(
    "leadflow_due_moments_overdue", "Moments that have passed and were not dealt with yet.", ["schema"]
)
DUE_AGE = Gauge("leadflow_due_oldest_age_seconds", "For how long the first of them has waited.", ["schema"])
OUTBOX_MESSAGES = Gauge("leadflow_outbox_depth", "Messages written and not yet on the log.", ["schema"])
OUTBOX_AGE = Gauge("leadflow_outbox_oldest_age_seconds", "Age of the oldest of them.", ["schema"])
END_TO_END = Histogram(
    "leadflow_event_end_to_end_seconds",
    "From receiving an event to a stage of its life: `scored`, its score is committed; `emitted`, what follows from "
    "it for thresholds and stages is committed, and told to the log and the webhooks; `delivered`, a message that "
    "follows from it was taken by the first of its receivers. A message counts once, from the first of its events.",
    ["stage"],
    buckets=END_TO_END_BUCKETS,
)
DB_POOL = Gauge(
    "leadflow_db_pool_connections",
    "Places for connections to PostgreSQL by state: `checked_out` is in use, `idle` is open, `free` is not opened.",
    ["state"],
)
DB_ERRORS = Counter(
    "leadflow_db_errors_total",
    "Units of work that PostgreSQL ended, by class of SQLSTATE; `connection` when it could not be reached or was "
    "lost, `pool` when no connection became free in time.",
    ["sqlstate_class"],
)
POSTGRES_CONNECTIONS = Gauge(
    "leadflow_postgres_connections",
    "Connections to PostgreSQL, whoever's, by what they do: `active`, `idle`, `idle in transaction` or `other`.",
    ["state"],
)
POSTGRES_MOST_CONNECTIONS = Gauge("leadflow_postgres_max_connections", "How many connections PostgreSQL takes.")
POSTGRES_BYTES = Gauge("leadflow_postgres_database_bytes", "Size of leadflow's database.")
POSTGRES_LONGEST_TRANSACTION = Gauge(
    "leadflow_postgres_longest_transaction_seconds", "Age of the oldest transaction that is open in the database."
)
POSTGRES_XID_AGE = Gauge(
    "leadflow_postgres_xid_age",
    "Transactions since the oldest row that is not frozen; at two thousand million PostgreSQL takes no more writes.",
)
POSTGRES_DEAD_ROWS = Gauge("leadflow_postgres_dead_rows", "Rows that wait for vacuum, in all tables of leadflow.")
POSTGRES_SLOTS = Gauge(
    "leadflow_postgres_inactive_replication_slots", "Replication slots that nobody reads; they keep the WAL growing."
)
POSTGRES_WAL_BYTES = Gauge(
    "leadflow_postgres_retained_wal_bytes", "WAL that the slot furthest behind keeps from being removed."
)
CREDENTIAL_EXPIRY = Gauge(
    "leadflow_credential_expiry_timestamp_seconds",
    "When the first credential ends: an `api_key` that was made for more than four weeks, or the last good secret of "
    "a `source`; 0 when none ends.",
    ["kind"],
)
PERIODIC_FAILURES = Counter(
    "leadflow_periodic_failures_total",
    "Rounds of periodic work that a dependency kept from happening; gauges that it sets stand still meanwhile.",
    ["work"],
)
PERIODIC_DONE = Gauge(
    "leadflow_periodic_last_success_timestamp_seconds", "When periodic work was last done.", ["work"]
)

COMMIT_REASONS = ("rejected", "unavailable")
PRODUCER_REASONS = ("timeout", "connection", "fault", "refused", OTHER)
POOL_STATES = ("checked_out", "idle", "free")
CONNECTION_STATES = ("active", "idle", "idle in transaction", OTHER)
# Integrity, transactions, rollbacks, resources, limits, states, intervention, system; the rest is `other`.
SQLSTATE_CLASSES = ("08", "22", "23", "25", "40", "42", "53", "54", "55", "57", "58", "XX")
END_TO_END_STAGES = ("scored", "emitted", "delivered")

for _kind in ("api_key", "source"):
    CREDENTIAL_EXPIRY.labels(_kind)
for _error in PRODUCER_REASONS:
    PRODUCER_ERRORS.labels(_error)
for _state in POOL_STATES:
    DB_POOL.labels(_state)
for _class in (*SQLSTATE_CLASSES, "connection", "pool", OTHER):
    DB_ERRORS.labels(_class)
for _stage in END_TO_END_STAGES:
    END_TO_END.labels(_stage)
