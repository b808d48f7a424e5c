"""A collector of spans: what was exported to a real HTTP server by OTLP, decoded from its protobuf."""

from dataclasses import dataclass
from functools import cached_property

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Exported

from tests.support.receiver import Receiver


@dataclass(frozen=True)
class Span:
    """A span as it was exported; `service` is the process that it is of."""

    service: str
    exported: Exported

    @property
    def name(self) -> str:
        return str(self.exported.name)

    @property
    def kind(self) -> str:
        return str(Exported.SpanKind.Name(self.exported.kind)).removeprefix("SPAN_KIND_").lower()

    @property
    def trace_id(self) -> str:
        return bytes(self.exported.trace_id).hex()

    @property
    def id(self) -> str:
        return bytes(self.exported.span_id).hex()

    @property
    def parent_id(self) -> str:
        return bytes(self.exported.parent_span_id).hex()

    @cached_property
    def links(self) -> frozenset[tuple[str, str]]:
        """Traces and spans that it links to."""
        return frozenset((link.trace_id.hex(), link.span_id.hex()) for link in self.exported.links)


def spans_of(collector: Receiver) -> list[Span]:
    """Every span that was exported so far."""
    found: list[Span] = []
    for request in collector.requests:
        assert request.path == "/v1/traces", request.path
        for resource in ExportTraceServiceRequest.FromString(request.body).resource_spans:
            names = {item.key: item.value.string_value for item in resource.resource.attributes}
            for scope in resource.scope_spans:
                found += [Span(names["service.name"], span) for span in scope.spans]
    return found
