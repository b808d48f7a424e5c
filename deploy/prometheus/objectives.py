"""What leadflow promises, as data: the recording rules, the burn rates and docs/alerts.md follow from it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Objective:
    """A promise over 30 days.

    `total` and `errors` are rates per job over five minutes. `alert` names the alerts on its burn rates, `failed`
    what a spent event is. Below `least_per_second` over the longer window nothing is concluded.
    """

    name: str
    alert: str
    ratio: float
    total: str
    errors: str
    failed: str
    summary: str
    dashboard: str
    least_per_second: float


@dataclass(frozen=True, slots=True)
class BurnRate:
    """How fast the budget of 30 days may go, seen over a long window and confirmed over a twelfth of it."""

    factor: float
    long: str
    short: str
    severity: str


BURN_RATES = (
    BurnRate(14.4, "1h", "5m", "page"),
    BurnRate(6, "6h", "30m", "page"),
    BurnRate(1, "3d", "6h", "ticket"),
)


def _rate(metric: str, matchers: str = "") -> str:
    return f'sum by (job) (rate({metric}{{job="leadflow"{matchers}}}[5m]))'


def _later_than(histogram: str, bound: str, matchers: str = "") -> str:
    """The rate of what took longer than `bound`, which must be one of the buckets."""
    in_time = _rate(f"{histogram}_bucket", f'{matchers}, le="{bound}"')
    return f"clamp_min(\n  {_rate(f'{histogram}_count', matchers)}\n  - {in_time},\n  0\n)"


_INGEST = ', route=~"/v1/(events|webhooks/.*)"'
_SCORED = ', stage="scored"'
_REQUESTS = _rate("leadflow_http_requests_total", _INGEST)
_FAILED_REQUESTS = _rate("leadflow_http_requests_total", f'{_INGEST}, code=~"5.."')
_SCORES = _rate("leadflow_event_end_to_end_seconds_count", _SCORED)
_CROSSINGS = _rate("leadflow_scoring_due_delay_seconds_count")

OBJECTIVES = (
    Objective(
        name="ingest",
        alert="IngestErrorBudgetBurn",
        ratio=0.999,
        total=_REQUESTS,
        # Without a failure there is no series of failures.
        errors=f"{_FAILED_REQUESTS}\nor 0 * {_REQUESTS}",
        failed="requests with events failed",
        summary="Ingest refuses events, and spends its monthly error budget too fast",
        dashboard="leadflow-ingest",
        least_per_second=0.1,
    ),
    Objective(
        name="scored-in-5s",
        alert="ScoredLateBudgetBurn",
        ratio=0.99,
        total=_SCORES,
        errors=_later_than("leadflow_event_end_to_end_seconds", "5.0", _SCORED),
        failed="events were scored later than 5 s",
        summary="Scores come later than 5 s, and spend their monthly budget too fast",
        dashboard="leadflow-scorer",
        least_per_second=0.1,
    ),
    Objective(
        name="scored-in-60s",
        alert="ScoredVeryLateBudgetBurn",
        ratio=0.999,
        total=_SCORES,
        errors=_later_than("leadflow_event_end_to_end_seconds", "60.0", _SCORED),
        failed="events were scored later than a minute",
        summary="Scores come later than a minute, and spend their monthly budget too fast",
        dashboard="leadflow-scorer",
        least_per_second=0.1,
    ),
    Objective(
        name="delivered-in-10s",
        alert="WebhooksLateBudgetBurn",
        ratio=0.99,
        total=_rate("leadflow_webhook_first_attempt_delay_seconds_count"),
        errors=_later_than("leadflow_webhook_first_attempt_delay_seconds", "10.0"),
        failed="webhooks to receivers that are well were first tried later than 10 s",
        summary="Webhooks to receivers that are well go out late",
        dashboard="leadflow-delivery",
        least_per_second=0.02,
    ),
    Objective(
        name="crossed-in-2s",
        alert="CrossingsLateBudgetBurn",
        ratio=0.99,
        total=_CROSSINGS,
        errors=_later_than("leadflow_scoring_due_delay_seconds", "2.0"),
        failed="changes by decay were told later than 2 s",
        summary="Scores that fall by themselves are told late",
        dashboard="leadflow-scorer",
        least_per_second=0.02,
    ),
)
