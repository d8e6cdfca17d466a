"""Figures for Prometheus, at ``GET /metrics``.

Children with their labels are bound on first use and kept, so that counting takes a microsecond.
Names come from outside, so each label takes so many values and no more: later ones count as
``other``.
"""

import os
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from shoal.chat import Answer
from shoal.gateway.ended import Ended
from shoal.routing.health import Health
from shoal.routing.receipt import CACHE, Receipt

C = TypeVar("C")

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_MOST_NAMES = 200
_OTHER = "other"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_OVERHEAD = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)


class _Bound(Generic[C]):
    """Children of one metric by their labels' values."""

    def __init__(self, make: Callable[[tuple[str, ...]], C]) -> None:
        self._make = make
        self._children: dict[tuple[str, ...], C] = {}
        self._known: dict[int, set[str]] = {}

    def __call__(self, *values: str) -> C:
        child = self._children.get(values)
        if child is None:
            kept = tuple(self._bounded(place, value) for place, value in enumerate(values))
            child = self._children.get(kept)
            if child is None:
                child = self._children[kept] = self._make(kept)
            if kept == values:
                return child
        return child

    def _bounded(self, place: int, value: str) -> str:
        known = self._known.setdefault(place, set())
        if value not in known and len(known) >= _MOST_NAMES:
            return _OTHER
        known.add(value)
        return value


class _HealthGauges(Collector):
    """What the desk says of itself, asked when it is scraped."""

    def __init__(self, health: Callable[[], Health]) -> None:
        self._health = health

    def collect(self) -> Iterator[Metric]:
        health = self._health()
        yield GaugeMetricFamily("shoal_healthy", "1 unless something is degraded.", int(health.ok))
        store = health.detail.get("store")
        for name in ("backlog", "dropped") if isinstance(store, dict) else ():
            assert isinstance(store, dict)
            text = f"Writes {'waiting for' if name == 'backlog' else 'lost by'} the store."
            yield GaugeMetricFamily(f"shoal_store_{name}", text, store[name])
        for name in ("audits_failed", "audits_left_out"):
            if isinstance(value := health.detail.get(name), int):
                yield GaugeMetricFamily(f"shoal_{name}", "Since the gateway started.", value)


class Metrics:
    """The figures of one gateway process."""

    def __init__(self, health: Callable[[], Health]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_HealthGauges(health))
        calls = self._counter("calls", "Calls ended.", "format", "answered_by", "task", "outcome")
        tokens = self._counter("tokens", "Tokens of answers.", "model", "kind")
        cost = self._counter("cost_usd", "What answers cost, where that is known.", "model")
        saved = self._counter("saved_usd", "What the LLM would have cost on top.", "task")
        unpriced = self._counter("calls_of_unknown_cost", "Calls whose cost is unknown.", "model")
        self._calls = _Bound(lambda values: calls.labels(*values))
        self._tokens = _Bound(lambda values: tokens.labels(*values))
        self._cost = _Bound(lambda values: cost.labels(*values))
        self._saved = _Bound(lambda values: saved.labels(*values))
        self._unpriced = _Bound(lambda values: unpriced.labels(*values))
        seconds = self._histogram("call_seconds", "From request to the answer's end.", _SECONDS)
        overhead = self._histogram("overhead_seconds", "Of that, Shoal's own part.", _OVERHEAD)
        self._seconds = _Bound(lambda values: seconds.labels(*values))
        self._overhead = _Bound(lambda values: overhead.labels(*values))
        acts = self._counter("collection_acts", "Asked of files and stores.", "act", "outcome")
        self._acts = _Bound(lambda values: acts.labels(*values))
        took = self._histogram("collection_act_seconds", "How long it took.", _SECONDS, "act")
        self._act_seconds = _Bound(lambda values: took.labels(*values))
        run_acts = self._counter("run_acts", "Asked of runs.", "act", "outcome")
        self._run_acts = _Bound(lambda values: run_acts.labels(*values))
        ran = self._histogram("run_act_seconds", "Until the reply began.", _SECONDS, "act")
        self._run_act_seconds = _Bound(lambda values: ran.labels(*values))
        mcp_acts = self._counter("mcp_acts", "Asked at /mcp.", "act", "outcome")
        self._mcp_acts = _Bound(lambda values: mcp_acts.labels(*values))
        told = self._histogram("mcp_act_seconds", "Until the reply.", _SECONDS, "act")
        self._mcp_act_seconds = _Bound(lambda values: told.labels(*values))
        process = Gauge(
            "shoal_process", "Whose figures these are.", ("pid",), registry=self._registry
        )
        process.labels(str(os.getpid())).set(1)
        self.in_flight = Gauge("shoal_in_flight", "Requests under way.", registry=self._registry)

    def count(self, ended: Ended) -> None:
        """Count a call that has ended."""
        receipt = ended.receipt
        outcome = "error" if ended.error is not None or ended.answer is None else "ok"
        by = receipt.answered_by or "nobody"
        self._calls(ended.format, by, receipt.task or "none", outcome).inc()
        self._seconds(by).observe(receipt.latency_ms / 1e3)
        if ended.overhead_ms is not None:
            self._overhead(by).observe(ended.overhead_ms / 1e3)
        if ended.answer is not None:
            self._count_cost(receipt, ended.answer)

    def count_act(self, act: str, error: str, seconds: float) -> None:
        """Count what was done with files or vector stores; ``error`` "" if it was done."""
        self._acts(act, error or "ok").inc()
        self._act_seconds(act).observe(seconds)

    def count_run_act(self, act: str, error: str, seconds: float) -> None:
        """Count what was done with runs; ``error`` "" if it was done."""
        self._run_acts(act, error or "ok").inc()
        self._run_act_seconds(act).observe(seconds)

    def count_mcp_act(self, act: str, error: str, seconds: float) -> None:
        """Count what was asked at /mcp; ``error`` "" if it was done."""
        self._mcp_acts(act, error or "ok").inc()
        self._mcp_act_seconds(act).observe(seconds)

    def text(self) -> bytes:
        """All figures in Prometheus' text format."""
        return generate_latest(self._registry)

    def _count_cost(self, receipt: Receipt, answer: Answer) -> None:
        by = receipt.answered_by
        if (usage := answer.usage) and by != CACHE:
            self._tokens(by, "input").inc(max(0, usage.input_tokens))
            self._tokens(by, "output").inc(max(0, usage.output_tokens))
            self._tokens(by, "cached").inc(max(0, usage.cached_tokens))
        if receipt.cost is None:
            self._unpriced(by).inc()
            return
        self._cost(by).inc(max(0.0, receipt.cost))
        if receipt.llm_cost is not None:
            self._saved(receipt.task or "none").inc(max(0.0, receipt.llm_cost - receipt.cost))

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"shoal_{name}", text, labels, registry=self._registry)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], label: str = "answered_by"
    ) -> Histogram:
        return Histogram(f"shoal_{name}", text, (label,), buckets=buckets, registry=self._registry)
