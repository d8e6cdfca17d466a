"""Decides which calls are traced, and hands their spans to a collector."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from shoal.errors import MissingExtra
from shoal.gateway.ended import Ended
from shoal.gateway.options import TracingOptions
from shoal.gateway.spans import Span, span_of
from shoal.gateway.trace_parent import TraceParent, read_trace_parent


class Collector(Protocol):
    """Where spans go. It keeps nobody waiting, and fails nobody."""

    def take(self, span: Span, parent: TraceParent | None) -> None:
        """Send a span with those in it, as a child of ``parent``'s, or as a trace of its own."""

    def close(self) -> None:
        """Send what is not sent yet, and return within a few seconds."""


class Tracer:
    """Traces a share of the calls. Where a caller has a trace of its own, that decides instead."""

    def __init__(self, sample: float, collector: Collector) -> None:
        self._sample, self._collector = sample, collector

    def ended(self, ended: Ended) -> None:
        """A call has ended just now."""
        sent = ended.asked.traceparent
        parent = read_trace_parent(sent) if sent else None
        if not (random.random() < self._sample if parent is None else parent.sampled):
            return
        end = time.time_ns()
        start = end - int((time.perf_counter() - ended.asked.began) * 1e9)
        self._collector.take(span_of(ended, start, end), parent)


@asynccontextmanager
async def open_tracer(options: TracingOptions) -> AsyncIterator[Tracer | None]:
    """A tracer while the gateway runs; None if nothing is to be traced. What it has is sent at the
    end, which may take a few seconds.

    Raises:
        MissingExtra: something is to be traced, and OpenTelemetry is not installed.
        ConfigError: an environment variable of OpenTelemetry's is wrong.
    """
    if not options.sample:
        yield None
        return
    try:
        from shoal.gateway.otlp import OtlpCollector
    except ImportError as error:
        raise MissingExtra("otel", "tracing (tracing.sample)") from error
    collector = OtlpCollector(options.endpoint)
    try:
        yield Tracer(options.sample, collector)
    finally:
        await asyncio.to_thread(collector.close)
