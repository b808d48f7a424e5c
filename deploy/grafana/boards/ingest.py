"""What comes in: rate, errors and duration by source, and the way to the log."""

from deploy.grafana.asking import busy, greatest, quantile, rate, rates, share, spread, summed
from deploy.grafana.layout import Board, Panel, Query, Row

_OUTCOMES = "leadflow_ingest_events_total"
_BAD = 'outcome=~"parked|invalid|unauthorized|too_large|rate_limited|unavailable"'

INGEST = Board(
    "leadflow-ingest",
    "Ingest by source",
    "Requests and their elements by source, and how the log takes the events.",
    (
        Row(
            "Elements",
            (
                Panel(
                    "Accepted, by source",
                    "Elements that became events, by the kind of source; `api` are events sent by one's own code.",
                    "eps",
                    busy(_OUTCOMES, "source", 'outcome="accepted"'),
                    stacked=True,
                ),
                Panel(
                    "What became of elements",
                    "Everything that came, by outcome.",
                    "eps",
                    rates(_OUTCOMES, "outcome"),
                    stacked=True,
                ),
                Panel(
                    "Not accepted, by source",
                    "Parked or refused elements; a source that rises alone has changed its format or its key.",
                    "eps",
                    busy(_OUTCOMES, "source", _BAD),
                    alerts=("IngestErrorBudgetBurn",),
                ),
                Panel(
                    "Share that is not accepted",
                    "Of the elements of a source, those that became no event although they should have.",
                    "percentunit",
                    (
                        Query(
                            share(summed(rate(_OUTCOMES, _BAD), "source"), summed(rate(_OUTCOMES), "source")),
                            "{{source}}",
                        ),
                    ),
                    most=1,
                    warn=0.01,
                    bad=0.1,
                ),
                Panel(
                    "Age when received",
                    "From an event's happening to its receipt: what the senders add.",
                    "s",
                    spread("leadflow_event_age_at_receive_seconds"),
                ),
                Panel(
                    "Tried again",
                    "Elements that were parked and tried again, by what became of them.",
                    "eps",
                    rates("leadflow_ingest_replays_total", "outcome"),
                ),
            ),
        ),
        Row(
            "Requests",
            (
                Panel(
                    "Requests, by route",
                    "By the template of the route.",
                    "reqps",
                    busy("leadflow_http_requests_total", "route"),
                    width=6,
                ),
                Panel(
                    "Answers, by status",
                    "By exact status; 429 and 503 ask the sender to come again.",
                    "reqps",
                    busy("leadflow_http_requests_total", "code"),
                    width=6,
                    stacked=True,
                ),
                Panel(
                    "Duration, by route",
                    "What one request in a hundred exceeds.",
                    "s",
                    (Query(f"{quantile(0.99, 'leadflow_http_request_duration_seconds', 'route')} > 0", "{{route}}"),),
                    width=6,
                ),
                Panel(
                    "Failed requests, by route",
                    "Routes that answered with a 5xx.",
                    "reqps",
                    busy("leadflow_http_requests_total", "route", 'code=~"5.."'),
                    width=6,
                    alerts=("IngestErrorBudgetBurn",),
                    healthy_when_empty="No request failed.",
                ),
            ),
        ),
        Row(
            "To the log",
            (
                Panel(
                    "Size of bodies",
                    "Of requests with events.",
                    "bytes",
                    spread("leadflow_ingest_body_bytes"),
                    width=6,
                ),
                Panel(
                    "Append",
                    "From handing events to the log until it confirmed them.",
                    "s",
                    spread("leadflow_ingest_append_duration_seconds"),
                    warn=1,
                    bad=5,
                    width=6,
                ),
                Panel(
                    "Waiting for the log",
                    "Events handed to the log and not yet confirmed; at the limit, requests get 503.",
                    "none",
                    (Query(greatest("leadflow_ingest_waiting_events", "instance"), "{{instance}}"),),
                    width=6,
                ),
                Panel(
                    "Writes that failed",
                    "Writes to the log that it did not confirm, of all services, by kind.",
                    "ops",
                    rates("leadflow_producer_errors_total", "error"),
                    width=6,
                ),
            ),
        ),
    ),
)
