"""An OpenTelemetry collector: OpenTelemetry's own messages and stubs, served by grpcio."""

import contextlib
import threading
from concurrent import futures
from dataclasses import dataclass, field

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2

SERVER = trace_pb2.Span.SPAN_KIND_SERVER
CLIENT = trace_pb2.Span.SPAN_KIND_CLIENT
INTERNAL = trace_pb2.Span.SPAN_KIND_INTERNAL
CONSUMER = trace_pb2.Span.SPAN_KIND_CONSUMER


@dataclass
class Span:
    service: str
    name: str
    kind: int
    trace: str
    id: str
    parent: str
    start: int
    end: int
    attributes: dict
    status: int
    state: str
    events: list


@dataclass
class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """What arrives is in `spans`; `answer`, if set, takes a call's place."""

    spans: list = field(default_factory=list)
    calls: int = 0
    answer: object = None
    address: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def Export(self, request, context):
        with self.lock:
            self.calls += 1
        if self.answer:
            return self.answer(request, context)
        with self.lock:
            for group in request.resource_spans:
                service = attributes(group.resource.attributes)["service.name"]
                for scope in group.scope_spans:
                    self.spans += [span(service, item) for item in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()

    def trace(self, trace):
        with self.lock:
            return [span for span in self.spans if span.trace == trace]


def attributes(pairs):
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def span(service, item):
    return Span(
        service=service,
        name=item.name,
        kind=item.kind,
        trace=item.trace_id.hex(),
        id=item.span_id.hex(),
        parent=item.parent_span_id.hex(),
        start=item.start_time_unix_nano,
        end=item.end_time_unix_nano,
        attributes=attributes(item.attributes),
        status=item.status.code,
        state=item.trace_state,
        events=[event.name for event in item.events],
    )


@contextlib.contextmanager
def collect(answer=None, port=0):
    collector = Collector(answer=answer)
    server = grpc.server(futures.ThreadPoolExecutor(16))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    collector.address = f"127.0.0.1:{port}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(None)
