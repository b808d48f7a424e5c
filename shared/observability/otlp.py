"""Exports spans by OTLP, with OpenTelemetry's SDK: the only module that knows it, imported when export is on."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
    set_span_in_context,
)
from opentelemetry.trace import Span as SdkSpan

from shared.observability.settings import TracingSettings
from shared.observability.tracing import Attributes, Kind, TraceContext, recording

_KINDS = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}


@contextmanager
def exporting(settings: TracingSettings, *, service: str) -> Iterator[None]:
    """Keep the spans of this process from here on, and send them; the last ones at the end of the block."""
    name = {} if settings.service_name else {"service.name": service}
    provider = TracerProvider(
        resource=Resource.create({**name, "service.version": version("leadflow")}),
        span_limits=SpanLimits(max_links=settings.span_link_count_limit),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    try:
        with recording(_SdkRecorder(provider.get_tracer("leadflow", version("leadflow")))):
            yield
    finally:
        provider.shutdown()


class _SdkRecorder:
    """Spans of the SDK in contexts that leadflow hands on by itself."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def begin(
        self, name: str, kind: Kind, *, parent: TraceContext | None, links: Iterable[TraceContext]
    ) -> "_SdkRecorded":
        context = None if parent is None else set_span_in_context(NonRecordingSpan(_sdk_context(parent)))
        span = self._tracer.start_span(
            name,
            context,
            kind=_KINDS[kind],
            links=[Link(_sdk_context(link)) for link in links],
            start_time=time.time_ns(),
        )
        return _SdkRecorded(span)


class _SdkRecorded:
    def __init__(self, span: SdkSpan) -> None:
        self._span = span
        found = span.get_span_context()
        self.context = TraceContext(f"{found.trace_id:032x}", f"{found.span_id:016x}", found.trace_flags.sampled)

    def end(self, *, name: str, attributes: Attributes, error: str | None) -> None:
        self._span.update_name(name)
        self._span.set_attributes(dict(attributes))
        if error is not None:
            self._span.set_attribute("error.type", error)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


def _sdk_context(context: TraceContext) -> SpanContext:
    return SpanContext(
        int(context.trace_id, 16),
        int(context.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(context.sampled),
        trace_state=TraceState.from_header([context.state]),
    )
