"""What can be seen of the pipeline service."""

from prometheus_client import Counter, Gauge, Histogram

from shared.observability.metrics import LATENCY_BUCKETS, LATENESS_BUCKETS, BoundedLabel

MESSAGES = Counter(
    "leadflow_pipeline_messages_total",
    "Messages of the scorer, by what became of them; `erased` are about leads that were erased before they came.",
    ["outcome"],
)
CROSSINGS = Counter(
    "leadflow_pipeline_threshold_crossings_total",
    "Thresholds entered and left; suppressed ones fell into the cooldown and were not emitted.",
    ["threshold", "direction", "outcome"],
)
DUE_DELAY = Histogram(
    "leadflow_pipeline_due_crossing_delay_seconds",
    "How long after its moment it was told that a lead stalls or that evidence has expired.",
    buckets=LATENESS_BUCKETS,
)
STAGE_CHANGES = Counter(
    "leadflow_pipeline_stage_changes_total",
    "Moves made; `none` is where a lead comes from when it is first heard of.",
    ["from", "to"],
)
MOVES_REFUSED = Counter(
    "leadflow_pipeline_moves_refused_total", "Moves that the pipeline document forbids, by reason.", ["code", "by"]
)
TRANSACTION_SECONDS = Histogram(
    "leadflow_pipeline_tx_duration_seconds",
    "Duration of the unit of work of one batch.",
    buckets=LATENCY_BUCKETS,
)
STREAMS = Gauge("leadflow_pipeline_streams", "Streams of server-sent events that are open.")
WEBHOOK_DELIVERIES = Counter(
    "leadflow_webhook_deliveries_total",
    "Attempts to deliver, by outcome and class of the answer's status (`none` without an answer).",
    ["outcome", "status_class"],
)
WEBHOOK_DURATION = Histogram(
    "leadflow_webhook_delivery_duration_seconds", "Duration of one attempt.", buckets=LATENCY_BUCKETS
)
WEBHOOK_ATTEMPTS = Histogram(
    "leadflow_webhook_attempts",
    "Attempts that a delivered message took.",
    buckets=(1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
)
WEBHOOK_QUEUE = Gauge("leadflow_webhook_queue_depth", "Deliveries not yet made.")
WEBHOOK_OLDEST = Gauge(
    "leadflow_webhook_oldest_pending_seconds", "Age of the oldest delivery not yet made to an enabled subscription."
)
WEBHOOK_OLDEST_DUE = Gauge(
    "leadflow_webhook_oldest_due_seconds",
    "For how long the oldest delivery waits that could be made now to a receiver that does not fail.",
)
WEBHOOK_FIRST_ATTEMPT = Histogram(
    "leadflow_webhook_first_attempt_delay_seconds",
    "From telling a message to the first attempt to deliver it, at receivers that have been well since then.",
    buckets=LATENCY_BUCKETS,
)
WEBHOOK_ENDPOINTS = Gauge(
    "leadflow_webhook_endpoints",
    "Subscriptions by state; a paused one is enabled, and left alone for a while because it fails.",
    ["state"],
)
WEBHOOK_DISABLED = Counter(
    "leadflow_webhook_endpoints_disabled_total",
    "Subscriptions that were disabled because the receiver is gone (410), or took nothing for too long.",
    ["reason"],
)
LEADS = Gauge("leadflow_pipeline_leads", "Leads by the stage that they are in; `none` before their first.", ["stage"])
LEADS_IN_BAND = Gauge("leadflow_pipeline_leads_in_band", "Leads by the band of each score.", ["score", "band"])
DEALS = Gauge("leadflow_pipeline_deals", "Leads that entered the pipeline, by what became of them.", ["outcome"])
DEAL_OUTCOMES = ("open", "won", "lost")

_THRESHOLDS = BoundedLabel(50)
_STAGES = BoundedLabel(20)

OUTCOMES = ("handled", "repeated", "erased", "dead_lettered")
for _outcome in OUTCOMES:
    MESSAGES.labels(_outcome)
for _code in (
    "unknown_stage",
    "same_stage",
    "outdated",
    "override_unexplained",
    "rule_not_forward",
    "from_terminal_refused",
    "back_refused",
    "skip_refused",
    "requirement_missing",
):
    for _by in ("rule", "crm", "person"):
        MOVES_REFUSED.labels(_code, _by)
for _result in ("delivered", "retried", "failed", "disabled"):
    for _class in ("2xx", "3xx", "4xx", "5xx", "none"):
        WEBHOOK_DELIVERIES.labels(_result, _class)
for _deal in DEAL_OUTCOMES:
    DEALS.labels(_deal)
ENDPOINT_STATES = ("enabled", "paused", "disabled")
for _state in ENDPOINT_STATES:
    WEBHOOK_ENDPOINTS.labels(_state)
for _reason in ("gone", "failing"):
    WEBHOOK_DISABLED.labels(_reason)


def initialise_threshold(threshold: str) -> None:
    """Let every label value of a threshold start at 0, so that rates see the first crossing."""
    for direction in ("entered", "left"):
        for outcome in ("emitted", "suppressed"):
            CROSSINGS.labels(_THRESHOLDS.fold(threshold), direction, outcome)


def count_crossing(threshold: str, direction: str, outcome: str) -> None:
    """Count one; thresholds beyond the first fifty are one label."""
    CROSSINGS.labels(_THRESHOLDS.fold(threshold), direction, outcome).inc()


def initialise_stages(stages: tuple[str, ...]) -> None:
    """Let every move that a document makes possible start at 0."""
    folded = tuple(dict.fromkeys(_STAGES.fold(stage) for stage in stages))
    for target in folded:
        for origin in ("none", *folded):
            if origin != target:
                STAGE_CHANGES.labels(origin, target)


def count_move(origin: str | None, target: str) -> None:
    """Count one; stages beyond the first twenty are one label."""
    STAGE_CHANGES.labels("none" if origin is None else _STAGES.fold(origin), _STAGES.fold(target)).inc()
