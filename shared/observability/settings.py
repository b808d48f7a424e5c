"""Whether spans are exported, and where to: OpenTelemetry's own variables, which mean what they mean elsewhere.

The SDK reads the others by itself once export is on: headers, timeout, sampler, sizes of its queue.
"""

from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.settings import EnvironmentSettings


class TracingSettings(EnvironmentSettings):
    """Export of spans by OTLP, which is on as soon as an endpoint is named; ids are handed on in any case."""

    model_config = SettingsConfigDict(env_prefix="OTEL_", frozen=True, extra="ignore")

    exporter_otlp_endpoint: str | None = Field(
        None, description="Collector for OTLP over HTTP, `http://collector:4318`. Needs `leadflow[tracing]`."
    )
    exporter_otlp_traces_endpoint: str | None = Field(
        None, description="The same for spans alone, with its path: `http://collector:4318/v1/traces`."
    )
    exporter_otlp_protocol: Literal["http/protobuf"] = Field(
        "http/protobuf", description="leadflow speaks no other one."
    )
    traces_exporter: Literal["otlp", "none"] = Field("otlp", description="`none` exports nothing.")
    sdk_disabled: bool = Field(False, description="Export nothing, whatever else is set.")
    service_name: str | None = Field(
        None,
        description="How spans name this process. Unset: `leadflow`; `leadflow-scorer` where only one service runs.",
    )
    span_link_count_limit: int = Field(
        1_000, ge=1, description="Links of one span: a batch has one to the origin of each of its records."
    )

    @property
    def export(self) -> bool:
        """Whether to export."""
        named = self.exporter_otlp_endpoint or self.exporter_otlp_traces_endpoint
        return bool(named) and self.traces_exporter == "otlp" and not self.sdk_disabled
