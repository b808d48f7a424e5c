"""What can be tuned in the pipeline service."""

from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from shared.settings import EnvironmentSettings, PositiveSeconds


class PipelineSettings(EnvironmentSettings):
    """Consumer, due moments and webhooks; prefix LEADFLOW_PIPELINE_."""

    model_config = SettingsConfigDict(env_prefix="LEADFLOW_PIPELINE_", frozen=True, extra="ignore")

    batch_records: int = Field(500, ge=1, le=5_000, description="Messages taken from the log at once.")
    due_poll_seconds: PositiveSeconds = Field(
        0.5, description="How often leads are looked for that have stayed too long or whose evidence has expired."
    )
    due_batch: int = Field(200, ge=1, le=5_000, description="Leads told of in one transaction because of the time.")
    feed_retention_seconds: PositiveSeconds = Field(
        7 * 86_400, description="How long what was told can be read again, by the feed, the stream and replays."
    )
    feed_poll_seconds: PositiveSeconds = Field(
        0.5, description="How often streams look for what another process told; this one's they see at once."
    )
    feed_streams: int = Field(200, ge=1, le=10_000, description="Streams that one process keeps open at once.")
    webhook_timeout_seconds: PositiveSeconds = Field(
        20.0, description="How long a subscriber may take to answer one delivery, connecting included."
    )
    webhook_concurrency: int = Field(
        200, ge=1, le=2_000, description="Deliveries of this process in the air at once."
    )
    webhook_concurrency_per_subscription: int = Field(
        8, ge=1, le=100, description="Deliveries to one subscriber at once: what a hanging one can hold up."
    )
    webhook_poll_seconds: PositiveSeconds = Field(
        0.25, description="How often due deliveries are looked for when nothing wakes the dispatcher."
    )
    webhook_lease_seconds: float = Field(
        60.0,
        gt=0,
        description="How long a delivery belongs to the process that took it; what a killed process held "
        "waits so long. Must be longer than the timeout.",
    )
    webhook_disable_after_seconds: PositiveSeconds = Field(
        5 * 86_400, description="A subscriber that has taken nothing for so long, though tried, is disabled."
    )
    webhook_allow_private_addresses: bool = Field(
        default=False,
        description="Deliver to private, loopback and other non-public addresses, on any port: for demos and tests.",
    )
    most_pipeline_versions: int = Field(
        10_000, ge=1, description="Published pipelines of a workspace; one more is refused with `too_many_pipelines`."
    )
    most_subscriptions: int = Field(
        200, ge=1, description="Subscriptions of a workspace; one more is refused with `too_many_subscriptions`."
    )
    webhook_allow_http: bool = Field(default=False, description="Deliver to http:// URLs: for demos and tests.")

    @model_validator(mode="after")
    def _lease_outlives_an_attempt(self) -> Self:
        if self.webhook_lease_seconds <= self.webhook_timeout_seconds:
            raise ValueError("webhook_lease_seconds must be longer than webhook_timeout_seconds")
        return self
