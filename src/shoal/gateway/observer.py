"""Who is told of each call that has ended: the figures, and where wanted access log and tracer."""

from shoal.gateway import access_log
from shoal.gateway.ended import Ended
from shoal.gateway.metrics import Metrics
from shoal.gateway.tracing import Tracer


class Observer:
    """Tells ``metrics``, with ``log_calls`` the access log, and the ``tracer`` if there is one."""

    def __init__(self, metrics: Metrics, log_calls: bool, tracer: Tracer | None) -> None:
        self.metrics = metrics
        self._log_calls, self._tracer = log_calls, tracer

    def did(self, act: str, error: str, seconds: float) -> None:
        """Something was done with files or vector stores, or failed (``error``: a word for why)."""
        self.metrics.count_act(act, error, seconds)
        if self._log_calls:
            access_log.write_act(act, error, round(seconds * 1e3, 3))

    def did_run(self, act: str, error: str, seconds: float) -> None:
        """Something was done with runs, or failed (``error``: a word for why)."""
        self.metrics.count_run_act(act, error, seconds)
        if self._log_calls:
            access_log.write_act(act, error, round(seconds * 1e3, 3))

    def did_mcp(self, act: str, error: str, seconds: float) -> None:
        """Something was asked at /mcp, or failed (``error``: a word for why)."""
        self.metrics.count_mcp_act(act, error, seconds)
        if self._log_calls:
            access_log.write_act(act, error, round(seconds * 1e3, 3))

    def ended(self, ended: Ended) -> None:
        """A call has ended."""
        self.metrics.count(ended)
        if self._log_calls:
            access_log.write(ended)
        if self._tracer is not None:
            self._tracer.ended(ended)
