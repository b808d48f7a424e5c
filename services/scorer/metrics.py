"""What can be seen of the scorer."""

from prometheus_client import Counter, Gauge, Histogram

from shared.observability.metrics import LATENCY_BUCKETS, LATENESS_BUCKETS

EVENTS = Counter(
    "leadflow_scoring_events_total",
    "Events taken from the log: `scored` count now, `duplicate` did before, `conflict` came again with another body, "
    "`retracted` had been voided before they came, `erased` are an erased lead's, `dead_lettered` could not be read.",
    ["outcome"],
)
TRANSACTION = Histogram(
    "leadflow_scoring_tx_duration_seconds", "Duration of the transaction of one batch.", buckets=LATENCY_BUCKETS
)
SCORE_CHANGES = Counter(
    "leadflow_scoring_score_changes_total", "Changes told to the world, by what made them.", ["cause"]
)
RECOMPUTES = Counter(
    "leadflow_scoring_recomputes_total",
    "Leads computed anew from their stored events: because the folded state could not answer (`history`), "
    "because another model version counts (`model`), for a version in the shadow (`shadow`), or because somebody "
    "asked what only they tell (`asked`).",
    ["reason"],
)
REMEMBERED = Gauge(
    "leadflow_scoring_remembered_bytes",
    "What the leads take, by its own estimate, that the process keeps between batches; 24 MB at most.",
)
MERGES = Counter("leadflow_scoring_merges_total", "Leads that turned out to be another one.")
UNMERGES = Counter("leadflow_scoring_unmerges_total", "Merges that a person has taken back.")
ERASURES = Counter("leadflow_scoring_erasures_total", "Leads that were erased because somebody asked for it.")
DUE_DELAY = Histogram(
    "leadflow_scoring_due_delay_seconds",
    "From the moment at which a standing changes by itself to telling it.",
    buckets=LATENESS_BUCKETS,
)

SHADOW_DIFFERENCE = Histogram(
    "leadflow_scoring_shadow_difference_points",
    "How far the scores of a lead are from those under the version in the shadow (the widest of them), each time "
    "that they are compared. The sum by the count is the mean difference.",
    buckets=(0.0, 0.01, 0.1, 1, 2, 5, 10, 20, 50, 100),
)
SHADOW_DIFFERENCES = Counter(
    "leadflow_scoring_shadow_differences_total",
    "Comparisons with the version in the shadow that differ, by what differs; their rate by that of "
    "`leadflow_scoring_shadow_difference_points_count` is the share.",
    ["kind"],
)
RECONCILED = Gauge(
    "leadflow_reconciliation_events",
    "What became of the events that the log took, since its books began, from what is stored: `accepted` is all of "
    "them, `scored` counted, `deduplicated` were known already, retracted or of an erased lead, `dead_lettered` "
    "could not be read, `in_flight` wait.",
    ["state"],
)
RECONCILIATION_DIFFERENCE = Gauge(
    "leadflow_reconciliation_difference_events",
    "Accepted events less those scored, deduplicated, dead-lettered and in flight: 0 unless events were lost (above) "
    "or the log was put back to an earlier moment than PostgreSQL (below).",
)
MODEL_INFO = Gauge(
    "leadflow_scoring_model_info",
    "Workspaces by the version of the model that counts there; beyond the thirty that count for most it is `other`.",
    ["model", "version"],
)
REBUILDS_RUNNING = Gauge("leadflow_scoring_rebuilds_running", "Rebuilds that were begun and have not ended.")
REBUILD_LEADS = Gauge(
    "leadflow_scoring_rebuild_leads", "Leads of the rebuilds that go on: `done`, and still `to_do`.", ["state"]
)
REBUILD_ENDED = Gauge(
    "leadflow_scoring_rebuild_ended_timestamp_seconds", "When the last rebuild came to its end; 0: never."
)
REBUILD_REPAIRED = Gauge(
    "leadflow_scoring_rebuild_repaired_leads", "Leads that the last rebuild found stored otherwise than computed."
)
SIMULATIONS = Gauge(
    "leadflow_scoring_simulations", "Simulations that were asked for and are kept, by status.", ["status"]
)
SIMULATION_SECONDS = Histogram(
    "leadflow_scoring_simulation_duration_seconds",
    "Duration of a simulation that came to its end.",
    buckets=(0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600),
)
SIMULATED_LEADS = Counter("leadflow_scoring_simulated_leads_total", "Leads that simulations compared.")

SIMULATION_STATES = ("waiting", "running", "done", "failed")
for _state in SIMULATION_STATES:
    SIMULATIONS.labels(_state)
for _state in ("done", "to_do"):
    REBUILD_LEADS.labels(_state)
for _outcome in ("scored", "duplicate", "conflict", "retracted", "erased", "dead_lettered"):
    EVENTS.labels(_outcome)
for _cause in ("events", "time", "merge", "unmerge", "model"):
    SCORE_CHANGES.labels(_cause)
for _reason in ("history", "model", "shadow", "asked"):
    RECOMPUTES.labels(_reason)
for _kind in ("band", "grade", "threshold"):
    SHADOW_DIFFERENCES.labels(_kind)
