"""What can be tuned about ingest, declared once."""

from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.ingest.domain.identity import SHARED_MAILBOXES
from shared.access.token_bucket import Pace
from shared.events.json import JsonLimits
from shared.settings import EnvironmentSettings

_Pace = Annotated[float, Field(gt=0)]
_Count = Annotated[int, Field(ge=1)]


class IngestSettings(EnvironmentSettings):
    """Limits on what may be sent, and on what may wait for the log."""

    model_config = SettingsConfigDict(env_prefix="LEADFLOW_INGEST_", frozen=True, extra="ignore")

    max_body_bytes: _Count = Field(5 * 1024 * 1024, description="Largest request body, in bytes; else 413.")
    max_events: _Count = Field(1_000, description="Most events in one request to the events API; else 413.")
    max_webhook_elements: _Count = Field(
        5_000, description="Most elements in one webhook; Segment sends up to 4,000. Else 413."
    )
    max_event_bytes: _Count = Field(
        512 * 1024, description="Largest single event as the log keeps it, in bytes; brokers take 1 MiB."
    )
    max_parked_bytes: int = Field(
        256 * 1024,
        ge=1024,
        le=512 * 1024,
        description="Most bytes kept of an element that became no event; a longer one cannot be replayed.",
    )
    parked_days: _Count = Field(
        90, description="Days for which an element that became no event is kept, whatever became of it since."
    )
    key_requests_per_second: _Pace = Field(
        2_000, description="Requests to the events API that one key may send for ever, per process; else 429."
    )
    key_burst_requests: _Count = Field(10_000, description="Requests that one key may send at once after a rest.")
    source_requests_per_second: _Pace = Field(
        2_000,
        description="Verified webhooks that one source may send for ever, per process; else 429, or 503 to a"
        " platform that does not come again after 429. Platforms that never come again are not held up.",
    )
    source_burst_requests: _Count = Field(
        10_000, description="Webhooks that one source may send at once after a rest."
    )
    most_sources: _Count = Field(
        1_000, description="Webhook sources of a workspace; one more is refused with `too_many_sources`."
    )
    json_depth: _Count = Field(32, description="Deepest nesting within one event.")
    json_keys: _Count = Field(256, description="Most keys of one object within an event.")
    json_items: _Count = Field(500, description="Most items of one list within an event.")
    json_string_length: _Count = Field(8_192, description="Longest text within an event, in characters.")
    max_waiting_events: _Count = Field(
        20_000, description="Most events that may wait for the log at once; beyond it senders get a 503."
    )
    max_waiting_bytes: _Count = Field(
        64 * 1024 * 1024, description="Most bytes of events that may wait for the log at once."
    )

    shared_mailboxes: list[str] = Field(
        default=[],
        description="Further mailboxes that several people read and that never tell who somebody is: local parts"
        " (`tablet`) or whole addresses.",
    )

    def all_shared_mailboxes(self) -> frozenset[str]:
        """The mailboxes that tell nobody apart: those known for it, and those of the setting."""
        return SHARED_MAILBOXES | {mailbox.strip().lower() for mailbox in self.shared_mailboxes}

    def key_pace(self) -> Pace:
        """How fast one key may call."""
        return Pace(self.key_requests_per_second, self.key_burst_requests)

    def source_pace(self) -> Pace:
        """How fast one source may call."""
        return Pace(self.source_requests_per_second, self.source_burst_requests)

    def json_limits(self) -> JsonLimits:
        """The limits on one event's values."""
        return JsonLimits(self.json_depth, self.json_keys, self.json_items, self.json_string_length)
