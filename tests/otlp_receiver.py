"""A collector of OTLP over HTTP on a free port, which keeps what it is sent."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from msgspec import Struct
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status


class Received(Struct, frozen=True):
    """A span as it came, ids in hex, times in seconds since 1970."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    start: float
    end: float
    failed: bool
    said: str
    attributes: dict[str, object]
    resource: dict[str, object]


class Receiver:
    """What came, span by span, and as bytes."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.spans: list[Received] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []

    @property
    def roots(self) -> list[Received]:
        """Spans of whole calls."""
        return [span for span in self.spans if not span.name.startswith("ask ")]

    def within(self, root: Received) -> list[Received]:
        """Spans in that of a call, the first to begin first."""
        found = [span for span in self.spans if span.parent_id == root.span_id]
        return sorted(found, key=lambda span: span.start)

    def take(self, body: bytes) -> None:
        self.bodies.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            about = attributes_of(resource.resource.attributes)
            self.spans += [
                received(span, about) for scope in resource.scope_spans for span in scope.spans
            ]


def received(span: Span, resource: dict[str, object]) -> Received:
    return Received(
        name=span.name,
        kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        start=span.start_time_unix_nano / 1e9,
        end=span.end_time_unix_nano / 1e9,
        failed=span.status.code == Status.STATUS_CODE_ERROR,
        said=span.status.message,
        attributes=attributes_of(span.attributes),
        resource=resource,
    )


def attributes_of(pairs: list[KeyValue]) -> dict[str, object]:
    return {pair.key: value_of(pair.value) for pair in pairs}


def value_of(value: AnyValue) -> object:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(each) for each in value.array_value.values]
    return getattr(value, kind or "string_value")


@contextmanager
def running_receiver() -> Iterator[Receiver]:
    """The receiver while it listens."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            found = self.path == "/v1/traces"
            if found:
                receiver.headers.append({name.lower(): text for name, text in self.headers.items()})
                receiver.take(body)
            self.send_response(200 if found else 404)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(f"http://127.0.0.1:{server.server_address[1]}")
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield receiver
        server.shutdown()
