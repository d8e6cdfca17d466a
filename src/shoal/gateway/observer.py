"""Who is told of each call that has ended: the figures, and the access log if it is wanted."""

from shoal.gateway import access_log
from shoal.gateway.metrics import Ended, Metrics


class Observer:
    """Tells ``metrics``, and with ``log_calls`` the access log."""

    def __init__(self, metrics: Metrics, log_calls: bool) -> None:
        self.metrics = metrics
        self._log_calls = log_calls

    def ended(self, ended: Ended) -> None:
        """A call has ended."""
        self.metrics.count(ended)
        if self._log_calls:
            access_log.write(ended)
