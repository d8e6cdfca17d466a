"""Sends spans to a collector by OTLP over HTTP: the one place that knows OpenTelemetry's SDK.

What its environment variables say holds: the endpoint where ``shoal.toml`` names none, headers,
time-outs, compression, certificates, the size of the queue, the resource.
"""

import logging
import os
import threading
import time

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from shoal import __version__
from shoal.errors import ConfigError
from shoal.gateway.spans import Span
from shoal.gateway.trace_parent import TraceParent

log = logging.getLogger(__name__)

_PATH = "/v1/traces"
_FLUSH_S = 3.0
_GIVE_UP_S = 0.5
_QUIET_S = 600.0
_FAILED = Status(StatusCode.ERROR)


class OtlpCollector:
    """Queues spans for a thread that sends them. The queue has room for 2,048, unless
    OTEL_BSP_MAX_QUEUE_SIZE says otherwise; beyond, the oldest go."""

    def __init__(self, endpoint: str | None) -> None:
        """``endpoint`` None: as the environment says.

        Raises:
            ConfigError: a variable of OpenTelemetry's is wrong.
        """
        _log_by(_Relay())
        try:
            self._exporter = OTLPSpanExporter(endpoint and endpoint + _PATH)
            self._provider = TracerProvider(
                sampler=ALWAYS_ON,  # who gets here is sampled
                resource=_resource(),
                shutdown_on_exit=False,
            )
            self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        except (ValueError, RuntimeError) as error:
            raise ConfigError(f"tracing: an environment variable OTEL_…: {error}") from None
        self._tracer = self._provider.get_tracer("shoal", __version__)

    def take(self, span: Span, parent: TraceParent | None) -> None:
        """Queue a span with those in it."""
        self._write(span, _remote(parent) if parent else Context())

    def close(self) -> None:
        """Send what is queued, for at most 3 s, and stop."""
        # the SDK itself would wait for 30 s
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(_FLUSH_S)
        if ending.is_alive():
            log.warning("spans were not all sent within %g s, the rest is lost", _FLUSH_S)
            _log_by(logging.NullHandler())  # it would say so again, batch by batch
            self._exporter.shutdown()  # ends its pauses between attempts
            ending.join(_GIVE_UP_S)

    def _write(self, span: Span, within: Context) -> None:
        kind = SpanKind.CLIENT if span.remote else SpanKind.INTERNAL
        written = self._tracer.start_span(
            span.name, within, kind, span.attributes, start_time=span.start
        )
        for inner in span.inner:
            self._write(inner, set_span_in_context(written, Context()))
        if span.failed:
            written.set_status(_FAILED)
        written.end(span.end)


def _resource() -> Resource:
    """Who sends: the environment may call it something else."""
    own = {"service.name": "shoal", "service.version": __version__}
    stated = OTELResourceDetector().detect().attributes
    return Resource.create({**own, **stated, "process.pid": os.getpid()})


def _remote(parent: TraceParent) -> Context:
    flags = TraceFlags(TraceFlags.SAMPLED)
    caller = SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(caller), Context())


def _log_by(handler: logging.Handler) -> None:
    """Have what OpenTelemetry logs go there alone: of a collector that is gone it would tell
    several times in every ten seconds."""
    theirs = logging.getLogger("opentelemetry")
    theirs.handlers, theirs.propagate = [handler], False


class _Relay(logging.Handler):
    """Passes on the first line of each kind, then one in ten minutes at most."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if now - self._told.get(str(record.msg), -_QUIET_S) >= _QUIET_S:
            self._told[str(record.msg)] = now
            said = record.getMessage()
            log.log(record.levelno, "OpenTelemetry: %s", said, exc_info=record.exc_info)
