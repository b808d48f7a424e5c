"""What can be seen of ingest. Labels come from closed lists: never a lead, an event or a workspace."""

from enum import StrEnum

from prometheus_client import Counter, Gauge

from services.ingest.kinds.registry import KINDS
from shared.observability.metrics import BatchHistogram

API = "api"


class ReplayFate(StrEnum):
    """What became of an element that was tried again."""

    REPLAYED = "replayed"
    STILL_PARKED = "still_parked"


class Fate(StrEnum):
    """What became of an element, or of a request that never got to have elements."""

    ACCEPTED = "accepted"
    IGNORED = "ignored"
    PARKED = "parked"
    INVALID = "invalid"
    UNAUTHORIZED = "unauthorized"
    TOO_LARGE = "too_large"
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"


EVENTS = Counter(
    "leadflow_ingest_events_total",
    "Elements of requests by the kind of source and by what became of them;"
    " a request refused as a whole counts as one.",
    ["source", "outcome"],
)
APPEND_DURATION = BatchHistogram(
    "leadflow_ingest_append_duration_seconds",
    "Time from handing events to the log until it confirmed them.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
WAITING_EVENTS = Gauge("leadflow_ingest_waiting_events", "Events handed to the log and not yet confirmed.")
BODY_BYTES = BatchHistogram(
    "leadflow_ingest_body_bytes",
    "Size of request bodies.",
    buckets=(256, 1024, 4096, 16384, 65536, 262144, 1048576, 5242880),
)
EVENT_AGE = BatchHistogram(
    "leadflow_event_age_at_receive_seconds",
    "Time from an event's happening to its receipt.",
    buckets=(0.1, 1, 10, 60, 600, 3600, 21600, 86400, 604800, 2592000),
)

REPLAYS = Counter(
    "leadflow_ingest_replays_total",
    "Elements that were tried again after they had become no event, by what became of them.",
    ["outcome"],
)

for _replay_fate in ReplayFate:
    REPLAYS.labels(_replay_fate)
for _source in (API, *KINDS):
    for _fate in Fate:
        EVENTS.labels(_source, _fate)
